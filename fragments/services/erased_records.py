"""Records of whom is erased, or is being erased: they are refused, and nothing of them is kept."""

from __future__ import annotations

import msgspec

from fragments.services.records import IngestOptions, Record, Rejection
from schemaevo.kernel.erasing import OwnerErased, erased_among
from snapshots.domain.identity import entity_id


def without_erased(
    owned: list[tuple[Record, int]], options: IngestOptions
) -> tuple[list[tuple[Record, int]], list[Rejection]]:
    """Every record but those of whom is erased; and the refusals of these, which keep nothing of what they say.

    Runs inside the caller's transaction, after the statement that took the lock SCHEMA_OWNER of these owners.
    Raises: OwnerErased `owner_erased` where the whole run is theirs.
    """
    if not owned:
        return owned, []
    erased = erased_among({user_id for _, user_id in owned})
    if not erased:
        return owned, []
    if options.user_id is not None and options.user_id in erased.owners:
        raise OwnerErased(options.user_id)
    left: list[tuple[Record, int]] = []
    refused: list[Rejection] = []
    for record, user_id in owned:
        if user_id in erased.owners:
            refused.append(_of_erased(record, "owner_erased", "The owner of this record is erased."))
        elif entity_id(user_id, options.entity_type, record.entity_key) in erased.entities:
            refused.append(_of_erased(record, "entity_erased", "The entity of this record is being erased."))
        else:
            left.append((record, user_id))
    return left, refused


def _of_erased(record: Record, code: str, message: str) -> Rejection:
    """A refusal that keeps where the record stood, and nothing of what it says."""
    return Rejection(msgspec.structs.replace(record.line, raw=b"", content=None), code, message)
