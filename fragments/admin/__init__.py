"""Pages of ingest runs, dead letters, fragments, undeclared fields, promotions, auto-enhancement, acts in bulk and
erasures; importing them registers them."""

from fragments.admin import aggregates, bulk, enhancements, erasures, fragments, promotions, runs, totals

__all__ = ["aggregates", "bulk", "enhancements", "erasures", "fragments", "promotions", "runs", "totals"]
