"""What tests start from, made by the services themselves wherever there is one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction

from fragments.models import IngestRun
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions, Line, jsonl_lines
from registry.domain.compatibility import Mode
from registry.domain.times import to_us
from registry.models import ExtensionRevision, QuotaRequest, SchemaVersion
from registry.selectors import effective_schemas
from registry.services.activation import schema_activate
from registry.services.compatibility import compatibility_set
from registry.services.extensions import extension_save
from registry.services.locking import hold_for_writing
from registry.services.quota_requests import quota_request_create
from registry.services.quotas import quota_set_maximum
from registry.services.schemas import schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject, canonical_bytes, exact_number
from schemaevo.kernel.models import User
from snapshots.domain.identity import (
    entity_id,
    named_observation_id,
    observation_content_id,
    source_id,
)
from snapshots.domain.observed import Observed
from snapshots.models import EntitySnapshot
from snapshots.services.observations import NewObservation, Recorded, observations_record
from snapshots.services.sources import sources_ensure

SHELL = Actor.system("tests")
NOON = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
THING = "thing"
_numbers = itertools.count(1)


def make_user(*, username: str | None = None, **columns: Any) -> User:
    """An owner of records."""
    return User.objects.create(username=username or f"owner-{next(_numbers)}", password="!", **columns)


def make_login(*, role: str | None = None, **columns: Any) -> User:
    """Somebody who signs in and has one role, or none."""
    login = make_user(username=f"login-{next(_numbers)}", is_staff=True, **columns)
    if role is not None:
        login.groups.add(Group.objects.get(name=role))
    return login


def make_definition(
    *, policies: dict[str, Any] | None = None, kinds: list[str] | None = None, **fields: Any
) -> dict[str, Any]:
    """A definition's document; each field is given by its type, or as it stands in the document."""
    document: dict[str, Any] = {
        "fields": {
            name: {"type": field} if isinstance(field, str) else field for name, field in fields.items()
        }
    }
    if policies is not None:
        document["merge_policies"] = policies
    if kinds is not None:
        document["observation_source_priority"] = list(kinds)
    return document


def make_version(
    *, document: Json, entity_type: str = THING, user: User | None = None, is_active: bool = True
) -> SchemaVersion:
    """A registered version, in force unless told otherwise."""
    registered = schema_register(
        entity_type=entity_type, document=document, actor=SHELL, user_id=user.pk if user else None
    )
    if not is_active:
        return registered.version
    return schema_activate(version_id=registered.version.pk, actor=SHELL, without_review="a test wants it")


def make_extension(
    *, user: User, document: Json, entity_type: str = THING, base: int | None = None
) -> ExtensionRevision:
    """The user's extension of the global schema is this document."""
    return extension_save(
        entity_type=entity_type, user_id=user.pk, document=document, actor=SHELL, base=base
    ).revision


def make_compatibility(*, mode: Mode = Mode.NONE, entity_type: str = THING) -> None:
    """Later versions of the type have to agree as the mode says; unless told otherwise, not at all."""
    compatibility_set(entity_type=entity_type, mode=mode, actor=SHELL)


def make_maximum(*, user: User, **maxima: Any) -> None:
    """The user may have as much as `max_schemas` and `max_fields` say."""
    quota_set_maximum(user_id=user.pk, actor=SHELL, note="a test wants it", **maxima)


def make_quota_request(
    *, user: User, asker: User | None = None, max_schemas: int | None = 20, max_fields: int | None = None
) -> QuotaRequest:
    """An upgrade request that waits; an operator has asked unless told otherwise."""
    return quota_request_create(
        user_id=user.pk,
        actor=Actor.login(asker or make_login(role="operator")),
        reason="they grow",
        max_schemas=max_schemas,
        max_fields=max_fields,
    )


def make_observation(
    *,
    user: User,
    fields: JsonObject,
    key: str = "k",
    entity_type: str = THING,
    seconds: int = 0,
    priority: int = 100,
    specificity: float = 1.0,
    kind: str | None = None,
    source: str = "feed",
    given_id: str | None = None,
) -> NewObservation:
    """An observation that can be recorded, `seconds` after noon."""
    entity = entity_id(user.pk, entity_type, key)
    origin = source_id(user.pk, source, "")
    content = observation_content_id(
        entity=entity,
        source=origin,
        observed_us=seconds * 1_000_000,
        priority=priority,
        specificity=exact_number(specificity),
        kind=kind,
        record=canonical_bytes(fields),
    )
    return NewObservation(
        id=content if given_id is None else named_observation_id(user.pk, given_id),
        content_id=content,
        user_id=user.pk,
        entity_type=entity_type,
        entity_id=entity,
        entity_key=key,
        source_id=origin,
        observed_us=to_us(NOON) + seconds * 1_000_000,
        priority=priority,
        specificity=exact_number(specificity),
        kind=kind,
        fields=fields,
    )


def make_recorded_from(
    *, user: User, history: Iterable[Observed], key: str = "k", entity_type: str = THING
) -> list[NewObservation]:
    """What is recorded for a history as the reducer takes it, so that both can be compared."""
    return [
        NewObservation(
            id=observed.id,
            content_id=observed.id,
            user_id=user.pk,
            entity_type=entity_type,
            entity_id=entity_id(user.pk, entity_type, key),
            entity_key=key,
            source_id=source_id(user.pk, "feed", ""),
            observed_us=to_us(NOON) + observed.observed_us,
            priority=observed.priority,
            specificity=exact_number(float(observed.specificity)),
            kind=observed.kind,
            fields=dict(observed.fields),
            ranks_as=observed.ranks_as,
        )
        for observed in history
    ]


def make_recorded(*, observations: Sequence[NewObservation]) -> Recorded:
    """The observations are recorded in one transaction, under the locks that ingest takes."""
    with transaction.atomic():
        entity_type = observations[0].entity_type
        user_ids = {observation.user_id for observation in observations}
        hold_for_writing(entity_type, user_ids)
        schemas = effective_schemas(entity_type=entity_type, user_ids=user_ids)
        sources_ensure(user_ids=user_ids, name="feed", content_hash="")
        return observations_record(observations=observations, schemas=schemas)


def make_snapshot(*, user: User, key: str = "k", entity_type: str = THING) -> EntitySnapshot:
    """The snapshot row of an entity as it is now."""
    return EntitySnapshot.objects.get(user=user, entity_type=entity_type, entity_key=key)


def make_lines(*, records: Iterable[Any]) -> list[Line]:
    """The lines of a JSON Lines file; bytes stand for themselves."""
    raw = (record if isinstance(record, bytes) else canonical_bytes(record) for record in records)
    return list(jsonl_lines(line + b"\n" for line in raw))


def make_run(
    *,
    records: Iterable[Any],
    user: User | None = None,
    source: str = "feed",
    observed_at: datetime | None = NOON,
    **options: Any,
) -> IngestRun:
    """An ingest run over records with the key field `k`."""
    chosen: dict[str, Any] = {"entity_type": THING, "key_field": "k", **options}
    if user is not None:
        chosen["user_id"] = user.pk
    return ingest(
        source=Input(
            make_lines(records=records), "stream", source_name=source, default_observed_at=observed_at
        ),
        options=IngestOptions(**chosen),
        actor=SHELL,
    )


def make_file(*, path: Path, records: Iterable[Any]) -> Path:
    """A JSON Lines file; bytes are lines as they stand."""
    lines = (record if isinstance(record, bytes) else json.dumps(record).encode() for record in records)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path
