"""Ingest: every record is stored once, or is a dead letter with its reason; nothing in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from fragments.models import IngestRun, IngestState, RawFragment
from fragments.services import batches
from fragments.services.ingest import Input, Progress, ingest
from fragments.services.records import IngestOptions, Line, jsonl_lines
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied, Invalid
from snapshots.models import EntitySnapshot, Observation
from tests.content import stored_content
from tests.factories import (
    NOON,
    SHELL,
    THING,
    make_definition,
    make_lines,
    make_login,
    make_run,
    make_snapshot,
    make_user,
    make_version,
)

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


# --- ids ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_the_first_record_of_a_given_id_stays_however_it_is_batched(batch_size: int) -> None:
    owner = make_user()
    make_version(document=make_definition(a="number"))
    at = NOON.isoformat()
    records: list[Any] = [
        {"k": "x", "id": "1", "at": at, "a": 1},
        {"k": "x", "id": "1", "at": at, "a": 2, "left": 2},
        {"k": "x", "id": "1", "at": at, "a": 1},
        {"k": "y", "id": "1", "at": at, "a": 1, "left": 3},
        {"k": "x", "id": 2, "at": at, "a": 3, "left": 4},
    ]
    run = make_run(user=owner, records=records, id_field="id", observed_at_field="at", batch_size=batch_size)
    assert letters(run) == [(2, "id_conflict"), (4, "id_conflict")]
    assert counts(run) == (5, 2, 1, 3, 2)
    assert list(EntitySnapshot.objects.values_list("entity_key", "observation_count")) == [("x", 2)]
    kept = RawFragment.objects.filter(fragment_key="left")
    assert [row.value for row in kept] == [4]


def test_a_given_id_is_kept_as_what_it_is_a_value_of_the_record() -> None:
    """Only its hash stands in the observation's id."""
    owner = make_user()
    make_version(document=make_definition(a="number"))
    make_run(user=owner, records=[{"k": "x", "id": "urn:1", "a": 1}], id_field="id")
    assert [(row.fragment_key, row.value) for row in RawFragment.objects.all()] == [("id", "urn:1")]


def test_a_b_and_a_again_later_are_three() -> None:
    owner = make_user()
    states = [("on", 0), ("off", 1), ("on", 2)]
    records = [{"k": "x", "a": a, "at": (NOON + timedelta(seconds=s)).isoformat()} for a, s in states]
    run = make_run(user=owner, records=[*records, *records], observed_at_field="at")
    assert counts(run) == (6, 3, 3, 0, 0)


# --- times --------------------------------------------------------------------------------------------------
def test_a_record_without_a_time_takes_the_default_plus_its_number() -> None:
    owner = make_user()
    run = make_run(
        user=owner,
        records=[{"k": "x", "a": 1}, b"", b"   ", b"broken", {"k": "x", "a": 2}],
    )
    times = list(Observation.objects.order_by("observed_at").values_list("observed_at", flat=True))
    assert times == [NOON + timedelta(microseconds=1), NOON + timedelta(microseconds=3)]
    assert make_snapshot(user=owner, key="x").values == {"k": "x", "a": 2}
    assert letters(run) == [(4, "unstorable_json")]


def test_a_null_time_is_no_time_and_a_naive_one_is_utc() -> None:
    owner = make_user()
    make_run(
        user=owner,
        records=[
            {"k": "x", "at": None},
            {"k": "x", "at": "2024-05-01"},
            {"k": "x", "at": "2024-05-01T12:00:00.1234567"},
            {"k": "x", "at": "2024-05-01T14:00:00+02:00"},
        ],
        observed_at_field="at",
    )
    times = set(Observation.objects.values_list("observed_at", flat=True))
    assert times == {
        NOON + timedelta(microseconds=1),
        NOON - timedelta(hours=12),
        NOON + timedelta(microseconds=123_456),
        NOON,
    }


def test_without_a_default_a_record_without_a_time_is_refused() -> None:
    records = [{"k": 1}, {"k": 2, "at": "2024-05-01"}]
    run = make_run(user=make_user(), records=records, observed_at=None, observed_at_field="at")
    assert letters(run) == [(1, "missing_time")]


def test_a_default_at_the_end_of_time_refuses_what_goes_beyond() -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=NOON.tzinfo)
    run = make_run(user=make_user(), records=[{"k": 1}, {"k": 2}], observed_at=last)
    assert letters(run) == [(2, "unreadable_time")]


# --- again, and in the middle -------------------------------------------------------------------------------
RECORDS: list[Any] = [
    *({"k": n % 7, "a": n, "b": str(n), "c": n % 3, "owner": f"o{n % 3}"} for n in range(40)),
    b"broken",
    {"k": 1, "owner": "o1", "a": "not a number"},
]


@pytest.mark.parametrize("batch_size", [1, 5, 1000])
def test_the_same_again_is_only_duplicates_and_the_same_tables(batch_size: int) -> None:
    make_version(
        document=make_definition(a="number", b={"type": "number", "converters": ["string_to_number"]})
    )
    options: dict[str, Any] = {"user_field": "owner", "create_users": True}
    first = make_run(records=RECORDS, **options)
    assert counts(first) == (42, 41, 0, 81, 1)
    before = stored_content()
    again = make_run(records=RECORDS, batch_size=batch_size, **options)
    assert counts(again) == (42, 0, 41, 0, 1)
    assert stored_content() == before


def failing(lines: list[Line], after: int) -> Iterator[Line]:
    yield from lines[:after]
    raise OSError("the disk is gone")


@pytest.mark.parametrize("after", [0, 4, 13, 41])
def test_a_run_that_fails_keeps_its_batches_and_a_rerun_completes_it(after: int) -> None:
    make_version(document=make_definition(a="number"))
    options = IngestOptions(
        entity_type=THING, key_field="k", user_field="owner", create_users=True, batch_size=4
    )
    lines = make_lines(records=RECORDS)
    source = Input(failing(lines, after), "file", "hash", default_observed_at=NOON)
    with pytest.raises(OSError, match="the disk is gone"):
        ingest(source=source, options=options, actor=SHELL)
    failed = IngestRun.objects.get()
    assert (failed.state, failed.error) == (IngestState.FAILED, "OSError: the disk is gone")
    assert failed.finished_at is not None
    # What came after the last full batch was not begun.
    assert failed.record_count == after - after % 4
    assert Observation.objects.count() == failed.observation_count
    source = Input(lines, "file", "hash", default_observed_at=NOON)
    rerun = ingest(source=source, options=options, actor=SHELL)
    assert rerun.state == IngestState.DONE
    assert rerun.duplicate_count == failed.observation_count
    assert rerun.observation_count + rerun.duplicate_count == 41
    content = stored_content()
    assert ingest(source=source, options=options, actor=SHELL).observation_count == 0
    assert stored_content() == content


def test_an_interrupt_ends_the_run_too() -> None:
    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(
            source=Input(make_lines(records=[GOOD]), "stream", default_observed_at=NOON),
            options=IngestOptions(entity_type=THING, key_field="k", user_id=make_user().pk),
            actor=SHELL,
            on_progress=interrupt,
        )
    assert IngestRun.objects.get().state == IngestState.FAILED
    assert Observation.objects.count() == 1


def test_the_message_of_a_failed_run_quotes_no_values_and_can_be_stored() -> None:
    def fail(progress: Progress) -> None:
        raise RuntimeError("bad \0 \udcff text\nCONTEXT: a secret value")

    with pytest.raises(RuntimeError):
        ingest(
            source=Input(make_lines(records=[GOOD]), "stream", default_observed_at=NOON),
            options=IngestOptions(entity_type=THING, key_field="k", user_id=make_user().pk),
            actor=SHELL,
            on_progress=fail,
        )
    assert IngestRun.objects.get().error == "RuntimeError: bad \\0 \\udcff text"


def test_a_batch_holds_no_more_bytes_than_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_BYTES", 30)
    told: list[int] = []
    ingest(
        source=Input(make_lines(records=[{"k": n} for n in range(10)]), "stream", default_observed_at=NOON),
        options=IngestOptions(entity_type=THING, key_field="k", user_id=make_user().pk),
        actor=SHELL,
        on_progress=lambda progress: told.append(progress.last_line),
    )
    assert told == [5, 10]  # six bytes each
    assert EntitySnapshot.objects.count() == 10


@pytest.mark.parametrize(
    ("content_hash", "stored_batches_when_read"),
    [("", [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]), ("0" * 64, [0, 0, 0, 0, 0, 0, 1, 1, 1, 2])],
    ids=["a stream only when the batch before is stored", "a file one batch ahead"],
)
def test_reading_is_lazy(content_hash: str, stored_batches_when_read: list[int]) -> None:
    read: list[int] = []
    told: list[tuple[int, int]] = []

    def numbered() -> Iterator[bytes]:
        for number in range(10):
            read.append(len(told))
            yield b'{"k":%d}\n' % number

    lines = jsonl_lines(numbered())
    assert read == []
    ingest(
        source=Input(lines, "numbered", content_hash, default_observed_at=NOON),
        options=IngestOptions(entity_type=THING, key_field="k", user_id=make_user().pk, batch_size=3),
        actor=SHELL,
        on_progress=lambda progress: told.append((progress.last_line, progress.counts.observations)),
    )
    assert read == stored_batches_when_read
    assert told == [(3, 3), (6, 6), (9, 9), (10, 10)]


def test_what_was_read_before_an_error_of_reading_is_stored() -> None:
    owner = make_user()

    def shrinking() -> Iterator[bytes]:
        for number in range(7):
            yield b'{"k":%d}\n' % number
        raise OSError("the disk is gone")

    told: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        ingest(
            source=Input(jsonl_lines(shrinking()), "a.jsonl", "0" * 64, default_observed_at=NOON),
            options=IngestOptions(entity_type=THING, key_field="k", user_id=owner.pk, batch_size=3),
            actor=SHELL,
            on_progress=lambda progress: told.append(progress.last_line),
        )
    assert told == [3, 6]
    assert Observation.objects.count() == 6
    assert IngestRun.objects.get().state == IngestState.FAILED


@pytest.mark.parametrize("batch_size", [10, 70])
def test_slow_batches_get_smaller_and_never_larger_than_asked_for(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "TARGET_S", -1.0)  # every batch is slow
    told = [0]
    ingest(
        source=Input(make_lines(records=[{"k": n} for n in range(200)]), "stream", default_observed_at=NOON),
        options=IngestOptions(
            entity_type=THING, key_field="k", user_id=make_user().pk, batch_size=batch_size
        ),
        actor=SHELL,
        on_progress=lambda progress: told.append(progress.last_line),
    )
    sizes = [after - before for before, after in pairwise(told)]
    assert max(sizes) == sizes[0] == batch_size
    assert set(sizes[1:-1]) == {min(batch_size, batches.SIZE_MIN)}


def test_progress_names_every_rejection_once() -> None:
    told: list[str] = []
    ingest(
        source=Input(
            make_lines(records=[{"k": 1, "o": "x"}, b"{", {"k": 2, "o": "y"}, b"["]),
            "s",
            default_observed_at=NOON,
        ),
        options=IngestOptions(entity_type=THING, key_field="k", user_field="o", batch_size=2),
        actor=SHELL,
        on_progress=lambda progress: told.extend(r.code for r in progress.rejections),
    )
    assert sorted(told) == ["unknown_user", "unknown_user", "unstorable_json", "unstorable_json"]


# --- who and what -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("role", "may"), [(None, False), ("viewer", False), ("operator", True), ("schema_admin", True)]
)
def test_only_operators_ingest(role: str | None, may: bool) -> None:
    login = make_login(role=role)
    source = Input(make_lines(records=[GOOD]), "stream", default_observed_at=NOON)
    options = IngestOptions(entity_type=THING, key_field="k", user_id=login.pk)
    if may:
        assert ingest(source=source, options=options, actor=Actor.login(login)).started_by == login
        return
    with pytest.raises(Denied):
        ingest(source=source, options=options, actor=Actor.login(login))
    assert not IngestRun.objects.exists()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"entity_type": "Thing"}, "invalid_entity_type"),
        ({"priority": 2**31}, "invalid_option"),
        ({"priority": -(2**31) - 1}, "invalid_option"),
        ({"kind": ""}, "invalid_option"),
        ({"kind": "x" * 64}, "invalid_option"),
        ({"kind": "a\0"}, "invalid_option"),
        ({"specificity": float("nan")}, "invalid_option"),
        ({"source": ""}, "invalid_option"),
        ({"source": "x" * 501}, "invalid_option"),
        ({"source": "\udcff"}, "invalid_option"),
        ({"key_field": "\udcff"}, "invalid_option"),
        ({"id_field": "a\0"}, "invalid_option"),
        ({"batch_size": 0}, "invalid_option"),
    ],
)
def test_options_that_no_row_can_hold_are_refused_before_anything_is_read(
    options: dict[str, Any], code: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        make_run(user=make_user(), records=[GOOD], **options)
    assert refusal.value.code == code
    assert not IngestRun.objects.exists()


def test_trust_is_stored_as_given() -> None:
    make_run(user=make_user(), records=[GOOD], priority=-(2**31), specificity=0.1, kind="human")
    row = Observation.objects.get()
    assert (row.priority, row.specificity, row.kind) == (-(2**31), 0.1, "human")


def test_the_run_keeps_what_it_was_asked() -> None:
    run = make_run(user=make_user(), records=[GOOD], specificity=0.5)
    assert isinstance(run.options, dict)
    assert run.options["key_field"] == "k"
    assert run.options["specificity"] == Decimal("0.5")
    assert run.default_observed_at == NOON
    with connection.cursor() as cursor:
        cursor.execute("SELECT ingest_run_id FROM observations")
        assert cursor.fetchall() == [(run.pk,)]


def test_control_fields_are_never_fragments() -> None:
    make_version(document=make_definition(k="number"))
    make_run(
        records=[{"k": "x", "owner": "o", "at": "2024-05-01", "rest": 1}],
        user_field="owner",
        create_users=True,
        observed_at_field="at",
    )
    assert list(RawFragment.objects.values_list("fragment_key", flat=True)) == ["rest"]
    assert Observation.objects.get().fields == {}
