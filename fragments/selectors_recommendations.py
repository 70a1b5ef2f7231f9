"""Which undeclared fields should be declared: from aggregates, never by a scan of fragments.

However many fragments there are, a page costs the same few queries. The one look at fragments is into an index, for
fields that nothing else speaks against and that came from one source only: whether a second entity has them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection

from fragments.domain.recommendation import Circumstances, Recommendation, recommend
from fragments.models import RawFragmentAggregate
from fragments.selectors_aggregates import (
    Counted,
    FieldKey,
    counted_of_row,
    counted_of_user,
    counted_over_users,
    counted_over_users_of,
)
from fragments.selectors_counting import Counting, counting
from fragments.selectors_refusals import (
    Refusals,
    refusals_of,
    refusals_of_owners,
    types_turned_off,
    types_turned_off_of,
)
from registry.domain.effective import EffectiveSchema
from registry.domain.names import confusable_form
from registry.selectors import Owner, effective_schemas_of

#: Fields that one page looks at, unless it is told otherwise.
PAGE_FIELDS: Final = 100
#: Fragments that are looked at from either end of a field's, until one is of another entity than the first.
LOOKED_AT: Final = 100


@dataclass(frozen=True, slots=True)
class RecommendationPage:
    """Some fields by type and name, and after which the next page begins; None where there is none.

    While `counting` is not done, nothing is eligible. A page may be short, or empty, and not be the last.
    """

    recommendations: tuple[Recommendation, ...]
    counting: Counting
    next_after: FieldKey | None

    @property
    def eligible(self) -> tuple[Recommendation, ...]:
        """Those that nothing speaks against."""
        return tuple(one for one in self.recommendations if one.is_eligible)


def recommendations_of_user(
    *, user_id: int, entity_type: str | None = None, after: FieldKey | None = None, limit: int = PAGE_FIELDS
) -> RecommendationPage:
    """The next undeclared fields of the user, of one entity type or of all, each with what speaks for and against it.

    At most nine queries, however many fields, types and fragments there are.
    """
    found = counted_of_user(user_id=user_id, entity_type=entity_type, after=after, limit=limit)
    return _page(user_id, found, found[-1].key if len(found) == limit else None)


def recommendation_of_field(*, user_id: int, entity_type: str, name: str) -> Recommendation | None:
    """What is to be said of one field of the user; None where nothing of it waits."""
    found = counted_of_user(user_id=user_id, entity_type=entity_type, names=[name], limit=1)
    return next(iter(_page(user_id, found, None).recommendations), None)


def recommendations_over_users(
    *, entity_type: str, after: str = "", limit: int = PAGE_FIELDS
) -> RecommendationPage:
    """The next undeclared fields of the type, each as all users have it together, and with how many they are.

    As many queries as for one user; what they read grows with the number of users who have these fields.
    """
    found = counted_over_users(entity_type=entity_type, after=after, limit=limit)
    return _page(None, found.fields, None if found.last is None else FieldKey(entity_type, found.last))


def recommendation_over_users(*, entity_type: str, name: str) -> Recommendation | None:
    """What is to be said of one field as all users have it together; None where nothing of it waits."""
    found = counted_over_users_of(entity_type=entity_type, names=[name])
    return next(iter(_page(None, found, None).recommendations), None)


def recommendations_of_rows(rows: Sequence[RawFragmentAggregate]) -> list[Recommendation]:
    """What is to be said of each of these fields to its user, in their order; as many queries however many users."""
    found = [counted_of_row(row) for row in rows]
    state = counting()
    schemas = effective_schemas_of(owners={(field.key.entity_type, field.user_id) for field in found})
    refusals = refusals_of_owners(fields=[(field.user_id, field.key) for field in found])
    off = types_turned_off_of(user_ids={field.user_id for field in found})

    def told(field: Counted, *, has_second_entity: bool = True) -> Recommendation:
        owner = field.user_id
        return _recommended(
            owner,
            field,
            state,
            schemas,
            refusals[owner],
            off[owner],
            has_second_entity=has_second_entity,
        )

    first = [told(field) for field in found]
    in_doubt = [
        field
        for field, one in zip(found, first, strict=True)
        if one.is_eligible and field.counts.unique_sources < 2
    ]
    alone = _with_one_entity(in_doubt)
    return [
        told(field, has_second_entity=False) if (field.user_id, field.key) in alone else one
        for field, one in zip(found, first, strict=True)
    ]


def _page(user_id: int | None, found: Sequence[Counted], next_after: FieldKey | None) -> RecommendationPage:
    state = counting()
    keys = [field.key for field in found]
    schemas = effective_schemas_of(owners={(key.entity_type, user_id) for key in keys})
    refusals = refusals_of(user_id=user_id, keys=keys)
    off = types_turned_off(user_id=user_id)
    first = [_recommended(user_id, field, state, schemas, refusals, off) for field in found]
    in_doubt = [
        field
        for field, one in zip(found, first, strict=True)
        if one.is_eligible and field.counts.unique_sources < 2 and field.counts.user_count < 2
    ]
    alone = _with_one_entity(in_doubt) if in_doubt else frozenset[tuple[int, FieldKey]]()
    recommendations = tuple(
        _recommended(user_id, field, state, schemas, refusals, off, has_second_entity=False)
        if (field.user_id, field.key) in alone
        else one
        for field, one in zip(found, first, strict=True)
    )
    return RecommendationPage(recommendations, state, next_after)


def _recommended(
    user_id: int | None,
    field: Counted,
    state: Counting,
    schemas: Mapping[Owner, EffectiveSchema],
    refusals: Refusals,
    off: Collection[str],
    *,
    has_second_entity: bool = True,
) -> Recommendation:
    key = field.key
    definition = schemas[key.entity_type, user_id].definition
    twin = definition.names_by_confusable_form.get(confusable_form(key.name), "") if definition else ""
    circumstances = Circumstances(
        is_being_counted=state is not Counting.DONE,
        is_turned_off=key.entity_type in off,
        # A global schema can still be made of what users have.
        has_schema=definition is not None or user_id is None,
        is_declared=definition is not None and key.name in definition.fields,
        twin="" if twin == key.name else twin,
        ignored_by=refusals.ignored_by(key),
        refused=refusals.dismissed.get(key),
        has_second_entity=has_second_entity,
    )
    return recommend(
        entity_type=key.entity_type,
        user_id=user_id,
        name=key.name,
        counts=field.counts,
        circumstances=circumstances,
        samples=field.samples,
    )


#: Both ends of what the index has of a field in the states that count, oldest and newest first. Another entity than the
#: first one is missed only where that many of the first stand both before and after it: a device that sends a thousand
#: readings must not cost a thousand looks.
_SECOND_ENTITY = """
    SELECT wanted.user_id, wanted.entity_type, wanted.name
      FROM unnest(%(users)s::bigint[], %(types)s::text[], %(names)s::text[]) AS wanted(user_id, entity_type, name)
     CROSS JOIN LATERAL (
        SELECT f.entity_id FROM raw_fragments AS f
         WHERE f.user_id = wanted.user_id AND f.entity_type = wanted.entity_type AND f.fragment_key = wanted.name
           AND f.lifecycle_state BETWEEN 'active' AND 'archived'
           AND raw_fragment_counts_v2(f.lifecycle_state, f.reason, f.is_retracted)
         ORDER BY f.lifecycle_state LIMIT 1
     ) AS first
     WHERE EXISTS (
        SELECT FROM (
            SELECT f.entity_id FROM raw_fragments AS f
             WHERE f.user_id = wanted.user_id AND f.entity_type = wanted.entity_type AND f.fragment_key = wanted.name
               AND f.lifecycle_state BETWEEN 'active' AND 'archived'
               AND raw_fragment_counts_v2(f.lifecycle_state, f.reason, f.is_retracted)
             ORDER BY f.lifecycle_state LIMIT %(most)s
        ) AS oldest WHERE oldest.entity_id <> first.entity_id
     ) OR EXISTS (
        SELECT FROM (
            SELECT f.entity_id FROM raw_fragments AS f
             WHERE f.user_id = wanted.user_id AND f.entity_type = wanted.entity_type AND f.fragment_key = wanted.name
               AND f.lifecycle_state BETWEEN 'active' AND 'archived'
               AND raw_fragment_counts_v2(f.lifecycle_state, f.reason, f.is_retracted)
             ORDER BY f.lifecycle_state DESC LIMIT %(most)s
        ) AS newest WHERE newest.entity_id <> first.entity_id
     )
"""


def _with_one_entity(fields: Collection[Counted]) -> frozenset[tuple[int, FieldKey]]:
    """Those of the fields, each with the user it was looked for at, that no second entity was found to have. One
    query."""
    keys = {(field.user_id, field.key) for field in fields}
    asked: dict[str, Any] = {
        "users": [field.user_id for field in fields],
        "types": [field.key.entity_type for field in fields],
        "names": [field.key.name for field in fields],
        "most": LOOKED_AT,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SECOND_ENTITY, asked)
        return frozenset(
            keys
            - {(user_id, FieldKey(entity_type, name)) for user_id, entity_type, name in cursor.fetchall()}
        )


def eligible_fields(*, user_id: int, entity_type: str) -> Iterator[Recommendation]:
    """All fields of the user and type that nothing speaks against, by name; read page by page."""
    after: FieldKey | None = None
    while True:
        page = recommendations_of_user(user_id=user_id, entity_type=entity_type, after=after)
        yield from page.eligible
        after = page.next_after
        if after is None:
            return
