"""verify: aggregates against the fragments that they count (I3)."""

from __future__ import annotations

from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from fragments.models import RawFragment, RawFragmentAggregate
from fragments.selectors_counting import REBUILD as REBUILD
from fragments.services.aggregates import Part, aggregates_rebuild
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.job_control import MAY_CONTROL
from schemaevo.kernel.jobs import job_alive
from schemaevo.kernel.verification import Extent, Finding, Look, Repair, VerifyCheck, verify_check
from schemaevo.kernel.verification_samples import KeyedTable, keys_next, rows_up_to

AGGREGATES = "aggregates"

_AGGREGATES, _FRAGMENTS = KeyedTable.of(RawFragmentAggregate), KeyedTable.of(RawFragment)

#: Of these aggregates, those that the fragments do not come to. One statement sees one state of the store.
_DIFFERENT = """
    WITH these AS (
        SELECT * FROM raw_fragment_aggregates WHERE id = ANY(%s::bigint[])
    ), counted AS (
        SELECT a.id, f.source_id, f.value_type, f.value_format, count(*) AS n, sum(f.frequency_count) AS frequency
          FROM these AS a JOIN raw_fragments AS f USING (user_id, entity_type, fragment_key)
         WHERE raw_fragment_counts_v2(f.lifecycle_state, f.reason, f.is_retracted)
         GROUP BY 1, 2, 3, 4
    ), totals AS (
        SELECT id, sum(n) AS sample_count, sum(frequency) AS frequency_total,
               count(DISTINCT source_id) AS unique_sources
          FROM counted GROUP BY 1
    ), types AS (
        SELECT id, jsonb_object_agg(value_type, n) AS counts
          FROM (SELECT id, value_type, sum(n) AS n FROM counted GROUP BY 1, 2) AS t GROUP BY 1
    ), formats AS (
        SELECT id, jsonb_object_agg(value_type || ':' || value_format, n) AS counts
          FROM (SELECT id, value_type, value_format, sum(n) AS n FROM counted GROUP BY 1, 2, 3) AS f GROUP BY 1
    ), sources AS (
        SELECT id, jsonb_object_agg(source_id, n) AS counts
          FROM (SELECT id, source_id, sum(n) AS n FROM counted GROUP BY 1, 2) AS s GROUP BY 1
    ), stored_sources AS (
        SELECT a.id, jsonb_object_agg(s.source_id, s.row_count) AS counts
          FROM these AS a JOIN raw_fragment_aggregate_sources AS s USING (user_id, entity_type, fragment_key)
         WHERE s.row_count <> 0 GROUP BY 1
    )
    SELECT a.user_id, a.entity_type, a.fragment_key
      FROM these AS a
      LEFT JOIN totals ON totals.id = a.id
      LEFT JOIN types ON types.id = a.id
      LEFT JOIN formats ON formats.id = a.id
      LEFT JOIN sources ON sources.id = a.id
      LEFT JOIN stored_sources ON stored_sources.id = a.id
     WHERE (a.sample_count, a.frequency_total, a.unique_sources, a.type_counts, a.format_counts,
            stored_sources.counts)
           IS DISTINCT FROM
           (coalesce(totals.sample_count, 0), coalesce(totals.frequency_total, 0),
            coalesce(totals.unique_sources, 0), coalesce(types.counts, '{}'), coalesce(formats.counts, '{}'),
            sources.counts)
     ORDER BY a.id
"""
#: Of these fragments, what of their aggregates is not there at all.
_MISSING = """
    SELECT DISTINCT f.user_id, f.entity_type, f.fragment_key FROM raw_fragments AS f
     WHERE f.id = ANY(%s::bigint[]) AND raw_fragment_counts_v2(f.lifecycle_state, f.reason, f.is_retracted)
       AND NOT EXISTS (SELECT FROM raw_fragment_aggregates AS a
                        WHERE (a.user_id, a.entity_type, a.fragment_key) = (f.user_id, f.entity_type, f.fragment_key))
     ORDER BY 1, 2, 3
"""


def aggregates_look(extent: Extent, place: Json) -> Look:
    """The next aggregates are compared with what they count, and after the last one fragments are asked for theirs.

    While the fragments of before are still being counted, aggregates are known to be wrong: they wait.
    """
    match place:
        case {"fragments": inner}:
            found = keys_next(_FRAGMENTS, extent.size, inner)
            missing = [] if _is_being_counted() else _findings(_MISSING, found.keys)
            return Look(len(missing), missing, None if found.place is None else {"fragments": found.place})
        case _:
            found = keys_next(_AGGREGATES, extent.size, place)
    after: Json = {"fragments": None} if found.place is None else found.place
    if _is_being_counted():
        return Look(0, [], after, waiting=len(found.keys))
    return Look(len(found.keys), _findings(_DIFFERENT, found.keys), after)


def aggregates_count(extent: Extent) -> int:
    """How many aggregates there are to look at."""
    return rows_up_to(_AGGREGATES, extent.size)


@transaction.atomic
def aggregates_verify_repair(actor: Actor, finding: Finding) -> Repair:
    """The aggregates of the user and type are counted anew, with an audit event. Raises: Denied; LockTimeout."""
    actor.require(MAY_CONTROL)
    match finding.said:
        case {"user_id": int(user_id), "entity_type": str(entity_type), "field": str(key)}:
            part = Part(user_id, entity_type)
        case _:
            raise ValueError(f"{finding.said} is no divergence of an aggregate")
    # The same fields may have been mended with another of that user and type.
    aggregates = RawFragmentAggregate.objects.filter(
        user_id=user_id, entity_type=entity_type, fragment_key=key
    )
    ids = [str(pk) for pk in aggregates.values_list("pk", flat=True)]
    if ids and not _findings(_DIFFERENT, ids):
        return Repair.NOT_NEEDED
    count = aggregates_rebuild(part)
    audit_record(
        actor=actor,
        action="aggregate.repair",
        target_type="aggregates",
        target_id=f"{entity_type}:{user_id}",
        after={"aggregates": count},
    )
    return Repair.DONE


def register() -> None:
    """The check of aggregates is part of `verify`."""
    verify_check(
        VerifyCheck(
            AGGREGATES,
            _("aggregates"),
            aggregates_look,
            aggregates_count,
            aggregates_verify_repair,
            has_samples=True,
        )
    )


def _is_being_counted() -> bool:
    return job_alive(REBUILD, "") is not None


def _findings(sql: str, ids: list[str]) -> list[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [ids])
        return [
            Finding(
                f"{entity_type} of user {user_id}, field {key!r}: counts differ from the fragments",
                {"user_id": user_id, "entity_type": entity_type, "field": key},
            )
            for user_id, entity_type, key in cursor.fetchall()
        ]
