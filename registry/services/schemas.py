"""Registering versions and putting them in force."""

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import BooleanField, Case, F, Q, Value, When
from django.db.models.functions import Coalesce, Now

from registry.domain.diff import bump, next_version
from registry.domain.validation import entity_type_problem, parse_definition
from registry.errors import ReviewNeeded, SchemaNotFound
from registry.events import schema_in_force_changed
from registry.models import Schema, SchemaVersion
from registry.selectors import owned_by, version_in_force
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, content_hash, require_storable
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.locks import LockSpace, hold


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration came to: the version, and whether it is new."""

    version: SchemaVersion
    created: bool


@transaction.atomic
def schema_register(
    *, entity_type: str, document: Json, actor: Actor, user_id: int | None = None, note: str = ""
) -> Registered:
    """The definition is a version of the schema; it is not in force yet.

    `document` is the JSON of a definition: ``{"fields": …, "merge_policies": …}``. The number follows from the
    difference to the version in force (else to the newest) and counts on from the highest number. A definition
    equal to one that is registered returns that version.

    Raises: Denied; Invalid `invalid_entity_type`; InvalidDefinition `invalid_definition` with every problem;
    Unstorable for a note that cannot be stored.
    """
    actor.require("registry.register_schema")
    require_storable(note)
    problem = entity_type_problem(entity_type)
    if problem:
        raise Invalid("invalid_entity_type", problem, entity_type=entity_type)
    definition = parse_definition(document)
    stored = definition.to_json()
    digest = content_hash(stored)

    _hold(entity_type, user_id)
    # Under the lock nobody else makes it meanwhile.
    schema = Schema.objects.filter(owned_by(user_id), entity_type=entity_type).first()
    if schema is None:
        schema = Schema.objects.create(entity_type=entity_type, user_id=user_id)
    versions = list(schema.versions.order_by("major", "minor", "patch"))
    for version in versions:
        if version.definition_hash == digest:
            return Registered(version, created=False)

    base = next((v for v in versions if v.is_active), versions[-1] if versions else None)
    highest = (versions[-1].major, versions[-1].minor, versions[-1].patch) if versions else None
    # Two definitions with different hashes differ at least in their text.
    change = bump(base.parsed if base else None, definition) or "patch"
    major, minor, patch = next_version(highest, change)
    version = SchemaVersion.objects.create(
        schema=schema,
        entity_type=entity_type,
        user_id=user_id,
        major=major,
        minor=minor,
        patch=patch,
        definition=stored,
        definition_hash=digest,
        note=note,
        created_by=actor.user,
    )
    audit_record(
        actor=actor,
        action="schema_version.register",
        target_type="schema_version",
        target_id=version.pk,
        after={
            "entity_type": entity_type,
            "owner": user_id,
            "number": version.number,
            "change": change,
            "definition_hash": digest,
        },
        reason=note,
    )
    return Registered(version, created=True)


@transaction.atomic
def schema_activate(*, version_id: int, actor: Actor, without_review: str = "") -> SchemaVersion:
    """The version is in force, instead of the one that was.

    When this returns, no process splits a record by the older version: ingest holds the shared lock of what is
    in force while it writes. Activating what is in force changes nothing. A global schema that was ever in force
    changes only after a review, or with a reason in `without_review`.

    Raises: Denied; SchemaNotFound; ReviewNeeded `review_needed`; Unstorable for such a reason; LockTimeout.
    """
    actor.require("registry.activate_schema")
    require_storable(without_review)
    version = _version(version_id)
    _hold(version.entity_type, version.user_id)
    version = _version(version_id)
    if version.is_active:
        return version
    siblings = SchemaVersion.objects.filter(schema_id=version.schema_id)
    if version.user_id is None and siblings.filter(first_activated_at__isnull=False).exists():
        _require_reason(version.entity_type, actor, without_review)
    before = siblings.filter(is_active=True).first()
    is_it = Q(pk=version.pk)
    # One statement flips both: at no moment are there two in force, or none.
    siblings.filter(is_it | Q(is_active=True)).update(
        is_active=Case(When(is_it, then=Value(True)), default=Value(False), output_field=BooleanField()),
        first_activated_at=Case(
            When(is_it, then=Coalesce("first_activated_at", Now())), default=F("first_activated_at")
        ),
        activated_at=Case(When(is_it, then=Now()), default=F("activated_at")),
    )
    _changed(version, "schema_version.activate", before, version, actor, without_review)
    version.refresh_from_db()
    return version


@transaction.atomic
def schema_deactivate(
    *, entity_type: str, user_id: int | None, actor: Actor, without_review: str = ""
) -> SchemaVersion | None:
    """No version of that type and owner is in force. Gives the one that was, if there was one.

    Raises: Denied; ReviewNeeded `review_needed` for a global schema; Unstorable for such a reason; LockTimeout.
    """
    actor.require("registry.activate_schema")
    require_storable(without_review)
    _hold(entity_type, user_id)
    version = version_in_force(entity_type=entity_type, user_id=user_id)
    if version is None:
        return None
    if user_id is None:
        _require_reason(entity_type, actor, without_review)
    SchemaVersion.objects.filter(pk=version.pk).update(is_active=False)
    _changed(version, "schema_version.deactivate", version, None, actor, without_review)
    version.refresh_from_db()
    return version


def _require_reason(entity_type: str, actor: Actor, without_review: str) -> None:
    """Only the shell may do without a review, and has to say why."""
    if not (actor.is_trusted and without_review.strip()):
        raise ReviewNeeded(entity_type)


def _hold(entity_type: str, user_id: int | None) -> None:
    """A change locks its own type and owner only, so that one user's never holds up another user."""
    if user_id is None:
        hold(LockSpace.SCHEMA_TYPE, [(entity_type,)])
    else:
        hold(LockSpace.SCHEMA_OWNER, [(entity_type, user_id)])


def _version(version_id: int) -> SchemaVersion:
    version = SchemaVersion.objects.filter(pk=version_id).first()
    if version is None:
        raise SchemaNotFound("", str(version_id), "by id")
    return version


def _changed(
    version: SchemaVersion,
    action: str,
    before: SchemaVersion | None,
    after: SchemaVersion | None,
    actor: Actor,
    without_review: str,
) -> None:
    """Epoch up, audit row, event: what every change of what is in force has in common."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO schema_epochs (entity_type, user_id, epoch) VALUES (%s, %s, 1)
            ON CONFLICT (entity_type, user_id) DO UPDATE SET epoch = schema_epochs.epoch + 1
            """,
            [version.entity_type, version.user_id],
        )
    audit_record(
        actor=actor,
        action=action,
        target_type="schema_version",
        target_id=version.pk,
        before={"in_force": before.number if before else None},
        after={
            "in_force": after.number if after else None,
            "entity_type": version.entity_type,
            "owner": version.user_id,
            "without_review": bool(without_review.strip()),
        },
        reason=without_review.strip(),
    )
    schema_in_force_changed.send(
        sender=SchemaVersion, entity_type=version.entity_type, user_id=version.user_id
    )
