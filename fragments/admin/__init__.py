"""Pages of ingest runs, dead letters, fragments and undeclared fields; importing them registers them."""

from fragments.admin import aggregates, fragments, runs

__all__ = ["aggregates", "fragments", "runs"]
