"""What promoting a field would come to, told before it: fragments, quota, schema, and a few snapshots.

It judges by what the promotion and its backfill judge by, so its numbers are those of the act and of its job, but for
data that arrives, or goes, in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as column
from typing import Final

from fragments.domain.declaring import declaration_read
from fragments.domain.trial import Sampled
from fragments.errors import NoTypeKnown
from fragments.selectors_declaring import Declaring, Refusal, declaring_outlook, promotion_refusal
from fragments.selectors_promotions import PromotionPreview, fragments_waiting, promotion_preview
from fragments.services.sampling import Rules, sampled_of
from registry.domain.definition import Declaration, Definition
from registry.domain.problems import InvalidExtension
from registry.selectors import Standing, schema_standing
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.pages.estimates import Amount, found_counted
from snapshots.selectors_impact import snapshots_impact
from snapshots.selectors_samples import keys_of
from snapshots.services.waiting import lengths_of

#: Fragments that a page looks at; a command looks at all.
LOOKED_AT: Final = 20_000
#: Entities shown, and the longest history that is read for one.
SAMPLE_ENTITIES: Final = 5
SAMPLE_HISTORY_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class PromotionOutlook:
    """What promoting a field so would come to as of now; nothing is locked, so by then it may be otherwise.

    `refusals` are all reasons for which it would be refused. `fragments` are those that were looked at, of the
    `waiting` ones. `sample` are a few entities, those first whose snapshot would change; it holds stored values. Of
    what cannot be declared at all nothing but the refusals is known.
    """

    refusals: tuple[Refusal, ...]
    declared: Declaration | None = None
    declaring: Declaring | None = None
    fragments: PromotionPreview = column(default_factory=PromotionPreview)
    waiting: Amount | None = None
    snapshots: Amount | None = None
    sample: tuple[Sampled, ...] = ()

    @property
    def is_possible(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.refusals

    def refused_for(self, code: str) -> bool:
        """Whether that is among the reasons."""
        return any(refusal.code == code for refusal in self.refusals)


def promotion_outlook(
    *,
    user_id: int,
    entity_type: str,
    field: str,
    declaration: JsonObject,
    at_most: int | None = LOOKED_AT,
) -> PromotionOutlook:
    """What `field_promote` of the same would come to, and its backfill. Raises nothing; writes and locks nothing."""
    standing = schema_standing(entity_type=entity_type, user_id=user_id)
    refusal = promotion_refusal(standing=standing, entity_type=entity_type, user_id=user_id, field=field)
    if refusal is None and not declaration.get("type"):
        refusal = NoTypeKnown(entity_type, field)
    if refusal is not None:
        return PromotionOutlook((Refusal.of(refusal),))
    try:
        declared = declaration_read(field, declaration)
    except InvalidExtension as error:
        problems = error.context["problems"]
        return PromotionOutlook(tuple(Refusal(error.code, problem["message"]) for problem in problems))
    declaring = declaring_outlook(
        standing=standing, entity_type=entity_type, user_id=user_id, declared=declared
    )
    return _outlook(declaring, user_id, entity_type, declared, at_most)


def converters_outlook(
    *, standing: Standing, user_id: int, entity_type: str, declared: Declaration
) -> PromotionOutlook:
    """What it would come to that the user's part of the schema, in which the field stands already, declared it so.
    Raises nothing; writes and locks nothing."""
    try:
        declaration_read(declared.field.name, declared.to_json())
    except InvalidExtension as error:
        problems = error.context["problems"]
        return PromotionOutlook(tuple(Refusal(error.code, problem["message"]) for problem in problems))
    declaring = declaring_outlook(
        standing=standing, entity_type=entity_type, user_id=user_id, declared=declared
    )
    return _outlook(declaring, user_id, entity_type, declared, LOOKED_AT)


def _outlook(
    declaring: Declaring, user_id: int, entity_type: str, declared: Declaration, at_most: int | None
) -> PromotionOutlook:
    """What would become of what waits of the field, and of the snapshots."""
    name = declared.field.name
    preview = promotion_preview(
        user_id=user_id, entity_type=entity_type, field=declared.field, at_most=at_most
    )
    waiting = (
        Amount(preview.looked_at)
        if preview.is_whole
        else found_counted(fragments_waiting(user_id=user_id, entity_type=entity_type, field=name))
    )
    sample: tuple[Sampled, ...] = ()
    if declaring.after is not None:
        rules = Rules(user_id, declaring.before, declaring.after, {name: declared.field})
        sample = _sample(rules, entity_type, name, preview.entities)
    return PromotionOutlook(
        refusals=declaring.refusals,
        declared=declared,
        declaring=declaring,
        fragments=preview,
        waiting=waiting,
        snapshots=_snapshots(entity_type, user_id, declaring.before, declaring.after),
        sample=sample,
    )


def _snapshots(
    entity_type: str, user_id: int, before: Definition | None, after: Definition | None
) -> Amount | None:
    """How many snapshots would be recomputed: all of the user's, or none where reduction stays as it is."""
    if after is None:
        return None
    if before is not None and before.reduction_hash == after.reduction_hash:
        return Amount(0)
    return snapshots_impact(entity_type, user_id).snapshots


def _sample(rules: Rules, entity_type: str, name: str, entities: Sequence[str]) -> tuple[Sampled, ...]:
    """Some of the entities, those first that would show something else. As many queries for one as for all."""
    lengths = lengths_of(entities)
    short = [entity for entity in entities if lengths.get(entity, 0) <= SAMPLE_HISTORY_MAX]
    keys = keys_of(entity_ids=short)
    found = sampled_of(
        rules=rules,
        entity_type=entity_type,
        names=[name],
        keys={entity: keys[entity] for entity in short if entity in keys},
    )
    first = sorted(found, key=lambda sampled: (not sampled.is_changed, sampled.entity_key))
    return tuple(first[:SAMPLE_ENTITIES])
