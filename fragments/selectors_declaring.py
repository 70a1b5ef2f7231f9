"""What declaring a field for one user comes to in the schema, and whether it may be: asked in one place, for the acts
and for their previews."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fragments.domain.declaring import document_with
from fragments.errors import AlreadyDeclared, NoFragments, Undeclared
from fragments.models import Promotion, RawFragment
from registry.domain.composition import compose
from registry.domain.definition import NO_FIELDS, Declaration, Definition
from registry.domain.diff import diff
from registry.domain.problems import InvalidDefinition
from registry.domain.sides import Sides, side_by_side
from registry.domain.validation import parse_definition
from registry.errors import NothingToExtend
from registry.models import SchemaVersion
from registry.selectors import Standing
from registry.selectors_extending import extension_ground, extension_preview
from registry.selectors_outlook import QuotaOutlook, quota_outlook
from registry.selectors_registration import incompatible_with, registration_among, versions_of
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.errors import DomainError


class Refusal(NamedTuple):
    """Why something would be refused: a code for machines, and words for people."""

    code: str
    message: str

    @classmethod
    def of(cls, error: DomainError) -> Refusal:
        """What the error says."""
        return cls(error.code, error.message)


@dataclass(frozen=True, slots=True)
class Declaring:
    """What declaring a field so would come to as of now; nothing is locked, so by then it may be otherwise.

    `after` is what would apply to the user. Where it would be refused for what is wrong with the declaration itself,
    nothing else is known.
    """

    refusals: tuple[Refusal, ...]
    before: Definition | None = None
    after: Definition | None = None
    quota: QuotaOutlook | None = None

    @property
    def sides(self) -> Sides | None:
        """What applies to the user, as it is and as it would be; None where that is not known."""
        if self.after is None:
            return None
        before = self.before or NO_FIELDS
        return side_by_side(diff(before, self.after), before, self.after)


def promotion_refusal(
    *, standing: Standing, entity_type: str, user_id: int, field: str
) -> DomainError | None:
    """Why the field cannot be promoted, whatever it were declared as: Undeclared `undeclared_type`, AlreadyDeclared
    `already_declared`, NoFragments `no_fragments`; None where it can be.

    `standing` is what is in force for the user and type. Under the lock of both nothing of it changes meanwhile.
    """
    effective = standing.definition
    if effective is None:
        return Undeclared(entity_type)
    if field in effective.fields:
        return AlreadyDeclared(entity_type, field, effective.fields[field].type.value)
    which = {"user_id": user_id, "entity_type": entity_type, "fragment_key": field}
    if RawFragment.objects.filter(**which, is_retracted=False).exists():
        return None
    # What was promoted, undone and cleaned up since lives on in its observations.
    if Promotion.objects.filter(**which).exists():
        return None
    return NoFragments(entity_type, field)


def declaring_outlook(
    *, standing: Standing, entity_type: str, user_id: int, declared: Declaration
) -> Declaring:
    """What it comes to that the user's part of the schema declares the field so: an extension where a global schema is
    in force, else the user's own. Writes nothing, locks nothing."""
    if standing.shared is not None:
        return _extended(standing, entity_type, user_id, declared)
    if standing.own is None:
        return Declaring((Refusal.of(Undeclared(entity_type)),))
    return _registered(standing.own, standing.own.parsed, declared)


def _extended(standing: Standing, entity_type: str, user_id: int, declared: Declaration) -> Declaring:
    before = standing.definition
    try:
        ground = extension_ground(entity_type=entity_type, user_id=user_id)
    except NothingToExtend as error:
        return Declaring((Refusal.of(error),), before)
    wanted = ground.said.with_fields([declared])
    preview = extension_preview(ground=ground, user_id=user_id, document=wanted.to_json())
    if preview.problems:
        return Declaring(_refusals("invalid_extension", preview.problems), before)
    after = compose(ground.shared.parsed, wanted).definition
    return Declaring(_quota_refusals(preview.quota), before, after, preview.quota)


def _registered(own: SchemaVersion, before: Definition, declared: Declaration) -> Declaring:
    try:
        after = parse_definition(document_with(before, declared))
    except InvalidDefinition as error:
        return Declaring(_refusals("invalid_definition", error.context["problems"]), before)
    versions = versions_of(entity_type=own.entity_type, user_id=own.user_id)
    registration = registration_among(entity_type=own.entity_type, definition=after, versions=versions)
    # One that says the same already is put in force again, and has to agree with the others as well.
    others = [version for version in versions if version != registration.same]
    reasons = incompatible_with(registration.mode, after, others)
    quota = quota_outlook(
        user_id=own.user_id or 0, more_schemas=0, more_fields=len(after.fields) - len(before.fields)
    )
    refusals = tuple(Refusal("incompatible_change", f"{one.message} [{one.rule}]") for one in reasons)
    return Declaring((*refusals, *_quota_refusals(quota)), before, after, quota)


def _refusals(code: str, problems: tuple[JsonObject, ...] | list[JsonObject]) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(code, f"{problem['path'] or 'the document'}: {problem['message']}") for problem in problems
    )


def _quota_refusals(quota: QuotaOutlook | None) -> tuple[Refusal, ...]:
    """Each limit that would be passed. The database counts, and refuses, when it is done."""
    if quota is None:
        return ()
    return tuple(
        Refusal(
            "quota_exceeded",
            f"The owner would have {limit.after.usage} {limit.now.limit.value}; at most {limit.now.maximum} are "
            f"allowed, and {limit.now.usage} are used.",
        )
        for limit in quota.limits
        if limit.is_passed
    )
