"""The effective schema of one user: what the global schema and the user's own say together."""

from __future__ import annotations

from dataclasses import dataclass

from registry.domain.definition import UNDECLARED_REDUCTION_HASH, Definition


@dataclass(frozen=True, slots=True)
class EffectiveSchema:
    """What applies to the records of one user and entity type.

    `definition` is None for an undeclared type. `version_id` names the version that records are stamped
    with: the global one where there is one, else the user's own.
    """

    entity_type: str
    user_id: int
    definition: Definition | None
    version_id: int | None
    number: str

    @property
    def reduction_hash(self) -> str:
        """The hash of just what reduction depends on; snapshots carry it."""
        return UNDECLARED_REDUCTION_HASH if self.definition is None else self.definition.reduction_hash


def compose(shared: Definition, own: Definition) -> Definition:
    """The global definition with a user's own read as an extension of it.

    A field of the same name and type is the global one. One of another type stays the user's own, since the
    user's data must keep working; it is a conflict for an admin to settle. The kind order is the global one.
    """
    fields = dict(shared.fields)
    policies = dict(shared.merge_policies)
    for name, field in own.fields.items():
        if name in shared.fields and shared.fields[name].type is field.type:
            continue
        fields[name] = field
        policies.pop(name, None)
        if name in own.merge_policies:
            policies[name] = own.merge_policies[name]
    return Definition(
        fields=fields, merge_policies=policies, observation_source_priority=shared.observation_source_priority
    )
