"""Observations with the fragments that came with them: all that a record left in the store."""

from collections.abc import Collection, Generator, Iterable
from contextlib import closing
from decimal import Decimal
from typing import Any, Final

from fragments.models import RawFragment
from fragments.selectors_undeclared import WHOLE
from schemaevo.kernel.canonical import Json, JsonObject, exact_number
from schemaevo.kernel.errors import Conflict
from schemaevo.kernel.export_lines import exact_time, owner_name, referred
from schemaevo.kernel.streams import rows_streamed
from snapshots.selectors_exports import carried_provider, observations_exported
from snapshots.selectors_retractions import of_retracted_source

#: The keys of a line, in the order in which a table has them.
FRAGMENT_COLUMNS: Final = (
    "id",
    "entity_type",
    "user",
    "user_id",
    "key",
    "field",
    "value",
    "value_type",
    "value_format",
    "reason",
    "state",
    "count",
    "source",
    "priority",
    "specificity",
    "kind",
    "observation",
    "observed_at",
    "first_seen_at",
    "last_seen_at",
    "promoted_at",
    "archived_at",
    "expires_at",
)
AGGREGATE_COLUMNS: Final = (
    "entity_type",
    "user",
    "user_id",
    "field",
    "values",
    "seen",
    "sources",
    "type",
    "type_share",
    "types",
    "formats",
    "samples",
    "last_seen_at",
)
TOTAL_COLUMNS: Final = (
    "entity_type",
    "field",
    "owners",
    "values",
    "seen",
    "sources",
    "type",
    "type_share",
    "types",
    "formats",
    "confidence",
    "last_seen_at",
    "counted_at",
)
LETTER_COLUMNS: Final = ("run", "file", "entity_type", "line", "code", "message", "record", "refused_at")


def observations_with_fragments(
    *, entity_type: str, user_id: int | None = None
) -> Generator[JsonObject, None, None]:
    """The observations of a type, each with the fragments whose newest sighting it is and how often those were
    seen in all (`count`).

    A fragment is one row for all observations of its entity that carried the same value, from the same source and
    with the same trust; it names only the newest of them. So its value stands on that one's line alone, and the
    count says how many lines had it. The lines together hold every column of both tables that is content.

    Call it within `one_instant`: the two tables are read side by side, in the same order.
    Raises: Conflict `dangling_fragments` where a fragment names an observation that is not there.
    """
    with (
        closing(observations_exported(entity_type=entity_type, user_id=user_id)) as observations,
        closing(_fragments(entity_type, user_id)) as fragments,
    ):
        head = next(fragments, None)
        for observation in observations:
            carried: list[Json] = []
            while head is not None and head[0] == observation.id:
                carried.append(head[1])
                head = next(fragments, None)
            yield {**observation.line, "fragments": carried}
        if head is not None:
            raise Conflict(
                "dangling_fragments",
                f"A fragment names the observation {head[0]}, which is not where it should be: what was written is "
                "not complete.",
                observation=head[0],
            )


def fragments_carried(observations: Collection[Any]) -> dict[str, list[Json]]:
    """The fragments whose newest sighting one of these observations is, by its id, as lines have them. One query."""
    rows = RawFragment.objects.filter(
        # By user and entity there is an index.
        user_id__in={observation.user_id for observation in observations},
        entity_id__in={observation.entity_id for observation in observations},
        observation_id__in=[observation.id for observation in observations],
    )
    found: dict[str, list[Json]] = {}
    columns = ("observation_id", "fragment_key", "value", "reason", "frequency_count")
    for observation, *told in rows.order_by("fragment_key", "id").values_list(*columns):
        found.setdefault(str(observation), []).append(_fragment(*told))
    return found


def fragment_lines(rows: Iterable[Any]) -> Generator[JsonObject, None, None]:
    """All columns of fragments, whose owners, entities and sources are attached; what of these is gone is null."""
    for row in rows:
        entity, source = referred(row, "entity"), referred(row, "source")
        yield {
            "id": row.id,
            "entity_type": row.entity_type,
            "user": owner_name(row),
            "user_id": row.user_id,
            "key": entity and entity.entity_key,
            "field": row.fragment_key,
            "value": row.value,
            "value_type": row.value_type,
            "value_format": row.value_format or None,
            "reason": row.reason,
            "state": row.lifecycle_state,
            "count": row.frequency_count,
            "source": source and {"name": source.name, "content_hash": source.content_hash},
            "priority": row.priority,
            "specificity": exact_number(row.specificity),
            "kind": row.kind,
            "observation": str(row.observation_id),
            "observed_at": exact_time(row.observed_at),
            "first_seen_at": exact_time(row.first_seen_at),
            "last_seen_at": exact_time(row.last_seen_at),
            "promoted_at": exact_time(row.promoted_at),
            "archived_at": exact_time(row.archived_at),
            "expires_at": exact_time(row.expires_at),
        }


def aggregate_lines(rows: Iterable[Any]) -> Generator[JsonObject, None, None]:
    """Undeclared fields of owners, who are attached, with what is counted of each. `type_share` is from 0 to 1."""
    for row in rows:
        yield {
            "entity_type": row.entity_type,
            "user": owner_name(row),
            "user_id": row.user_id,
            "field": row.fragment_key,
            "values": row.sample_count,
            "seen": row.frequency_total,
            "sources": row.unique_sources,
            "type": row.dominant_type or None,
            "type_share": exact_number(Decimal(row.type_consistency) / WHOLE) if row.dominant_type else None,
            "types": row.type_counts,
            "formats": row.format_counts,
            "samples": [sample["value"] for sample in row.sample_values],
            "last_seen_at": exact_time(row.last_seen_at),
        }


def total_lines(rows: Iterable[Any]) -> Generator[JsonObject, None, None]:
    """Undeclared fields with what is counted of each over all its owners. `type_share` and `confidence` are from 0 to
    1."""
    for row in rows:
        yield {
            "entity_type": row.entity_type,
            "field": row.fragment_key,
            "owners": row.user_count,
            "values": row.sample_count,
            "seen": row.frequency_total,
            "sources": row.unique_sources,
            "type": row.dominant_type or None,
            "type_share": exact_number(Decimal(row.type_consistency) / WHOLE) if row.dominant_type else None,
            "types": row.type_counts,
            "formats": row.format_counts,
            "confidence": exact_number(Decimal(row.confidence) / WHOLE),
            "last_seen_at": exact_time(row.last_seen_at),
            "counted_at": exact_time(row.counted_at),
        }


def letter_lines(rows: Iterable[Any]) -> Generator[JsonObject, None, None]:
    """What was refused, with the runs attached. The record is as its page shows it: bytes that are no text are
    escaped."""
    for row in rows:
        run = referred(row, "run")
        yield {
            "run": row.run_id,
            "file": run and run.name,
            "entity_type": run and run.entity_type,
            "line": row.line_number,
            "code": row.code,
            "message": row.message,
            "record": bytes(row.raw).decode("utf-8", errors="backslashreplace"),
            "refused_at": exact_time(row.created_at),
        }


def register() -> None:
    """Lines of observations tell of their fragments."""
    carried_provider(fragments_carried)


def _fragment(field: str, value: Json, reason: str, count: int) -> JsonObject:
    return {"field": field, "value": value, "reason": reason, "count": count}


def _fragments(entity_type: str, user_id: int | None) -> Generator[tuple[str, JsonObject], None, None]:
    """(observation id, fragment), in the order in which observations are exported."""
    # By the retraction itself, and not by what its job has reached: the observations are chosen so as well.
    rows = RawFragment.objects.filter(entity__entity_type=entity_type).exclude(of_retracted_source())
    if user_id is not None:
        rows = rows.filter(entity__user_id=user_id)
    ordered = rows.order_by(
        "entity__user_id", "entity__entity_key", "observed_at", "observation_id", "fragment_key", "id"
    )
    columns = ("observation_id", "fragment_key", "value", "reason", "frequency_count")
    with rows_streamed(ordered.values_list(*columns)) as found:
        for observation, *told in found:
            yield str(observation), _fragment(*told)
