"""Reads that only pages need."""

from collections.abc import Collection, Mapping

from django.db.models import CharField, Count, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Concat

from registry.models import Schema, SchemaVersion
from registry.selectors import Owner, effective_schemas_of


def reduction_hashes_in_force(*, owners: Collection[tuple[str, int]]) -> Mapping[Owner, str]:
    """For each (entity type, user) the hash that an up-to-date snapshot carries. Five queries at most."""
    schemas = effective_schemas_of(owners=set(owners))
    return {owner: schema.reduction_hash for owner, schema in schemas.items()}


def schemas_with_state() -> QuerySet[Schema]:
    """Schemas, each with `version_count` and, of the version in force, `active_id` and `active_number`."""
    in_force = SchemaVersion.objects.filter(schema=OuterRef("pk"), is_active=True)
    number = Concat("major", Value("."), "minor", Value("."), "patch", output_field=CharField())
    return Schema.objects.select_related("user").annotate(
        version_count=Count("versions"),
        active_id=Subquery(in_force.values("pk")[:1]),
        active_number=Subquery(in_force.annotate(text=number).values("text")[:1]),
    )
