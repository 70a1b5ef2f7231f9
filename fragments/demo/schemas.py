"""The global schema of packages has a history, and owners have extensions of it, one of which disagrees with it."""

from __future__ import annotations

from typing import Final

from fragments.demo.cast import Cast
from fragments.demo.past import Doings
from fragments.demo.records import PACKAGE
from registry.domain.definition import Declaration
from registry.domain.edit_documents import parse_edits
from registry.domain.edits import edited
from registry.selectors import extension_in_force, version_in_force
from registry.services.activation import schema_activate
from registry.services.extensions import extension_add_fields
from registry.services.schemas import schema_register
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.models import User

#: Becomes global, after one owner has declared it otherwise and another one alike.
CONTESTED: Final = "Essential"
#: Becomes global by a proposal, after an owner has declared it.
PROPOSED: Final = "Enhances"
#: Nobody reads it any more.
DROPPED: Final = "Description-md5"

TEXT: Final[JsonObject] = {"type": "string"}


def extensions_begin(cast: Cast, doings: Doings) -> None:
    """Some owners declare fields of their own, one of them *Essential* as a boolean; what waited of these is moved."""
    owners = cast.having(CONTESTED, 2)
    otherwise: JsonObject = {
        "type": "boolean",
        "description": "Whether the system works without it.",
        "converters": [{"from": "string", "to": "boolean", "function": "string_to_boolean"}],
    }
    for owner, declaration in zip(owners, (otherwise, TEXT), strict=False):
        extend(owner, {CONTESTED: declaration}, cast.schema_admin, "asked for by the owner")
    for owner in cast.having(PROPOSED, 1):
        extend(owner, {PROPOSED: TEXT}, cast.schema_admin, "shown on the owner's pages")
    doings.work()


def contested_field_becomes_global(cast: Cast, doings: Doings) -> None:
    """Version 1.1.0 declares *Essential* as text: one extension's copy is absorbed, the other one is a conflict."""
    declaration = {**TEXT, "description": "yes where no system works without the package."}
    if not _is_declared(CONTESTED):
        _change(
            {"op": "add_field", "field": CONTESTED, "declaration": declaration},
            "Debian Policy 3.8 asks for it; agreed with the maintainers on the list",
        )
    doings.work()


def dropped_field_goes(cast: Cast, doings: Doings) -> None:
    """A major version no longer declares *Description-md5*."""
    if _is_declared(DROPPED):
        _change(
            {"op": "remove_field", "field": DROPPED},
            "translations are found by package name since the last release; nobody reads it",
        )
    doings.work()


def extend(owner: User, declared: dict[str, JsonObject], actor: Actor, note: str) -> None:
    """The owner's extension declares these fields, as far as it did not yet and nobody else did for all."""
    present = extension_in_force(entity_type=PACKAGE, user_id=owner.pk)
    known = set(present.parsed.additional_fields) if present is not None else set()
    shared = version_in_force(entity_type=PACKAGE, user_id=None)
    if shared is not None:
        known |= set(shared.parsed.fields)
    new = [Declaration.from_json(name, said) for name, said in declared.items() if name not in known]
    if new:
        extension_add_fields(entity_type=PACKAGE, user_id=owner.pk, declarations=new, actor=actor, note=note)


def _is_declared(field: str) -> bool:
    """Whether the global schema in force has the field."""
    present = version_in_force(entity_type=PACKAGE, user_id=None)
    return present is not None and field in present.parsed.fields


def _change(edit: JsonObject, reason: str) -> None:
    """The global schema differs by this edit, at once and without a review, as only the shell may do."""
    present = version_in_force(entity_type=PACKAGE, user_id=None)
    assert present is not None  # noqa: S101  the records came with one
    definition = edited(present.parsed, parse_edits([edit]))
    shell = Actor.shell()
    # What is registered already, or even in force, is neither again.
    registered = schema_register(entity_type=PACKAGE, document=definition.to_json(), actor=shell, note=reason)
    schema_activate(version_id=registered.version.pk, actor=shell, without_review=reason)
