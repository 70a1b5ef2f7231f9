"""What a saved view keeps of the address of its list, and that it opens just what was saved."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.saved_queries import QUERY_MAX, Listed, gone, query_of, require_query

LISTED = Listed("fragments_rawfragment", "fragments.view_rawfragment", frozenset({"owner", "reason", "q"}))
NAMES = st.sampled_from(["owner", "reason", "q", "p", "e", "view", "value__startswith"])
SAID = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.dictionaries(NAMES, SAID))
def test_a_query_keeps_what_the_list_declares_and_nothing_else(address: dict[str, str]) -> None:
    query = query_of(LISTED, address)
    assert set(query) <= LISTED.parameters
    assert query == query_of(LISTED, query)
    assert list(query) == sorted(query)
    assert all(query[name] == address[name] and query[name].strip() for name in query)
    assert {name for name in address if name in LISTED.parameters and address[name].strip()} == set(query)


@given(st.dictionaries(NAMES, SAID))
def test_a_view_opens_what_was_saved(address: dict[str, str]) -> None:
    """The address that a view leads to says the same to its list as the one it was saved from."""
    query = query_of(LISTED, address)
    opened = QueryDict(urlencode(query))
    assert query_of(LISTED, {name: str(opened[name]) for name in opened}) == query


@given(st.dictionaries(NAMES, SAID), st.randoms())
def test_the_order_in_which_filters_were_set_makes_no_difference(
    address: dict[str, str], chance: object
) -> None:
    shuffled = list(address.items())
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = query_of(LISTED, address), query_of(LISTED, dict(shuffled))
    assert list(one.items()) == list(other.items())


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"reason": "constraint", "value__startswith": "a"}, "filter_unknown"),
        ({"p": ">abc"}, "filter_unknown"),
        ({}, "view_empty"),
        ({"owner": "  ", "q": ""}, "view_empty"),
        ({"owner": "a\0b"}, "view_unstorable"),
        ({"owner": "\ud800"}, "view_unstorable"),
        ({"q": "x" * QUERY_MAX}, "view_too_long"),
    ],
)
def test_what_cannot_be_kept_is_refused(said: dict[str, str], code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        require_query(LISTED, said)
    assert refusal.value.code == code


def test_filters_that_a_list_has_no_more_are_named() -> None:
    assert gone({"reason": "constraint", "tone": "x", "colour": "y"}, LISTED) == ["colour", "tone"]
    assert gone({"reason": "constraint"}, LISTED) == []
