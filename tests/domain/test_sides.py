"""Two definitions side by side: every field of either stands there, and just what differs is marked."""

from hypothesis import given

from registry.domain.definition import Definition
from registry.domain.diff import diff
from registry.domain.sides import LISTED_MAX, UNMARKED_MAX, Part, Side, Sides, side_by_side
from registry.domain.validation import parse_definition
from tests.domain.strategies import definitions
from tests.factories import make_definition


def beside(old: Definition, new: Definition) -> Sides:
    return side_by_side(diff(old, new), old, new)


def parts_of(sides: Sides, field: str) -> dict[str, Part]:
    found = next(one for one in sides.fields if one.name == field)
    return {part.name: part for part in found.parts}


@given(definitions(), definitions())
def test_every_field_stands_on_the_sides_that_declare_it(old: Definition, new: Definition) -> None:
    sides = beside(old, new)
    assert [field.name for field in sides.fields] == sorted({*old.fields, *new.fields})
    for field in sides.fields:
        assert (field.old is not None, field.new is not None) == (
            field.name in old.fields,
            field.name in new.fields,
        )
        expected = {(False, True): Side.ADDED, (True, False): Side.REMOVED}.get(
            (field.name in old.fields, field.name in new.fields)
        )
        assert field.side is (expected or (Side.CHANGED if field.changes else Side.SAME))


@given(definitions(), definitions())
def test_no_change_is_left_out_and_none_is_told_twice(old: Definition, new: Definition) -> None:
    sides = beside(old, new)
    told = [change for field in sides.fields for change in field.changes] + [*sides.kind_changes]
    assert len(told) == len(diff(old, new))
    assert all(change in told for change in diff(old, new))


@given(definitions())
def test_nothing_is_marked_between_equal_sides(definition: Definition) -> None:
    sides = beside(definition, definition)
    assert sides.differing == ()
    assert not any(part.is_changed for field in sides.fields for part in field.parts)
    assert not sides.kind_order.is_changed


def test_of_a_changed_field_only_what_changed_is_marked() -> None:
    old = parse_definition(make_definition(a={"type": "string", "constraints": {"max_length": 9}}))
    new = parse_definition(
        make_definition(a={"type": "string", "required": True, "constraints": {"max_length": 5}})
    )
    parts = parts_of(beside(old, new), "a")
    assert {name for name, part in parts.items() if part.is_changed} == {"required", "max_length"}
    assert [item.value for item in parts["max_length"].old] == [9]
    assert [item.value for item in parts["max_length"].new] == [5]


def test_of_an_enum_the_values_that_came_and_went_are_marked_whatever_their_order() -> None:
    old = parse_definition(make_definition(a={"type": "string", "constraints": {"enum": ["x", "y", "z"]}}))
    new = parse_definition(make_definition(a={"type": "string", "constraints": {"enum": ["z", "x", "w"]}}))
    enum = parts_of(beside(old, new), "a")["enum"]
    assert [item.value for item in enum.old if item.is_marked] == ["y"]
    assert [item.value for item in enum.new if item.is_marked] == ["w"]


def test_converters_in_another_order_are_marked() -> None:
    fields = [
        {"type": "string", "converters": ["number_to_string", "boolean_to_string"]},
        {"type": "string", "converters": ["boolean_to_string", "number_to_string"]},
    ]
    old, new = (parse_definition(make_definition(a=field)) for field in fields)
    part = parts_of(beside(old, new), "a")["converters"]
    assert all(item.is_marked for item in (*part.old, *part.new))


def test_a_long_enum_shows_what_changed_first_and_counts_the_rest() -> None:
    values = [f"v{n:03}" for n in range(200)]
    old = parse_definition(make_definition(a={"type": "string", "constraints": {"enum": values}}))
    new = parse_definition(
        make_definition(a={"type": "string", "constraints": {"enum": [*values[:-1], "new"]}})
    )
    enum = parts_of(beside(old, new), "a")["enum"]
    assert [item.value for item in enum.new if item.is_marked] == ["new"]
    assert len(enum.new) == UNMARKED_MAX + 1 <= LISTED_MAX
    assert enum.new_more == 200 - len(enum.new)
