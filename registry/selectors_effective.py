"""What applies to one user, field by field, and who says so: for the page of the effective schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from registry.domain.composition import Composition, Origin
from registry.domain.definition import Definition, Field, Policy
from registry.domain.sides import Part, declaration_parts
from registry.models import Schema
from registry.selectors import Standing, schema_standing

#: Entity types that a field for one suggests.
SUGGESTED_MAX = 200


@dataclass(frozen=True, slots=True)
class FieldInForce:
    """One field of an effective schema. `overridden` is what the user's override makes otherwise, part by part."""

    field: Field
    policy: Policy
    origin: Origin
    overridden: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class EffectiveTold:
    """What applies to one user, or globally. Without a `composition` the type is undeclared."""

    entity_type: str
    standing: Standing
    composition: Composition | None
    fields: tuple[FieldInForce, ...]
    counts: Mapping[Origin, int]
    kind_order: tuple[str, ...] = ()

    @property
    def is_extension_waiting(self) -> bool:
        """Whether the user has an extension, and no global schema is there to extend."""
        return self.standing.extension is not None and self.standing.shared is None

    @property
    def is_own_waiting(self) -> bool:
        """Whether the user's own version counts for nothing: an extension stands in its place."""
        standing = self.standing
        return bool(standing.own and standing.shared and standing.extension)

    @property
    def is_own_unadopted(self) -> bool:
        """Whether the user's own version is read as an extension, until it is one."""
        standing = self.standing
        return bool(standing.own and standing.shared and not standing.extension)


def effective_told(*, entity_type: str, user_id: int | None) -> EffectiveTold:
    """What applies to the user, or globally, as committed now. Three queries."""
    standing = schema_standing(entity_type=entity_type, user_id=user_id)
    composition = standing.composition
    if composition is None:
        return EffectiveTold(entity_type, standing, None, (), {})
    shared = standing.shared.parsed if standing.shared else None
    fields = tuple(_field(name, composition, shared) for name in sorted(composition.definition.fields))
    counts = {origin: sum(field.origin is origin for field in fields) for origin in Origin}
    definition = standing.definition
    kind_order = definition.kind_order if definition else ()
    return EffectiveTold(entity_type, standing, composition, fields, counts, kind_order)


def entity_types_suggested() -> list[str]:
    """The first entity types of which there is a schema."""
    found = Schema.objects.order_by("entity_type").values_list("entity_type", flat=True).distinct()
    return list(found[:SUGGESTED_MAX])


def _field(name: str, composition: Composition, shared: Definition | None) -> FieldInForce:
    declared = composition.definition.declaration(name)
    origin = composition.origins[name]
    overridden: tuple[Part, ...] = ()
    if shared is not None and origin in (Origin.OVERRIDE, Origin.CONFLICT):
        parts = declaration_parts(shared.declaration(name), declared)
        overridden = tuple(part for part in parts if part.is_changed)
    return FieldInForce(declared.field, declared.policy, origin, overridden)
