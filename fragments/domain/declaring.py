"""A definition with a field more, with one declared otherwise, or with one less: the rest stays as it is."""

from __future__ import annotations

from registry.domain.definition import Declaration, Definition
from registry.domain.extension import Extension, parse_extension
from schemaevo.kernel.canonical import Json, JsonObject


def declaration_read(field: str, declaration: Json) -> Declaration:
    """The field as an additional field of an extension is declared. Raises: InvalidExtension with every problem."""
    return parse_extension({"additional_fields": {field: declaration}}).declaration(field)


def document_with(definition: Definition, declared: Declaration) -> JsonObject:
    """The document of the definition in which the field is declared so, whether it has one of that name or not."""
    return _document(definition, Extension.of_own_schema(definition).with_fields([declared]))


def document_without(definition: Definition, field: str) -> JsonObject:
    """The document of the definition without the field."""
    return _document(definition, Extension.of_own_schema(definition).without([field]))


def _document(definition: Definition, extension: Extension) -> JsonObject:
    """The definition with the fields and policies of the extension for its own; the kind order stays."""
    document = definition.to_json()
    document["fields"] = {name: field.to_json() for name, field in extension.additional_fields.items()}
    document["merge_policies"] = {name: policy.to_json() for name, policy in extension.merge_policies.items()}
    return document
