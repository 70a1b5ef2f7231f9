"""verify: columns of this floor that refer to other rows, though they are no foreign keys."""

from registry.models import ExtensionRevision
from schemaevo.kernel.references import Reference, plain_references
from snapshots.models import EntitySnapshot, Observation


def register() -> None:
    """The check of references knows these columns."""
    plain_references(
        EntitySnapshot,
        Reference("extension_revision_id", ExtensionRevision),
        Reference("last_computed_observation_id", Observation),
    )
    plain_references(Observation, Reference("ranks_as", Observation))
