"""Converters are added to a field that one user declares; what waits of it is looked at again by a job."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from fragments.domain.declaring import declaration_read, document_with
from fragments.selectors_field_converters import converters_refusal, with_converters
from fragments.services.own_schemas import own_put_in_force
from registry.selectors import schema_standing
from registry.services.extensions import extension_add_fields
from registry.services.locking import hold_for_change, require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import require_storable

MAY_CONVERT = "registry.extend_schema"


@transaction.atomic
def field_converters_add(
    *, user_id: int, entity_type: str, field: str, converters: Sequence[str], actor: Actor, note: str = ""
) -> str:
    """The field has these converters as well, in the user's extension or own schema, all in the order in which they
    have to be asked; a job is asked for that retries what waits of it. Those that it has already change nothing. Gives
    what to tell about the quota.

    Raises: Denied; Invalid `invalid_entity_type`; Undeclared `undeclared_type`; NotDeclared `not_declared`;
    DeclaredGlobally `declared_globally`; InvalidExtension for converters that do not exist or do not end in the
    field's type; NothingToExtend `not_adopted`; IncompatibleChange; Unstorable for such a note; LockTimeout.
    """
    actor.require(MAY_CONVERT)
    require_storable([field, note, *converters])
    require_entity_type(entity_type)
    hold_for_change(entity_type, user_id)
    standing = schema_standing(entity_type=entity_type, user_id=user_id)
    refusal = converters_refusal(standing=standing, entity_type=entity_type, field=field)
    if refusal is not None:
        raise refusal
    definition = standing.definition
    assert definition is not None  # noqa: S101  else it would have been refused
    held = definition.declaration(field)
    known = [converter.function for converter in held.field.converters]
    document = held.to_json()
    document["converters"] = [*known, *(name for name in converters if name not in known)]
    # What does not exist, or ends in another type, is refused in words.
    declaration_read(field, document)
    declared = with_converters(held, converters)
    if standing.shared is not None:
        return extension_add_fields(
            entity_type=entity_type, user_id=user_id, declarations=[declared], actor=actor, note=note
        ).warning
    return own_put_in_force(standing, document_with(definition, declared), actor, note)
