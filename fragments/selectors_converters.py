"""What converters would make of the values that wait because they do not fit the field that is declared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db import connection

from fragments.domain.converter_suggestions import (
    ConverterOutlook,
    converter_outlook,
    forms_that_misfit,
    forms_to_sample,
)
from fragments.domain.counts import FieldCounts
from fragments.selectors_aggregates import counted_of_user, counted_over_users_of
from fragments.selectors_counting import Counting, counting
from registry.domain.definition import Field
from registry.selectors import effective_schema
from schemaevo.kernel.canonical import Json, canonical_json, decode

#: Values that are looked at of one field, and how many of its fragments are read to find them.
SAMPLE_VALUES: Final = 500
SAMPLE_READ: Final = 5_000
#: Over all users: so many are asked, each for an equal part.
SAMPLE_USERS: Final = 50


@dataclass(frozen=True, slots=True)
class ConverterOutlooks:
    """One outlook for each declared field of which values of another type wait, by name."""

    outlooks: tuple[ConverterOutlook, ...]
    counting: Counting


def converter_outlooks(*, entity_type: str, user_id: int | None) -> ConverterOutlooks:
    """What waits of the declared fields of the user, or (None) of the global schema over all users of the type.

    At most six queries. Fragments are read only of fields whose counts do not tell, and of each at most SAMPLE_READ.
    """
    state = counting()
    definition = effective_schema(entity_type=entity_type, user_id=user_id).definition
    if definition is None:
        return ConverterOutlooks((), state)
    names = list(definition.fields)
    if user_id is None:
        found = counted_over_users_of(entity_type=entity_type, names=names)
    else:
        found = counted_of_user(user_id=user_id, entity_type=entity_type, names=names, limit=len(names))
    counts = {one.key.name: one.counts for one in found}
    return ConverterOutlooks(
        outlooks_of(entity_type=entity_type, user_id=user_id, fields=definition.fields, counts=counts), state
    )


def outlooks_of(
    *, entity_type: str, user_id: int | None, fields: Mapping[str, Field], counts: Mapping[str, FieldCounts]
) -> tuple[ConverterOutlook, ...]:
    """What these counts of waiting values come to, if the fields were declared so; of those with values of another
    type, in the order of the counts. One query at most."""
    waiting = [name for name, counted in counts.items() if forms_that_misfit(fields[name], counted)]
    asked = {
        name: sorted(forms) for name in waiting if (forms := forms_to_sample(fields[name], counts[name]))
    }
    samples = _samples(entity_type, user_id, asked) if asked else {}
    return tuple(converter_outlook(fields[name], counts[name], samples.get(name, ())) for name in waiting)


#: Of each field and owner, the first values of the forms that are asked for.
_SAMPLES = """
    SELECT wanted.name, sampled.value
      FROM jsonb_each(%(asked)s::jsonb) AS wanted(name, forms)
     CROSS JOIN LATERAL (
        SELECT a.user_id, count(*) OVER () AS owners FROM raw_fragment_aggregates AS a
         WHERE a.entity_type = %(entity_type)s AND a.fragment_key = wanted.name AND a.sample_count > 0
           AND (a.user_id = %(user_id)s OR %(user_id)s::bigint IS NULL)
         ORDER BY a.user_id LIMIT %(users)s
     ) AS owner
     CROSS JOIN LATERAL (
        SELECT few.value::text AS value
          FROM (
            SELECT f.value, f.value_type, f.value_format FROM raw_fragments AS f
             WHERE f.user_id = owner.user_id AND f.entity_type = %(entity_type)s AND f.fragment_key = wanted.name
               AND f.lifecycle_state BETWEEN 'active' AND 'archived'
               AND raw_fragment_counts_v2(f.lifecycle_state, f.reason, f.is_retracted)
             LIMIT %(read)s / least(owner.owners, %(users)s)
          ) AS few
         WHERE wanted.forms ? (few.value_type || ':' || few.value_format)
         LIMIT %(values)s / least(owner.owners, %(users)s)
     ) AS sampled
"""


def _samples(
    entity_type: str, user_id: int | None, asked: Mapping[str, Sequence[str]]
) -> dict[str, list[Json]]:
    """Some waiting values of each field, of the forms that are named for it. One query."""
    found: dict[str, list[Json]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(
            _SAMPLES,
            {
                "asked": canonical_json({name: list(forms) for name, forms in asked.items()}),
                "entity_type": entity_type,
                "user_id": user_id,
                "users": SAMPLE_USERS,
                "read": SAMPLE_READ,
                "values": SAMPLE_VALUES,
            },
        )
        for name, value in cursor.fetchall():
            found[name].append(decode(value.encode()))
    return found
