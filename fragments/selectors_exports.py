"""Observations with the fragments that came with them: all that a record left in the store."""

from collections.abc import Generator
from contextlib import closing

from fragments.models import RawFragment
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.errors import Conflict
from schemaevo.kernel.streams import rows_streamed
from snapshots.selectors_exports import observations_exported


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


def _fragments(entity_type: str, user_id: int | None) -> Generator[tuple[str, JsonObject], None, None]:
    """(observation id, fragment), in the order in which observations are exported."""
    rows = RawFragment.objects.filter(entity__entity_type=entity_type)
    if user_id is not None:
        rows = rows.filter(entity__user_id=user_id)
    ordered = rows.order_by(
        "entity__user_id", "entity__entity_key", "observed_at", "observation_id", "fragment_key", "id"
    )
    columns = ("observation_id", "fragment_key", "value", "reason", "frequency_count")
    with rows_streamed(ordered.values_list(*columns)) as found:
        for observation, field, value, reason, count in found:
            yield str(observation), {"field": field, "value": value, "reason": reason, "count": count}
