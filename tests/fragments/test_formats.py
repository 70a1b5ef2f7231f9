"""Readers: what each format gives, record by record, and what it says of what is none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fragments.domain.repeated_keys import repeated_key
from fragments.services import csv_rows, json_elements, records
from fragments.services.formats import Format, format_of, read_records
from fragments.services.records import Line
from schemaevo.kernel.canonical import canonical_bytes, decode
from schemaevo.kernel.errors import Invalid
from tests.rounds import rounds

UTF8_MARK = b"\xef\xbb\xbf"


def lines_of(data: bytes) -> Iterator[bytes]:
    return iter(data.splitlines(keepends=True) if b"\r" not in data else _at_line_feeds(data))


def _at_line_feeds(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def csv(data: bytes, named_fields: Iterable[str] = ()) -> list[Line]:
    return list(read_records(lines_of(data), Format.CSV, set(named_fields)))


def array(data: bytes, size: int = 3) -> list[Line]:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return list(read_records(pieces, Format.JSON, ()))


def told(lines: list[Line]) -> list[tuple[int, Any]]:
    """The number of each record, with what its reader made of it: fields, a code, or its bytes."""
    return [
        (
            line.line_number,
            line.content.code if isinstance(line.content, Invalid) else line.content or line.raw,
        )
        for line in lines
    ]


def refusal(data: bytes, form: Format, *named_fields: str) -> Invalid:
    with pytest.raises(Invalid) as refused:
        read_records(iter([data]), form, set(named_fields))
    return refused.value


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", Format.CSV),
        ("a.CSV", Format.CSV),
        ("/b.csv/a.json", Format.JSON),
        ("a.jsonl", Format.JSONL),
        ("a.ndjson", Format.JSONL),
        ("a", Format.JSONL),
        ("csv", Format.JSONL),
        ("-", Format.JSONL),
    ],
)
def test_the_suffix_tells_the_format(name: str, form: Format) -> None:
    assert format_of(name) is form


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"], ids=str)
def test_another_encoding_is_refused_as_a_whole_and_named(form: Format, encoding: str) -> None:
    error = refusal('{"k":1}'.encode(encoding), form, "k")
    assert (error.code, error.context["offset"]) == ("not_utf8", 0)
    assert "iconv -f UTF-" in error.message


# --- CSV ----------------------------------------------------------------------------------------------------
def test_cells_are_texts_and_an_empty_one_is_no_field() -> None:
    assert told(csv(b'k,a,b\n1, x ,\n2,"",3.50\n')) == [
        (2, {"k": "1", "a": " x "}),
        (3, {"k": "2", "b": "3.50"}),
    ]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_quotes_commas_and_line_breaks_belong_to_a_quoted_cell(end: bytes) -> None:
    rows = [b"k,a", b'1,"say ""hi"", you"', b'2,"one', b"", b'two"', b"", b"3,z"]
    text = end.decode()
    lines = csv(end.join(rows))
    assert told(lines) == [
        (2, {"k": "1", "a": 'say "hi", you'}),
        (3, {"k": "2", "a": f"one{text}{text}two"}),
        (7, {"k": "3", "a": "z"}),
    ]
    assert [line.record_number for line in lines] == [1, 2, 3]
    assert lines[1].raw == end.join(rows[2:5])


def test_a_quote_within_an_unquoted_cell_is_a_character() -> None:
    assert told(csv(b'k,a\n1,5" pipe\n')) == [(2, {"k": "1", "a": '5" pipe'})]


def test_a_byte_order_mark_is_no_part_of_the_first_name() -> None:
    assert told(csv(UTF8_MARK + b"k\n1\n", ["k"])) == [(2, {"k": "1"})]


@pytest.mark.parametrize("data", [b"", UTF8_MARK, b"\n\n", b"k,a", b"k,a\n", b"k,a\n\n  \n"])
def test_without_rows_there_are_no_records(data: bytes) -> None:
    assert csv(data) == []


@pytest.mark.parametrize(
    ("row", "code", "word"),
    [
        (b"1", "ragged_row", "names 2 fields, and this row has 1"),
        (b"1,2,3", "ragged_row", "has 3"),
        (b"1,2,", "ragged_row", "has 3"),
        (b'1,"x"y', "malformed_csv", "',' expected"),
        (b"1,x\ry", "malformed_csv", "carriage return"),
        (b"1,caf\xe9", "not_utf8", "Byte 6 of this record (0xE9)"),
        (b"1,a\x00b", "unstorable_text", "a: a text holds the NUL"),
    ],
)
def test_a_bad_row_is_told_and_the_others_are_read(row: bytes, code: str, word: str) -> None:
    lines = csv(b"k,a\n0,a\n" + row + b"\n9,z\n")
    assert told(lines) == [(2, {"k": "0", "a": "a"}), (3, code), (4, {"k": "9", "a": "z"})]
    assert isinstance(lines[1].content, Invalid)
    assert word in lines[1].content.message
    assert lines[1].raw == row


def test_the_lines_of_a_record_that_breaks_its_quotes_are_named() -> None:
    lines = csv(b'k,a\n1,"one\ntwo"x\n2,b\n')
    assert told(lines) == [(2, "malformed_csv"), (4, {"k": "2", "a": "b"})]
    assert isinstance(lines[0].content, Invalid)
    assert "lines 2 to 3 are one record" in lines[0].content.message
    assert lines[0].raw == b'1,"one\ntwo"x'


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    lines = csv(b'k,a\n1,"x\n2,b\n\n3,"c\n4,d')
    assert told(lines)[0] == (2, "malformed_csv")  # up to where the next quote shows that it is wrong
    assert told(csv(b'k,a\n1,"x\n2,b\n\n3,c')) == [
        (2, "unclosed_quote"),
        (3, {"k": "2", "a": "b"}),
        (5, {"k": "3", "a": "c"}),
    ]


def test_a_record_longer_than_any_is_given_up_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "LINE_MAX_BYTES", 10)
    data = b'k,a\n1,"x\n' + b"".join(b"%d,yyy\n" % n for n in range(10, 20)) + b'7,z"\n'
    lines = csv(data)
    assert told(lines)[:2] == [(2, "unclosed_quote"), (3, {"k": "10", "a": "yyy"})]
    assert told(lines)[-1] == (13, {"k": "7", "a": 'z"'})
    assert [line.line_number for line in lines] == list(range(2, 14))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"k,a,k\n", "names 'k' more than once"),
        (b"k,,a\n", "column 2 has no name"),
        (b"k,a,\n", "column 3 has no name"),
        (b"k;a\n", "it has no k; it has k;a"),
        (b"K\n", "it has no k"),
        (b"k,caf\xe9\n", "Byte 6"),
        (b'k,"a', "never closed"),
        (b"k,a\r1,2\r", "carriage return"),
        (b"k," + b"n" * 1001, "longer than 1000 bytes"),
        (b"\n\nk,k", "Line 3"),
    ],
)
def test_a_header_that_cannot_be_meant_is_refused_at_once(data: bytes, word: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_records(lines_of(data), Format.CSV, {"k"})
    assert refused.value.code == "invalid_header"
    assert word in refused.value.message


# --- JSON ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("data", "elements"),
    [
        (b"", []),
        (b" \n", []),
        (b"[]", []),
        (b" [ ] ", []),
        (b'{"k":[1,2]}', [b'{"k":[1,2]}']),
        (UTF8_MARK + b'[{"k":1} , {"k":2}\n]', [b'{"k":1}', b'{"k":2}']),
        (rb'[{"k":"]},[\"\\"},{"a":[[],{}]}]', [rb'{"k":"]},[\"\\"}', b'{"a":[[],{}]}']),
        (b'[1,,"a b",]', [b"1", b"", b'"a b"', b""]),
        (b'[{"k":1} {"k":2},nonsense,{"k":3}]', [b'{"k":1} {"k":2}', b"nonsense", b'{"k":3}']),
        (b'[{"k":1', [b'{"k":1', "unclosed_array"]),
        (b'[{"k":1},', [b'{"k":1}', "unclosed_array"]),
        (b'["a\\', [b'"a\\', "unclosed_array"]),
        (b'{"k":1', [b'{"k":1', "unclosed_array"]),
        (b'[{"k":1}] x', [b'{"k":1}', "trailing_data"]),
        (b'{"k":1}\n{"k":2}\n', [b'{"k":1}', "trailing_data"]),
    ],
)
def test_an_array_is_cut_into_its_elements(data: bytes, elements: list[Any], size: int) -> None:
    assert told(array(data, size)) == list(enumerate(elements, start=1))


@pytest.mark.parametrize("data", [b"7", b'"text"', b"k,a\n1,2", b"}", b"\x80"])
def test_what_is_neither_array_nor_object_is_refused_at_once(data: bytes) -> None:
    assert refusal(data, Format.JSON).code == "not_an_array"


def test_of_an_element_that_is_too_long_only_the_beginning_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_elements, "LINE_MAX_BYTES", 12)
    lines = array(b'[{"k":"' + b"x" * 100 + b'"},{"k":2},' + b" " * 50 + b"]", 7)
    assert [line.raw for line in lines] == [b'{"k":"xxxxxxx', b'{"k":2}', b" " * 13]


@pytest.mark.rounds
@settings(max_examples=rounds(30), deadline=None)
@given(
    st.lists(
        st.recursive(st.text() | st.none() | st.integers(), lambda child: st.dictionaries(st.text(), child))
    ),
    st.integers(1, 40),
    st.booleans(),
)
def test_any_array_in_any_pieces_gives_its_elements(values: list[Any], size: int, is_ascii: bool) -> None:
    data = json.dumps(values, ensure_ascii=is_ascii).encode(errors="replace")
    assert [json.loads(line.raw) for line in array(data, size)] == json.loads(data)


# --- repeated keys ------------------------------------------------------------------------------------------
_keys = st.sampled_from(["a", "b", 'q":', " :", "\\", "é"])
_objects = st.recursive(
    st.sampled_from(['"x"', '"\\":"', '": "', '"\\u003a"', '"\\\\u003A:"', "1", "null", "[]"]),
    lambda child: (
        st.lists(st.tuples(_keys, st.sampled_from([":", " :", "\t: "]), child), max_size=4).map(
            lambda pairs: "{" + ",".join(json.dumps(key) + colon + value for key, colon, value in pairs) + "}"
        )
        | st.lists(child, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
    ),
)


@pytest.mark.rounds
@settings(max_examples=rounds(100), deadline=None)
@given(_objects)
@example('{"a":1,"a":"\\u003a"}')
@example('{"a":"\\u003A","b":{"a":[],"a":2}}')
def test_a_repeated_key_is_found_wherever_it_is(text: str) -> None:
    is_repeated = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal is_repeated
        is_repeated |= len(dict(pairs)) < len(pairs)

    json.loads(text, object_pairs_hook=look)
    assert (repeated_key(text.encode(), canonical_bytes(decode(text))) is not None) == is_repeated


def test_the_field_at_fault_is_named() -> None:
    bad = [
        (b'{"k":1,"a":"\\u0000"}', "a"),
        (b'{"k":1,"b":[1e999]}', "b"),
        (b'{"k":1,"c":{"d":1,"d":2}}', "d"),
        (b'{"k":1', None),
    ]
    options = records.IngestOptions(entity_type="thing", key_field="k", user_id=1)
    lines = [Line(number, number, raw) for number, (raw, _) in enumerate(bad, start=1)]
    parsed = records.parse(lines, options, None)
    assert [rejection.field for rejection in parsed.rejections] == [field for _, field in bad]
