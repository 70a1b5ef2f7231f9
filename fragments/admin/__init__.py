"""Pages of ingest runs, dead letters, fragments, undeclared fields, promotions, auto-enhancement and erasures;
importing them registers them."""

from fragments.admin import aggregates, enhancements, erasures, fragments, promotions, runs, totals

__all__ = ["aggregates", "enhancements", "erasures", "fragments", "promotions", "runs", "totals"]
