"""What would apply to single users once a proposal is applied, or undone."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from fragments.domain.trial_changes import fields_gone, fields_judged_anew
from registry.domain.composition import Composition, compose
from registry.domain.definition import UNDECLARED_REDUCTION_HASH, Definition, Field
from registry.domain.extension import EMPTY_EXTENSION, Extension
from registry.domain.restoration import fields_to_give_back, own_definition_to_give_back
from registry.models import ExtensionRevision, ProposalAct, SchemaVersion
from registry.selectors import effective_schemas
from registry.selectors_extensions import OwnThing, said_by, things_of
from registry.selectors_restoring import absorbed_in, own_version_adopted, revisions_that_took
from registry.selectors_trials import Basis


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
    is_restored: bool = False

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


@dataclass(frozen=True, slots=True)
class _Next:
    """What a user would have of their own: what is said beside a global definition, or without one the own
    definition; and the fields that were given back for it."""

    said: Extension
    own: Definition | None
    given_back: tuple[str, ...] = ()
    is_restored: bool = False


def outlooks_of(*, basis: Basis, names: Collection[str], user_ids: Collection[int]) -> Mapping[int, Outlook]:
    """The outlook of each user; `names` are the fields of the change."""
    entity_type = basis.entity_type
    present = effective_schemas(entity_type=entity_type, user_ids=user_ids)
    things = things_of(entity_type=entity_type, user_ids=user_ids)
    restored = _restored(basis, things, user_ids) if basis.act is ProposalAct.UNDO else {}
    found: dict[int, Outlook] = {}
    #: Of users with nothing of their own, who are most, all is the same.
    plain: tuple[Definition | None, Outlook] | None = None
    for user_id in user_ids:
        before, thing = present[user_id].definition, things.get(user_id)
        if thing is None and plain is not None and plain[0] is before:
            found[user_id] = replace(plain[1], user_id=user_id)
            continue
        next_ = restored.get(user_id) or _Next(
            EMPTY_EXTENSION if thing is None else said_by(thing),
            thing.parsed if isinstance(thing, SchemaVersion) else None,
        )
        found[user_id] = _outlook(basis, names, user_id, before, thing, next_)
        if thing is None:
            plain = before, found[user_id]
    return found


def _outlook(
    basis: Basis,
    names: Collection[str],
    user_id: int,
    before: Definition | None,
    thing: OwnThing | None,
    next_: _Next,
) -> Outlook:
    composition = None if basis.after is None else compose(basis.after, next_.said)
    after = composition.definition if composition else next_.own
    return Outlook(
        user_id=user_id,
        thing=thing,
        before=before,
        after=after,
        composition=composition,
        judged=fields_judged_anew(before, after, names),
        gone=fields_gone(before, after, names),
        given_back=next_.given_back,
        is_restored=next_.is_restored,
    )


def _restored(basis: Basis, things: Mapping[int, OwnThing], user_ids: Collection[int]) -> Mapping[int, _Next]:
    """What users would have of their own once an undo has given back what the proposal took; of those from whom it
    took something, and, without a global schema, of those who have an own version beside their extension."""
    taken: dict[int, list[ExtensionRevision]] = {}
    revisions = revisions_that_took(basis.proposal).filter(user__in=user_ids).select_related("cause_version")
    for revision in revisions.order_by("user_id", "revision"):
        taken.setdefault(revision.user_id, []).append(revision)
    own_versions: dict[int | None, Definition] = {}
    if basis.after is None:
        rows = SchemaVersion.objects.filter(entity_type=basis.entity_type, is_active=True, user__in=user_ids)
        own_versions = {row.user_id: row.parsed for row in rows}
    found: dict[int, _Next] = {}
    for user_id in {*taken, *own_versions}:
        thing = things.get(user_id or 0)
        present = thing if isinstance(thing, ExtensionRevision) else None
        held = present.parsed if present else EMPTY_EXTENSION
        revisions_of = taken.get(user_id or 0, [])
        absorbed = absorbed_in(revisions_of)
        if basis.after is not None:
            missing = fields_to_give_back(basis.after, held, absorbed)
            if missing:
                names = tuple(declared.field.name for declared in missing)
                found[user_id or 0] = _Next(held.with_fields(missing), None, names, is_restored=True)
            continue
        adopted = own_version_adopted(present, revisions_of)
        if adopted is None:
            found[user_id or 0] = _Next(EMPTY_EXTENSION, own_versions.get(user_id))
        else:
            definition = own_definition_to_give_back(adopted.parsed, absorbed, held)
            names = tuple(absorbed.additional_fields)
            found[user_id or 0] = _Next(EMPTY_EXTENSION, definition, names, is_restored=True)
    return found


def _hash_of(definition: Definition | None) -> str:
    return UNDECLARED_REDUCTION_HASH if definition is None else definition.reduction_hash
