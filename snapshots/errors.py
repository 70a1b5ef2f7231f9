"""What can go wrong on this floor, as stable codes."""

from schemaevo.kernel.errors import NotFound


class SnapshotNotFound(NotFound):
    """There is no such entity for that user; code `snapshot_not_found`."""

    def __init__(self, entity_type: str, entity_key: str, owner: str) -> None:
        super().__init__(
            "snapshot_not_found",
            f"{owner} has no {entity_type} {entity_key!r}.",
            entity_type=entity_type,
            entity_key=entity_key,
            owner=owner,
        )
