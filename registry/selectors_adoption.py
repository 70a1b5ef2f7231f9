"""Users whose own schema of a type waits to become an extension of the global one."""

from __future__ import annotations

from collections.abc import Collection

from registry.models import ExtensionRevision, SchemaVersion


def owners_unadopted(*, owners: Collection[tuple[str, int]]) -> frozenset[tuple[str, int]]:
    """Those of these (entity type, user) to whose part of the schema nothing can be added until a job has adopted it
    (`not_adopted`). Three queries, however many there are."""
    types = {entity_type for entity_type, _user_id in owners}
    user_ids = {user_id for _type, user_id in owners}
    versions = SchemaVersion.objects.filter(entity_type__in=types, is_active=True)
    shared = set(versions.filter(user__isnull=True).values_list("entity_type", flat=True))
    own = {
        (entity_type, user_id)
        for entity_type, user_id in versions.filter(user_id__in=user_ids).values_list(
            "entity_type", "user_id"
        )
        if entity_type in shared and user_id is not None
    }
    extended = set(
        ExtensionRevision.objects.filter(
            entity_type__in=types, user_id__in=user_ids, is_active=True
        ).values_list("entity_type", "user_id")
    )
    return frozenset((own - extended) & set(owners))
