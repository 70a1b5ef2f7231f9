"""What the undo of a proposal gives back to an owner: fields to an extension, or the own schema that was adopted."""

from __future__ import annotations

from registry.domain.definition import Declaration, Definition
from registry.domain.extension import Extension


def fields_to_give_back(shared: Definition, held: Extension, absorbed: Extension) -> list[Declaration]:
    """What of the absorbed the extension does not declare, and the global schema does not declare like this any
    more."""
    return [
        absorbed.declaration(name)
        for name, field in absorbed.additional_fields.items()
        if name not in held.additional_fields
        and not (name in shared.fields and shared.fields[name].type is field.type)
    ]


def own_definition_to_give_back(own: Definition, absorbed: Extension, present: Extension) -> Definition:
    """The own definition again: what was absorbed of it, and what the extension says by now; the kind order stays."""
    whole = absorbed.with_fields([present.declaration(name) for name in present.additional_fields])
    fields = {name: whole.additional_fields[name] for name in own.fields if name in whole.additional_fields}
    fields |= {name: field for name, field in whole.additional_fields.items() if name not in fields}
    policies = {name: whole.merge_policies[name] for name in fields if name in whole.merge_policies}
    return Definition(fields, policies, own.observation_source_priority)
