"""verify: columns that refer to other rows, though they are no foreign keys, as far as this floor knows them."""

from fragments.models import IngestRun, RawFragment
from schemaevo.kernel.references import Reference, plain_references
from snapshots.models import Observation


def register() -> None:
    """The check of references knows these columns."""
    plain_references(RawFragment, Reference("observation_id", Observation))
    # Runs go when they are old enough; their numbers are never given again.
    plain_references(Observation, Reference("ingest_run_id", IngestRun, is_trimmed=True))
