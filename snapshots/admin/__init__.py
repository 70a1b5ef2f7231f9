"""Pages of sources, observations and snapshots, and of recomputing them; importing them registers them."""

from snapshots.admin import failures, observations, snapshots

__all__ = ["failures", "observations", "snapshots"]
