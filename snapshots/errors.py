"""What can go wrong on this floor, as stable codes."""

from schemaevo.kernel.errors import Conflict, Invalid, NotFound
from schemaevo.kernel.jobs import GivenUp


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


class SourceNotFound(NotFound):
    """There is no such source for that user; code `source_not_found`."""

    def __init__(self, source: str, owner: str) -> None:
        super().__init__(
            "source_not_found",
            f"{owner} has no source {source!r} (by its id, or by its name if only one has it).",
            source=source,
            owner=owner,
        )


class SourceAmbiguous(Invalid):
    """Several sources of the user have that name; code `source_ambiguous`."""

    def __init__(self, source: str, ids: list[str]) -> None:
        super().__init__(
            "source_ambiguous",
            f"Several sources are named {source!r}: {', '.join(ids)}. Name one by its id.",
            source=source,
            ids=[*ids],
        )


class AlreadyRetracted(Conflict):
    """The source takes no part already; code `already_retracted`."""

    def __init__(self, source: str) -> None:
        super().__init__("already_retracted", f"{source} is retracted already.", source=source)


class NotRetracted(Conflict):
    """There is nothing to undo: the source takes part; code `not_retracted`."""

    def __init__(self, source: str) -> None:
        super().__init__("not_retracted", f"{source} is not retracted.", source=source)


class HistoryTooLong(Conflict):
    """Reducing the entity would outlast the lease of the job that does it; code `history_too_long`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "history_too_long",
            f"The history could not be read within {seconds:g} s; `recompute_snapshots --inline` takes its time.",
            seconds=str(seconds),
        )


class TooManyFailures(Conflict, GivenUp):
    """So many entities could not be recomputed that something else is wrong; code `too_many_failures`."""

    def __init__(self, count: int) -> None:
        super().__init__(
            "too_many_failures",
            f"{count} entities could not be recomputed: something is wrong that is not theirs.",
            count=count,
        )
