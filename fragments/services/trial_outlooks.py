"""What would apply to single users once a proposal is applied, or undone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from fragments.domain.trial_changes import fields_gone, fields_judged_anew
from registry.domain.composition import Composition, compose
from registry.domain.definition import UNDECLARED_REDUCTION_HASH, Definition, Field
from registry.domain.extension import EMPTY_EXTENSION
from registry.models import SchemaVersion
from registry.selectors import effective_schemas
from registry.selectors_extensions import OwnThing, said_by, things_of
from registry.selectors_trials import Ground


@dataclass(frozen=True, slots=True)
class Outlook:
    """What applies to a user now, and what would; of the fields of the change, what that means.

    `thing` is what the user has of their own, and `composition` how that goes together with the global definition that
    would be in force, if one would. `judged` are fields whose fragments would be looked at again, as they would be
    declared; `gone` are declared now and would not be. `given_back` are fields that the extension would have again.
    """

    user_id: int
    thing: OwnThing | None
    before: Definition | None
    after: Definition | None
    composition: Composition | None
    judged: Mapping[str, Field]
    gone: tuple[str, ...]
    given_back: tuple[str, ...] = ()

    @property
    def is_adopted(self) -> bool:
        """Whether an own schema becomes an extension."""
        return self.composition is not None and isinstance(self.thing, SchemaVersion)

    @property
    def hash_before(self) -> str:
        """The hash of the rules that snapshots are reduced by now."""
        return _hash_of(self.before)

    @property
    def hash_after(self) -> str:
        """The hash of the rules by which they would be."""
        return _hash_of(self.after)

    @property
    def is_changed(self) -> bool:
        """Whether other rules would apply to the user's records or snapshots."""
        return bool(self.judged or self.gone) or self.hash_before != self.hash_after

    def is_declared_otherwise(self, name: str) -> bool:
        """Whether the field means something else to the user than now: other rules, or it comes or goes."""
        if name in self.judged or name in self.gone:
            return True
        if self.before is None or self.after is None or name not in self.before.fields:
            return False
        return self.before.policy_of(name).normalised != self.after.policy_of(name).normalised


def outlooks_of(
    *, ground: Ground, names: Collection[str], user_ids: Collection[int]
) -> Mapping[int, Outlook]:
    """The outlook of each user; `names` are the fields of the change."""
    entity_type = ground.entity_type
    present = effective_schemas(entity_type=entity_type, user_ids=user_ids)
    things = things_of(entity_type=entity_type, user_ids=user_ids)
    found: dict[int, Outlook] = {}
    #: Of users with nothing of their own, who are most, all is the same.
    plain: tuple[Definition | None, Outlook] | None = None
    for user_id in user_ids:
        before, thing = present[user_id].definition, things.get(user_id)
        if thing is None and plain is not None and plain[0] is before:
            found[user_id] = replace(plain[1], user_id=user_id)
            continue
        found[user_id] = _outlook(ground, names, user_id, before, thing)
        if thing is None:
            plain = before, found[user_id]
    return found


def _hash_of(definition: Definition | None) -> str:
    return UNDECLARED_REDUCTION_HASH if definition is None else definition.reduction_hash


def _outlook(
    ground: Ground, names: Collection[str], user_id: int, before: Definition | None, thing: OwnThing | None
) -> Outlook:
    said = EMPTY_EXTENSION if thing is None else said_by(thing)
    composition = None if ground.after is None else compose(ground.after, said)
    after = composition.definition if composition else None
    return Outlook(
        user_id=user_id,
        thing=thing,
        before=before,
        after=after,
        composition=composition,
        judged=fields_judged_anew(before, after, names),
        gone=fields_gone(before, after, names),
    )
