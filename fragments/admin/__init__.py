"""Pages of ingest runs, dead letters and fragments; importing them registers them."""

from fragments.admin import fragments, runs

__all__ = ["fragments", "runs"]
