"""What quotas should say, counted here from the rows and not by the database."""

from __future__ import annotations

from typing import Any

from django.db import connection

from registry.models import ExtensionRevision, SchemaVersion, UserQuota
from schemaevo.kernel.models import User


def counted(user: User) -> tuple[int, int]:
    """The entity types and fields of a user that count."""
    own: dict[str, tuple[Any, int]] = {}
    for version in SchemaVersion.objects.filter(user=user, retired_at__isnull=True):
        rank = (version.is_active, version.major, version.minor, version.patch)
        present = own.get(version.entity_type)
        if present is None or rank > present[0]:
            own[version.entity_type] = (rank, len(version.definition["fields"]))
    fields = {entity_type: count for entity_type, (_, count) in own.items()}
    for revision in ExtensionRevision.objects.filter(user=user, is_active=True):
        if revision.additional_fields or revision.field_overrides:
            fields[revision.entity_type] = fields.get(revision.entity_type, 0) + len(
                revision.additional_fields
            )
    return len(fields), sum(fields.values())


def counters(user: User) -> tuple[int, int]:
    """What the user's quota says."""
    row = UserQuota.objects.filter(user=user).first()
    return (row.schema_count, row.total_fields) if row else (0, 0)


def maxima(user: User) -> tuple[int, int]:
    """How much the user may have."""
    row = UserQuota.objects.filter(user=user).first()
    return (row.max_schemas, row.max_fields) if row else (10, 200)


def fields_named(count: int, prefix: str = "f") -> dict[str, Any]:
    """So many declared fields."""
    return {f"{prefix}{number}": {"type": "string"} for number in range(count)}


def tamper(user: User, **columns: int) -> None:
    """The user's quota says this; no guard lets that happen, so it is off for a moment."""
    with connection.cursor() as cursor:
        # Checks that wait for the commit would forbid the next statement.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE user_schema_quotas DISABLE TRIGGER user_schema_quotas_guarded")
        UserQuota.objects.filter(user=user).update(**columns)
        cursor.execute("ALTER TABLE user_schema_quotas ENABLE TRIGGER user_schema_quotas_guarded")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
