"""What a change of the version in force comes to, told before anybody decides. Nothing here writes or locks.

All of it is asked again, under the locks, by the service that makes the change; this is only to be looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from registry.domain.compatibility import Mode, Reason
from registry.domain.composition import Composition, compose
from registry.domain.definition import NO_FIELDS, UNDECLARED_REDUCTION_HASH, Definition
from registry.domain.diff import diff
from registry.domain.extension import EMPTY_EXTENSION
from registry.domain.sides import Sides, side_by_side
from registry.models import Schema, SchemaVersion
from registry.providers import SchemaImpact, impact_of_schema_change
from registry.selectors import Standing, compatibility_mode, schema_standing
from registry.selectors_extensions import own_things, said_by
from registry.selectors_outlook import QuotaOutlook, quota_outlook
from registry.selectors_quotas import usage_of_type
from registry.selectors_registration import incompatible_with

#: Users with something of their own whom one preview looks at.
USERS_LOOKED_AT = 100


class Hindrance(StrEnum):
    """Why a change cannot be made here and now."""

    NOTHING_TO_DO = "nothing_to_do"
    REVIEW_NEEDED = "review_needed"
    EXTENSION_IN_FORCE = "extension_in_force"
    INCOMPATIBLE = "incompatible"
    QUOTA = "quota"


@dataclass(frozen=True, slots=True)
class UsersReached:
    """What a change of a global schema comes to for users who have something of their own of its type.

    Only the first USERS_LOOKED_AT are looked at: unless `is_every_user`, all numbers are at least these.
    """

    looked_at: int
    is_every_user: bool
    adopting: int
    absorbing_users: int
    absorbed_fields: int
    conflicting_users: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """A change of what is in force of one schema, before it is made.

    `sides` compares what applies to the owner, or globally, before and after; a side where nothing applies declares
    no field. `shown` is what the service compares (`Standing.in_words`). `retiring` are the versions that go out of
    use.
    """

    schema: Schema
    before: SchemaVersion | None
    after: SchemaVersion | None
    retiring: tuple[SchemaVersion, ...]
    shown: str
    sides: Sides
    is_declared_before: bool
    is_declared_after: bool
    mode: Mode
    reasons: tuple[Reason, ...]
    impacts: tuple[SchemaImpact, ...]
    is_recomputed: bool
    users: UsersReached | None
    composition: Composition | None
    quota: QuotaOutlook | None
    hindrances: tuple[Hindrance, ...]


def activation_preview(*, version: SchemaVersion) -> ChangePreview:
    """What putting the version in force comes to."""
    standing = schema_standing(entity_type=version.entity_type, user_id=version.user_id)
    siblings = SchemaVersion.objects.filter(schema=version.schema_id)
    before = _of_owner(standing, version.user_id)
    hindrances = []
    if version.is_active:
        hindrances.append(Hindrance.NOTHING_TO_DO)
    elif version.user_id is None:
        if siblings.filter(first_activated_at__isnull=False).exists():
            hindrances.append(Hindrance.REVIEW_NEEDED)
    elif standing.extension is not None and standing.shared is not None:
        hindrances.append(Hindrance.EXTENSION_IN_FORCE)
    mode = compatibility_mode(entity_type=version.entity_type)
    compared = siblings.exclude(pk=version.pk)
    if not mode.is_transitive:
        compared = compared.filter(is_active=True)
    reasons = incompatible_with(mode, version.parsed, list(compared))
    if reasons:
        hindrances.append(Hindrance.INCOMPATIBLE)
    return _preview(version.schema, standing, before, version, (), mode, reasons, hindrances)


def withdrawal_preview(*, schema: Schema, version: SchemaVersion | None, is_retired: bool) -> ChangePreview:
    """What taking the version out of force comes to, or retiring it (`is_retired`), or every version (None)."""
    standing = schema_standing(entity_type=schema.entity_type, user_id=schema.user_id)
    before = _of_owner(standing, schema.user_id)
    is_in_force = before is not None and (version is None or version.pk == before.pk)
    retiring: list[SchemaVersion] = []
    if is_retired:
        found = SchemaVersion.objects.filter(schema=schema.pk, retired_at__isnull=True).defer("definition")
        newest_first = found.order_by("-major", "-minor", "-patch")
        retiring = list(newest_first if version is None else newest_first.filter(pk=version.pk))
    hindrances = []
    if not (retiring if is_retired else is_in_force):
        hindrances.append(Hindrance.NOTHING_TO_DO)
    elif is_in_force and schema.user_id is None:
        hindrances.append(Hindrance.REVIEW_NEEDED)
    mode = compatibility_mode(entity_type=schema.entity_type)
    after = None if is_in_force else before
    return _preview(schema, standing, before, after, retiring, mode, (), hindrances)


def _preview(
    schema: Schema,
    standing: Standing,
    before: SchemaVersion | None,
    after: SchemaVersion | None,
    retiring: Collection[SchemaVersion],
    mode: Mode,
    reasons: tuple[Reason, ...],
    hindrances: list[Hindrance],
) -> ChangePreview:
    user_id = schema.user_id
    then = replace(standing, shared=after) if user_id is None else replace(standing, own=after)
    applied, applying = standing.definition, then.definition
    is_recomputed = _reduction_hash(applied) != _reduction_hash(applying)
    old, new = applied or NO_FIELDS, applying or NO_FIELDS
    quota = None if user_id is None else _quota_outlook(schema, then, after, retiring)
    if quota is not None and quota.is_passed:
        hindrances.append(Hindrance.QUOTA)
    impacts = impact_of_schema_change(entity_type=schema.entity_type, user_id=user_id)
    return ChangePreview(
        schema=schema,
        before=before,
        after=after,
        retiring=tuple(retiring),
        shown=standing.in_words,
        sides=side_by_side(diff(old, new), old, new),
        is_declared_before=applied is not None,
        is_declared_after=applying is not None,
        mode=mode,
        reasons=reasons,
        impacts=tuple(impacts),
        is_recomputed=is_recomputed,
        users=_users_reached(schema.entity_type, before, after) if user_id is None else None,
        composition=then.composition if user_id is not None and standing.shared is not None else None,
        quota=quota,
        hindrances=tuple(hindrances),
    )


def _of_owner(standing: Standing, user_id: int | None) -> SchemaVersion | None:
    return standing.shared if user_id is None else standing.own


def _reduction_hash(definition: Definition | None) -> str:
    return UNDECLARED_REDUCTION_HASH if definition is None else definition.reduction_hash


def _users_reached(
    entity_type: str, before: SchemaVersion | None, after: SchemaVersion | None
) -> UsersReached:
    """What becomes of what users have: own schemas are adopted, fields absorbed, and what does not agree any more is
    listed. Of conflicts only those count that the change makes."""
    found = own_things(entity_type=entity_type, limit=USERS_LOOKED_AT)
    old, new = (None if version is None else version.parsed for version in (before, after))
    adopting = absorbing = absorbed = conflicting = conflicts = 0
    for thing in found.things:
        if new is None:
            continue
        said = said_by(thing)
        composition = compose(new, said)
        known = _identities(compose(old, said)) if old else set()
        made = _identities(composition) - known
        adopting += isinstance(thing, SchemaVersion)
        absorbing += bool(composition.absorbed)
        absorbed += len(composition.absorbed)
        conflicting += bool(made)
        conflicts += len(made)
    return UsersReached(
        len(found.things),
        found.up_to_user is None,
        adopting,
        absorbing,
        absorbed,
        conflicting,
        conflicts,
    )


def _identities(composition: Composition) -> set[tuple[str, str, str]]:
    return {one.identity for one in composition.conflicts}


def _quota_outlook(
    schema: Schema, then: Standing, after: SchemaVersion | None, retiring: Collection[SchemaVersion]
) -> QuotaOutlook:
    """As the database counts (sql/0007): of the own versions the one in force, else the newest that is not retired,
    and what the extension in force adds."""
    user_id = schema.user_id or 0
    present = usage_of_type(user_id=user_id, entity_type=schema.entity_type)
    counted = after or _newest_left(schema, retiring)
    extension = then.extension.parsed if then.extension else EMPTY_EXTENSION
    is_counted = counted is not None or not extension.is_empty
    fields = (len(counted.parsed.fields) if counted else 0) + extension.field_count
    return quota_outlook(
        user_id=user_id,
        more_schemas=is_counted - (present is not None),
        more_fields=fields - (present or 0),
    )


def _newest_left(schema: Schema, retiring: Collection[SchemaVersion]) -> SchemaVersion | None:
    gone: Mapping[int, SchemaVersion] = {version.pk: version for version in retiring}
    left = SchemaVersion.objects.filter(schema=schema.pk, retired_at__isnull=True).exclude(pk__in=gone)
    return left.order_by("-major", "-minor", "-patch").first()
