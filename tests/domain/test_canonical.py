"""JSON enters by one strict door and has one written form."""

from __future__ import annotations

import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemaevo.kernel.canonical import (
    Unstorable,
    canonical_json,
    content_hash,
    decode,
    decode_trusted,
    exact_number,
    require_storable,
)
from tests.domain.histories import values


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("1.0", 1),
        ("-0", 0),
        ("-0.0", 0),
        ("0e99999", 0),
        ("1e23", 10**23),
        ("1E308", 10**308),
        ("1.50", Decimal("1.5")),
        ("100e-2", 1),
        ("1e-308", Decimal("1E-308")),
        ("123456789012345678901234567890.5", Decimal("123456789012345678901234567890.5")),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_a_number_has_one_value(text, number):
    found = decode(text)
    assert found == number
    assert type(found) is type(number)
    assert repr(exact_number(text)) == repr(number)


def test_a_float_stands_for_what_it_prints():
    assert exact_number(0.1) == Decimal("0.1")
    assert type(exact_number(2.0)) is int


@pytest.mark.parametrize(
    "number",
    ["1e309", "1e-309", "1e99999999999999999999", "nan", "Infinity", "x", "", 10**309, float("inf"), True],
)
def test_what_is_no_storable_number_is_refused(number):
    with pytest.raises(ValueError):
        exact_number(number)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('"\\u0000"', "nul"),
        ('{"a\\u0000": 1}', "nul"),
        ('[{"a": ["x\\u0000"]}]', "nul"),
        ('"\\ud800"', "surrogate"),
        ('"\\udc00x"', "surrogate"),
        ('"\\ud800\\u0041"', "surrogate"),
        ('"\ud800"', "surrogate"),
        ("NaN", "not_a_number"),
        ('{"a": -Infinity}', "not_a_number"),
        ("[" * 101 + "]" * 101, "nesting"),
        ('{"a":' * 101 + "1" + "}" * 101, "nesting"),
        ("[" * 100_000, "nesting"),
        ("1e400", "number"),
        ("1e99999999999999999999", "number"),
        ("9" * 310, "number"),
        ("[-" + "9" * 310 + "]", "number"),
        ("9" * 5000, "number"),
        ("0." + "1" * 20_000, "number"),
        ("", "malformed"),
        ("{", "malformed"),
        ("[1,]", "malformed"),
        ("[1] 2", "malformed"),
        ("'a'", "malformed"),
        (b'"\xff"', "malformed"),
        (b"\xef\xbb\xbf{}", "malformed"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_its_rule(text, rule):
    with pytest.raises(Unstorable) as caught:
        decode(text)
    assert caught.value.code == "unstorable_json"
    assert caught.value.context == {"rule": rule}


def test_what_only_looks_unstorable_is_kept():
    assert decode('"\\\\u0000"') == "\\u0000"
    assert decode('"\\ud83d\\ude00"') == "\U0001f600"
    digits = "9" * 400
    assert decode(f'"{digits}"') == digits
    assert decode(canonical_json(["[" * 300])) == ["[" * 300]
    assert decode("[" * 100 + "]" * 100) is not None
    assert decode("9" * 309) == int("9" * 309)
    assert decode('["NaN"]') == ["NaN"]


@pytest.mark.parametrize("value", [["a\0"], {"\0": 1}, "\ud800", [10**309], {"a": {"\udfff": 1}}])
def test_values_that_did_not_come_from_json_are_held_to_the_same_rules(value):
    with pytest.raises(Unstorable):
        require_storable(value)


def test_canonical_text_orders_keys_by_code_point_and_leaves_strings_alone():
    value = decode('{"\U0001f600": 1, "\\uffff": 2.50, "b": "e\\u0301", "B": [1.0, 1e2, -0.0, 1E-7]}')
    assert canonical_json(value) == '{"B":[1,100,0,1E-7],"b":"e\u0301","\uffff":2.5,"\U0001f600":1}'


def test_equal_meaning_has_an_equal_hash_and_true_is_not_one():
    assert content_hash(decode('{"a":1,"b":[1.0]}')) == content_hash(decode('{"b":[1e0],"a":1.00}'))
    assert content_hash(decode("[true]")) != content_hash(decode("[1]"))
    assert content_hash("\u00e9") != content_hash("e\u0301")


def test_of_a_repeated_key_the_last_value_counts():
    assert decode('{"a":1,"a":2}') == {"a": 2}


def test_an_error_survives_the_way_between_processes():
    error = pickle.loads(pickle.dumps(Unstorable("nul", "words")))  # noqa: S301
    assert (error.code, error.message, error.context) == ("unstorable_json", "words", {"rule": "nul"})


@given(values)
def test_canonical_text_is_a_fixed_point(value):
    text = canonical_json(value)
    require_storable(value)
    for read in (decode(text), decode_trusted(text.encode())):
        assert canonical_json(read) == text
        assert repr(read) == repr(decode(text))


@given(st.decimals(allow_nan=False, allow_infinity=False) | st.integers() | st.floats(-1e300, 1e300))
def test_exact_number_keeps_the_value_and_is_a_fixed_point(number):
    try:
        exact = exact_number(number)
    except ValueError:
        return
    assert exact == (Decimal(repr(number)) if isinstance(number, float) else number)
    assert repr(exact_number(exact)) == repr(exact)
    assert decode(canonical_json(exact)) == exact


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,40})\.[0-9]{1,8}([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_a_fraction_is_read_as_exact_number_has_it(text):
    try:
        exact = exact_number(text)
    except ValueError:
        with pytest.raises(Unstorable):
            decode(text)
    else:
        assert repr(decode(text)) == repr(exact)
