"""A line that no export could hold is a dead letter that names the member, and the rest is stored."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fragments.domain.exported import Exported
from fragments.models import DeadLetter
from fragments.services import exported, files
from schemaevo.kernel.canonical import canonical_bytes, decode
from schemaevo.kernel.errors import Invalid
from snapshots.models import Observation
from tests.factories import (
    THING,
    make_file,
)
from tests.fragments.exports import (
    Line,
    import_export,
    make_exported,
    make_import,
    run,
)
from tests.rounds import rounds


def letters() -> list[tuple[int, str]]:
    return list(DeadLetter.objects.order_by("line_number").values_list("line_number", "code"))


@pytest.fixture
def line(db: None) -> Line:
    return make_exported()


FRAGMENT = {"field": "b", "value": 2, "reason": "unknown_field", "count": 1}
UUID = "00000000-0000-8000-8000-000000000001"


BAD: dict[str, Sequence[Any]] = {
    "id": (None, 7, "", "x", UUID[:-1], UUID.replace("-", ""), f"{{{UUID}}}", UUID + "\n"),
    "content_id": (None, "urn:uuid:" + UUID, "ABCDEF00" + UUID[8:]),
    "entity_type": (None, "", 7),
    "user": (None, "", 7, "x" * 151),
    "user_id": (None, "1", 0, -1, 1.5, True, 2**53, 2**70),
    "key": (None, "", 7, ["x"]),
    "observed_at": (None, 1_700_000_000, ""),
    "source": (None, "feed", []),
    "source.name": (None, "", 7, "x" * 501),
    "source.content_hash": (None, 7, "x" * 65),
    "priority": (None, "1", 1.5, True, 2**31, -(2**31) - 1),
    "specificity": (None, "1", False, [], Decimal("1.9e308"), 19 * 10**307),
    "kind": ("", 7, "x" * 64, "a\u0007"),
    "origin": (None, "", "stolen", 7),
    "ranks_as": (UUID, "x", 7),
    "schema_version": (1, []),
    "fields": (None, [], "x"),
    "fragments": (None, {}, [1], [[]], "x"),
    "fragments[0].field": (None, 7),
    "fragments[0].reason": (None, "", "because", 7),
    "fragments[0].count": (None, 0, -1, 1.5, "1", True, 10**12 + 1),
}


@pytest.mark.parametrize("member", BAD)
def test_a_member_that_no_export_has_is_named(line: Line, member: str) -> None:
    parts: list[Any] = member.replace("[0]", ".0").split(".")
    changed: Any = decode(canonical_bytes(line))
    within = changed
    for part in parts[:-1]:
        within = within[int(part) if part == "0" else part]
    for value in BAD[member]:
        within[parts[-1]] = value
        assert_refused(line, canonical_bytes(changed), "invalid_observation", member)
    del within[parts[-1]]
    assert_refused(line, canonical_bytes(changed), "invalid_observation", member)
    assert "missing" in DeadLetter.objects.latest("id").message


def test_a_line_of_another_entity_type_is_refused(line: Line) -> None:
    assert_refused(line, altered(line, entity_type="other"), "other_entity_type", "entity_type")


def assert_refused(line: Line, raw: bytes, code: str, member: str | None) -> None:
    """A line is a dead letter, and the next one is stored, or was."""
    run = make_import(lines=[raw, line])
    (letter,) = DeadLetter.objects.filter(run=run)
    assert (letter.line_number, letter.code, bytes(letter.raw)) == (1, code, raw.strip())
    assert member is None or letter.message.startswith(f"{member}: ")
    assert run.record_count == run.observation_count + run.duplicate_count + run.rejected_count == 2


def altered(line: Line, **members: Any) -> bytes:
    return canonical_bytes({**line, **members})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
WHOLE: Line = {
    **dict.fromkeys(("id", "content_id", "ranks_as"), UUID),
    **dict.fromkeys(("user", "key"), "x"),
    "entity_type": THING,
    **dict.fromkeys(("user_id", "priority", "specificity"), 1),
    "observed_at": "2024-05-01T12:00:00.000000Z",
    "source": {"name": "feed", "content_hash": ""},
    "kind": None,
    "origin": "promotion",
    "schema_version": None,
    "fields": {"a": 1},
    "fragments": [],
}


@pytest.mark.rounds
@settings(max_examples=rounds(100), deadline=None)
@given(
    said=st.dictionaries(st.sampled_from([*WHOLE, "more"]), anything, max_size=3),
    fragments=st.none()
    | st.lists(st.dictionaries(st.sampled_from([*FRAGMENT, "x"]), anything | st.just("b"))),
    cut=st.integers(0, 400),
    replaced=st.binary(max_size=3),
    is_whole=st.booleans(),
)
def test_whatever_a_line_says_it_is_an_observation_or_refused(
    said: Line, fragments: list[Line] | None, cut: int, replaced: bytes, is_whole: bool
) -> None:
    line = {**WHOLE, **said, **({} if fragments is None else {"origin": "ingest", "fragments": fragments})}
    raw = json.dumps(line, default=str).encode()
    raw = raw if is_whole else raw[:cut] + replaced + raw[cut + len(replaced) :]
    found = said_by(raw)
    if isinstance(found, Invalid):
        assert 0 < len(found.message) < 1000
    else:
        assert json.loads(raw)["id"] == found.id


def said_by(raw: bytes) -> Exported | Invalid:
    try:
        return exported.exported_observation(raw)
    except Invalid as refusal:
        return refusal


def test_the_whole_line_is_an_observation() -> None:
    found = said_by(json.dumps(WHOLE).encode())
    assert isinstance(found, Exported)
    assert (found.ranks_as, found.record, found.specificity) == (UUID, {"a": 1}, 1.0)


def test_lines_that_are_none_are_dead_letters(line: Line) -> None:
    raw = canonical_bytes(line)
    long, wide = "n" * 1001, "ß" * 501
    bad = [
        (b"{", "unstorable_json", None),
        (b"[]", "not_an_object", None),
        (b"null", "not_an_object", None),
        (b"7", "not_an_object", None),
        (b"[" * 5000, "unstorable_json", None),
        (b'{"a":' * 5000, "unstorable_json", None),
        (raw[:-1], "unstorable_json", None),
        (b'{"k":1}', "invalid_observation", "content_id"),
        (raw.replace(b"human", b"hum\xffan"), "not_utf8", None),
        (raw.replace(b"human", b"hum\\u0000an"), "unstorable_json", "kind"),
        (raw.replace(b"human", b"hum\\ud800an"), "unstorable_json", None),
        (raw.replace(b'"a":1', b'"a":NaN'), "unstorable_json", None),
        (raw.replace(b'"a":1', b'"a":1e999'), "unstorable_json", "fields"),
        (raw.replace(b'"a":1', b'"a":1,"a":2'), "duplicate_key", None),
        (raw[:-1] + b',"key":"y"}', "duplicate_key", None),
        (raw.replace(b'"count":1', b'"count":1,"count":1'), "duplicate_key", None),
        (
            raw.replace(b'"value":2', b'"value":' + b"[" * 101 + b"]" * 101),
            "unstorable_json",
            "fragments[0].value",
        ),
        (altered(line, more=1), "invalid_observation", "more"),
        (altered(line, fragments=[{**FRAGMENT, "x": 1}]), "invalid_observation", "fragments[0].x"),
        (altered(line, fragments=[FRAGMENT, FRAGMENT]), "invalid_observation", "fragments[1].field"),
        (altered(line, source={"name": "a", "content_hash": "", "x": 1}), "invalid_observation", "source.x"),
        (altered(line, observed_at="yesterday"), "unreadable_time", "observed_at"),
        (altered(line, observed_at="2024-02-30T00:00:00Z"), "unreadable_time", "observed_at"),
        (altered(line, observed_at="9999-12-31T23:59:59-12:00"), "unreadable_time", "observed_at"),
        (altered(line, observed_at="10000-01-01T00:00:00Z"), "unreadable_time", "observed_at"),
        (altered(line, key="x" * 1001), "key_too_long", "key"),
        (altered(line, key=wide), "key_too_long", "key"),
        (altered(line, fields={long: 1}), "name_too_long", None),
        (altered(line, fragments=[{**FRAGMENT, "field": wide}]), "name_too_long", None),
        (altered(line, origin="promotion", ranks_as=None, fragments=[]), "invalid_observation", "ranks_as"),
        (altered(line, origin="promotion", ranks_as="x"), "invalid_observation", "fragments"),
        (altered(line, origin="promotion", ranks_as="x", fragments=[]), "invalid_observation", "ranks_as"),
        (altered(line, **{"x" * 100_000: 1}), "invalid_observation", None),
    ]
    for wrong, code, member in bad:
        assert_refused(line, wrong, code, member)
    assert Observation.objects.count() == 1
    longest = max(len(message) for message in DeadLetter.objects.values_list("message", flat=True))
    assert longest < 500


def test_an_id_of_another_content_is_refused(line: Line) -> None:
    run = make_import(lines=[line, {**line, "content_id": UUID}])
    assert letters() == [(2, "id_conflict")]
    assert str(line["id"]) in run.dead_letters.get().message
    assert Observation.objects.count() == 1


def test_a_file_of_records_is_no_export(line: Line, tmp_path: Path) -> None:
    file = make_file(path=tmp_path / "r.jsonl", records=[{"k": 1}, {"k": 2}])
    summary, code = run("ingest", file, "--entity-type", THING, "--format", "observations")
    assert (summary["rejected"], code) == (2, 1)


def test_a_line_may_be_longer_than_a_record(
    line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("fragments.services.records.LINE_MAX_BYTES", 100)
    monkeypatch.setattr(files, "LINE_MAX_BYTES", 100)
    raw = canonical_bytes(line)
    file = tmp_path / "o.jsonl"
    file.write_bytes(raw + b"\n")
    assert import_export(file)["observations"] == 1
    limit = len(raw) + 10
    for module in (exported, sys.modules["fragments.services.formats"]):
        monkeypatch.setattr(module, "EXPORTED_LINE_MAX_BYTES", limit)
    file.write_bytes(raw + b" " * 11 + b"\n" + raw + b" " * 9 + b"\n" + raw + b"x" * 100)
    summary = import_export(file)
    assert (summary["duplicates"], summary["rejected"]) == (1, 2)
    assert letters() == [(1, "line_too_long"), (3, "line_too_long")]
