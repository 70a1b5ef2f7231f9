"""Pages of ingest runs, dead letters, fragments, undeclared fields, promotions and auto-enhancement; importing them
registers them."""

from fragments.admin import aggregates, enhancements, fragments, promotions, runs

__all__ = ["aggregates", "enhancements", "fragments", "promotions", "runs"]
