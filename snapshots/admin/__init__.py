"""Pages of sources, observations and snapshots, and of recomputing them; importing them registers them."""

from snapshots.admin import divergences, failures, observations, snapshots, sources

__all__ = ["divergences", "failures", "observations", "snapshots", "sources"]
