"""Reads that only pages need."""

from collections.abc import Collection, Mapping

from django.db.models import CharField, Count, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Concat

from registry.domain.definition import UNDECLARED_REDUCTION_HASH
from registry.domain.effective import compose
from registry.models import Schema, SchemaVersion


def reduction_hashes_in_force(*, owners: Collection[tuple[str, int]]) -> Mapping[tuple[str, int], str]:
    """For each (entity type, user) the hash that an up-to-date snapshot carries. One query in all."""
    rows = SchemaVersion.objects.filter(
        Q(user=None) | Q(user__in={user_id for _type, user_id in owners}),
        entity_type__in={entity_type for entity_type, _user in owners},
        is_active=True,
    ).only("entity_type", "user_id", "definition", "definition_hash")
    active = {(row.entity_type, row.user_id): row for row in rows}
    return {
        (entity_type, user_id): _hash(active.get((entity_type, None)), active.get((entity_type, user_id)))
        for entity_type, user_id in owners
    }


def _hash(shared: SchemaVersion | None, own: SchemaVersion | None) -> str:
    if shared and own:
        return compose(shared.parsed, own.parsed).reduction_hash
    stamp = shared or own
    return stamp.parsed.reduction_hash if stamp else UNDECLARED_REDUCTION_HASH


def schemas_with_state() -> QuerySet[Schema]:
    """Schemas, each with `version_count` and, of the version in force, `active_id` and `active_number`."""
    in_force = SchemaVersion.objects.filter(schema=OuterRef("pk"), is_active=True)
    number = Concat("major", Value("."), "minor", Value("."), "patch", output_field=CharField())
    return Schema.objects.select_related("user").annotate(
        version_count=Count("versions"),
        active_id=Subquery(in_force.values("pk")[:1]),
        active_number=Subquery(in_force.annotate(text=number).values("text")[:1]),
    )
