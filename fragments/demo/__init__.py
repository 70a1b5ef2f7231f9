"""The guided demo: real records, and on top of them what a few weeks of work with them leave behind.

Whatever can be done by a service is done by that service, in the name of a login that may do it. What was done is in
the audit log, step by step, so that a demo that was killed goes on where it was, and one that is whole is left alone.
"""
