"""Documents and the rows that they are typed in say the same, whatever a definition or an extension may hold."""

import pytest
from hypothesis import given

from registry.admin.editor_rows import Row, Rows, rows_of_definition, rows_of_extension
from registry.domain.definition import Definition
from registry.domain.extension import Extension, parse_extension
from registry.domain.validation import parse_definition
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, decode
from tests.domain.strategies import definitions, extensions
from tests.factories import make_definition


def sent(rows: Rows) -> Rows:
    """The rows as they come back from a browser."""
    text = decode(canonical_json(rows.to_json()))
    assert isinstance(text, dict)
    fields, overrides = text["fields"], text["overrides"]
    assert isinstance(fields, list)
    assert isinstance(overrides, list)
    return Rows(
        [Row.from_mapping(row) for row in fields if isinstance(row, dict)],
        [Row.from_mapping(row) for row in overrides if isinstance(row, dict)],
        rows.has_own_kinds,
        rows.kind_order,
    )


@given(definitions())
def test_a_definition_comes_back_from_its_rows(definition: Definition) -> None:
    rows = rows_of_definition(definition)
    assert rows is not None
    back = parse_definition(sent(rows).definition())
    assert canonical_json(back.to_json()) == canonical_json(definition.to_json())


@given(extensions(), definitions())
def test_an_extension_comes_back_from_its_rows(extension: Extension, shared: Definition) -> None:
    rows = rows_of_extension(extension, shared)
    if rows is not None:  # an override may list texts of a field that is a number by now
        back = Extension.from_json(sent(rows).extension()).to_json()
        stored = extension.to_json()
        stored.pop("base_schema_version", None)
        assert canonical_json(back) == canonical_json(stored)


@given(definitions(), extensions())
def test_an_extension_that_goes_together_with_the_global_schema_has_rows(
    shared: Definition, extension: Extension
) -> None:
    suited = {
        name: override
        for name, override in extension.field_overrides.items()
        if name in shared.fields and not override.constraints.enum
    }
    rows = rows_of_extension(Extension(None, extension.additional_fields, {}, suited), shared)
    assert rows is not None


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("string", ["", " a ", '"quoted"', "two\nlines", "1", "true", "Straße", "<script>"]),
        ("number", ["12345678901234567890123", "0.1", "1e300", "-5"]),
        ("boolean", [True]),
        ("object", [{"a": "b\nc"}, {"x": [1]}]),
        ("array", [[1, "1"], []]),
    ],
)
def test_listed_values_come_back_exactly(type_: str, values: list[Json]) -> None:
    listed: list[Json] = [decode(str(value)) for value in values] if type_ == "number" else values
    definition = parse_definition(make_definition(f={"type": type_, "constraints": {"enum": listed}}))
    rows = rows_of_definition(definition)
    assert rows is not None
    back = sent(rows).definition()
    assert canonical_json(parse_definition(back).to_json()) == canonical_json(definition.to_json())


@pytest.mark.parametrize(
    "field",
    [
        {"type": "string", "constraints": {"pattern": ""}},
        {"type": "string", "constraints": {"pattern": "a\nb"}},
        {"type": "string", "description": "one\r\ntwo"},
    ],
)
def test_what_text_fields_cannot_hold_has_no_rows(field: JsonObject) -> None:
    assert rows_of_definition(parse_definition(make_definition(f=field))) is None


def test_an_override_may_say_nothing_and_take_converters_away() -> None:
    shared = parse_definition(make_definition(a={"type": "number", "converters": ["string_to_number"]}))
    extension = parse_extension({"field_overrides": {"a": {"converters": [], "description": ""}}})
    rows = rows_of_extension(extension, shared)
    assert rows is not None
    assert sent(rows).extension()["field_overrides"] == {"a": {"converters": [], "description": ""}}


def test_text_that_is_no_number_stays_for_the_rules_to_refuse() -> None:
    row = Row(name="a", type="number", min="ten", max="1_000", min_length="true")
    assert row.constraints() == {"min": "ten", "max": "1_000", "min_length": "true"}
