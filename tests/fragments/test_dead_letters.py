"""What is refused at the door: every bad record is a dead letter, with its line and reason; the rest is stored."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from fragments.models import DeadLetter, IngestRun, IngestState
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions, jsonl_lines
from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot, Source
from tests.factories import NOON, SHELL, THING, make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db


def letters(run: IngestRun) -> list[tuple[int, str]]:
    return list(run.dead_letters.order_by("line_number").values_list("line_number", "code"))


def counts(run: IngestRun) -> tuple[int, int, int, int, int]:
    return (
        run.record_count,
        run.observation_count,
        run.duplicate_count,
        run.fragment_count,
        run.rejected_count,
    )


GOOD: dict[str, Any] = {"k": "good", "a": 1}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"{", "unstorable_json"),
        (b"{} {}", "unstorable_json"),
        (b"nonsense", "unstorable_json"),
        (b"{'k': 1}", "unstorable_json"),
        (b'{"k":"x","a":NaN}', "unstorable_json"),
        (b'{"k":"x","a":-Infinity}', "unstorable_json"),
        (b'{"k":"x","a":1e309}', "unstorable_json"),
        (b'{"k":"x","a":1e-400}', "unstorable_json"),
        (b'{"k":"x","a":' + b"9" * 400 + b"}", "unstorable_json"),
        (b'{"k":"x","a":"\\u0000"}', "unstorable_json"),
        (b'{"k":"x","\\u0000":1}', "unstorable_json"),
        (b'{"k":"x","a":"\\ud800"}', "unstorable_json"),
        (b'{"k":"x","a":' + b"[" * 100 + b"]" * 100 + b"}", "unstorable_json"),
        (b'{"k":"x","a":' + b"[" * 99_000 + b"]" * 99_000 + b"}", "unstorable_json"),
        (b'{"k":"\xff"}', "not_utf8"),
        (b'{"k":"x","k":"x"}', "duplicate_key"),
        (b'{"k":"x","a":[{"b":1, "b" : 2}]}', "duplicate_key"),
        (b'{"k":"x","a":{"\\u0062":1,"b":2},"c":"\\":"}', "duplicate_key"),
        (b'{"k":"x","":1,"":2}', "duplicate_key"),
        (b'{"k":"x","at":"0000-01-01T00:00:00Z"}', "unreadable_time"),
        (b'{"k":"x"}\x00', "unstorable_json"),
        (b"[]", "not_an_object"),
        (b"null", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"7", "not_an_object"),
        (b"{}", "missing_key"),
        (b'{"k":null}', "missing_key"),
        (b'{"k":""}', "invalid_key"),
        (b'{"k":1.5}', "invalid_key"),
        (b'{"k":true}', "invalid_key"),
        (b'{"k":["x"]}', "invalid_key"),
        (b'{"k":"' + b"x" * 1001 + b'"}', "key_too_long"),
        ('{"k":"' + "ß" * 501 + '"}', "key_too_long"),
        (b'{"k":"x","' + b"n" * 1001 + b'":1}', "name_too_long"),
        ('{"k":"x","' + "\U0001f600" * 251 + '":1}', "name_too_long"),
        (b'{"k":"x","at":"yesterday"}', "unreadable_time"),
        (b'{"k":"x","at":"2024-02-30"}', "unreadable_time"),
        (b'{"k":"x","at":"2024-01-01T00:00:60Z"}', "unreadable_time"),
        (b'{"k":"x","at":"9999-12-31T23:59:59-12:00"}', "unreadable_time"),
        (b'{"k":"x","at":1700000000}', "unreadable_time"),
        (b'{"k":"x","at":""}', "unreadable_time"),
        (b'{"k":"x","id":1.5}', "invalid_id"),
        (b'{"k":"x","id":""}', "invalid_id"),
        (b'{"k":"x","id":null}', "missing_id"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_bad_record_is_a_dead_letter_and_the_rest_is_stored(bad: bytes | str, code: str) -> None:
    owner = make_user()
    raw = bad.encode() if isinstance(bad, str) else bad
    options: dict[str, Any] = {"observed_at_field": "at"}
    if code.endswith("_id"):
        options["id_field"] = "id"
    first, last = {**GOOD, "id": "1"}, {**GOOD, "k": 2, "id": "2"}
    run = make_run(user=owner, records=[first, b"", raw, last], **options)
    assert letters(run) == [(3, code)]
    assert run.state == IngestState.DONE
    assert counts(run) == (3, 2, 0, 0, 1)
    letter = DeadLetter.objects.get()
    assert bytes(letter.raw) == raw
    assert letter.message
    assert set(EntitySnapshot.objects.values_list("entity_key", flat=True)) == {"good", "2"}


def test_a_line_that_is_too_long_is_a_dead_letter_and_the_rest_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fragments.services.records.LINE_MAX_BYTES", 40)
    long = b'{"k":"long","a":"' + b"x" * 40 + b'"}'
    # Cut in the middle of white space: what is left would be a whole record.
    cut = b'{"k":"cut"}' + b" " * 30
    lines = [b'{"k":"x"}\n', long + b"\n", b'{"k":"y"}' + b" " * 40 + b"\n", cut]
    run = ingest(
        source=Input(jsonl_lines(lines), "stream", default_observed_at=NOON),
        options=IngestOptions(entity_type=THING, key_field="k", user_id=make_user().pk),
        actor=SHELL,
    )
    assert letters(run) == [(2, "line_too_long"), (4, "line_too_long")]
    assert set(EntitySnapshot.objects.values_list("entity_key", flat=True)) == {"x", "y"}


def test_a_record_of_ten_megabytes_is_stored() -> None:
    owner = make_user()
    run = make_run(user=owner, records=[{"k": "x", "a": "y" * 10_000_000}])
    assert run.observation_count == 1
    values = EntitySnapshot.objects.get().values
    assert isinstance(values, dict)
    assert values["a"] == "y" * 10_000_000


def test_two_unicode_forms_of_a_users_name_are_one_owner() -> None:
    records = [{"k": 1, "o": "Jos\u00e9"}, {"k": 1, "o": "Jose\u0301"}, {"k": 1, "o": "Jos\u00e9"}]
    run = make_run(records=records, user_field="o", create_users=True)
    assert counts(run) == (3, 3, 0, 0, 0)
    assert EntitySnapshot.objects.get().observation_count == 3


@pytest.mark.parametrize(
    "record",
    [
        b'{"k":"' + b"x" * 1000 + b'"}',
        b'{"k":"x","' + b"n" * 1000 + b'":1}',
        b'{"k":"x","a":' + b"[" * 99 + b"]" * 99 + b"}",
        b'{"k":"x","a":1e308,"b":1e-308,"c":-0,"d":0e999}',
        b'{"k":"x","a":"\\ud83d\\ude00 \\\\u0000"}',
        b'{"k":" spaces ","at":null}',
        b'{"k":-7}',
        b'{"k":7.0}',
        b'{"k":"x","a":{"k":1},"b":[{"k":1},{"k":2}],"c":"\\"a\\":1","d" : "a:b"}',
        b'{"k":"x","a":9007199254740993,"b":123456789012345678901234567890,"c":0.1000000000000000055511151231257827}',
        b'{"k":"x","__proto__":{"__proto__":1},"constructor":1,"":2}',
        b'{"k":"x","at":"9999-12-31T23:59:59Z"}',
        b'{"k":"x","at":"0001-01-01T00:00:00Z"}',
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_just_within_the_bounds_is_stored(record: bytes) -> None:
    make_version(document=make_definition(b="number"))
    owner = make_user()
    run = make_run(user=owner, records=[record], observed_at_field="at")
    assert (letters(run), run.observation_count) == ([], 1)
    again = make_run(user=owner, records=[record], observed_at_field="at")
    assert again.duplicate_count == 1


def test_owners_are_bad_unknown_known_or_made() -> None:
    make_user(username="known")
    records: list[Any] = [
        {"k": 1, "owner": "known"},
        {"k": 2, "owner": "unknown"},
        {"k": 3},
        {"k": 4, "owner": ""},
        {"k": 5, "owner": " known"},
        {"k": 6, "owner": "x" * 151},
        {"k": 7, "owner": "a\tb"},
        {"k": 8, "owner": 42},
        {"k": 9, "owner": "Known"},
    ]
    run = make_run(records=records, user_field="owner")
    assert letters(run) == [
        (2, "unknown_user"),
        (3, "missing_user"),
        (4, "invalid_user"),
        (5, "invalid_user"),
        (6, "invalid_user"),
        (7, "invalid_user"),
        (8, "unknown_user"),
        (9, "unknown_user"),
    ]
    assert User.objects.count() == 1
    run = make_run(records=records, user_field="owner", create_users=True)
    assert counts(run) == (9, 3, 1, 0, 5)
    made = User.objects.get(username="unknown")
    assert not made.has_usable_password()
    assert not made.is_staff
    assert set(User.objects.values_list("username", flat=True)) == {"known", "unknown", "42", "Known"}


def test_more_owners_than_a_transaction_may_lock_are_split_into_several(settings: Settings) -> None:
    settings.SCHEMAEVO_INGEST_BATCH_USERS = 7
    make_version(document=make_definition(a="number"))
    records: list[Any] = [
        b"broken",
        *({"k": n, "owner": f"o{n % 20}", "a": n, "b": n} for n in range(60)),
    ]
    run = make_run(records=records, user_field="owner", create_users=True)
    assert counts(run) == (61, 60, 0, 60, 1)
    assert User.objects.count() == 20
    assert letters(run) == [(1, "unstorable_json")]
    again = make_run(records=records, user_field="owner")
    assert counts(again) == (61, 0, 60, 0, 1)


def test_201_owners_in_one_batch() -> None:
    records = [{"k": n, "owner": f"o{n}"} for n in range(201)]
    run = make_run(records=records, user_field="owner", create_users=True)
    assert counts(run) == (201, 201, 0, 0, 0)
    assert Source.objects.count() == 201


# --- lines --------------------------------------------------------------------------------------------------
def test_lines_are_split_at_line_feeds_only_and_counted_from_one() -> None:
    text = '\ufeff{"a":1}\r\n\r\n  \n{"b":"\u2028\u0085"}\n\x0c\n{"c":3}'.encode()
    lines = list(jsonl_lines(text.splitlines(keepends=True)))
    assert [(line.line_number, line.record_number) for line in lines] == [(1, 1), (4, 2), (6, 3)]
    assert lines[0].raw == b'{"a":1}'
    assert lines[2].raw == b'{"c":3}'


def test_a_byte_order_mark_is_skipped_at_the_start_only() -> None:
    run = make_run(user=make_user(), records=[b'\xef\xbb\xbf{"k":1}\r', b'\xef\xbb\xbf{"k":2}', b"\r"])
    assert letters(run) == [(2, "unstorable_json")]
    assert run.observation_count == 1
    assert make_run(user=make_user(), records=[b"\xef\xbb\xbf"]).record_count == 0
