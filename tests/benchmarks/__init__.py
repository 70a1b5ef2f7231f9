"""Benchmarks (`make bench`): each prints what it measured beside a plain floor of the same run, and their ratio.

They judge nothing and assert no time: machines differ, ratios of one run can be compared. Run on the throwaway
servers of the tests fsync is off, so no commit waits for the disk; measured and floor alike.
"""
