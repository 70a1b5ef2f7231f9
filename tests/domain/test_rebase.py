"""Changes that were made apart from each other are put together, and what clashes is said."""

from typing import Any

from hypothesis import given

from registry.domain.rebase import rebased
from tests.domain.strategies import definitions

BASE: dict[str, Any] = {
    "fields": {"a": {"type": "string"}, "b": {"type": "number", "constraints": {"min": 1}}}
}


def test_what_each_changed_alone_stands():
    mine: dict[str, Any] = {"fields": {"a": {"type": "string", "required": True}, "b": BASE["fields"]["b"]}}
    theirs: dict[str, Any] = {
        "fields": {
            "a": {"type": "string", "description": "theirs"},
            "b": {"type": "number", "constraints": {"min": 1, "max": 2}},
            "c": {"type": "array"},
        }
    }
    assert rebased(BASE, mine, theirs) == (
        {
            "fields": {
                "a": {"type": "string", "required": True, "description": "theirs"},
                "b": {"type": "number", "constraints": {"min": 1, "max": 2}},
                "c": {"type": "array"},
            }
        },
        (),
    )


def test_what_both_changed_is_as_in_mine_and_said():
    mine: dict[str, Any] = {"fields": {"a": {"type": "number"}}}
    theirs: dict[str, Any] = {
        "fields": {"a": {"type": "date"}, "b": {"type": "number", "constraints": {"min": 5}}}
    }
    together, clashes = rebased(BASE, mine, theirs)
    assert together == mine
    assert clashes == ("/fields/a/type", "/fields/b")


def test_what_both_removed_is_gone():
    gone: dict[str, Any] = {"fields": {"a": {"type": "string"}}}
    assert rebased(BASE, gone, gone) == (gone, ())


def test_a_number_and_a_truth_are_not_the_same():
    base: dict[str, Any] = {"f": {"enum": [1]}}
    assert rebased(base, {"f": {"enum": [True]}}, base) == ({"f": {"enum": [True]}}, ())


@given(definitions(), definitions())
def test_without_a_change_on_one_side_the_other_stands_exactly(one, other):
    base, changed = one.to_json(), other.to_json()
    assert rebased(base, changed, base) == (changed, ())
    assert rebased(base, base, changed) == (changed, ())
