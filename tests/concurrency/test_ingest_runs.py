"""Runs over one content that begin in the same instant: one of them is the first, and gives the others its time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.db import connection, transaction

from fragments.models import IngestRun
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions
from schemaevo.kernel.models import User
from snapshots.models import Observation
from tests.factories import NOON, SHELL, THING, make_lines, make_user
from tests.rounds import rounds
from tests.threads import PATIENCE_S, Aside, side_by_side
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

RECORDS = [{"k": n} for n in range(5)]
YEAR = timedelta(days=365)


def copy_of_file(
    owner: User, modified_at: datetime, *, content: str = "c" * 64, asked_for: datetime | None = None
) -> Callable[[], IngestRun]:
    """An ingest of a file of that content, which was last modified then."""
    source = Input(
        make_lines(records=RECORDS), "feed.jsonl", content, "feed", asked_for, modified_at=modified_at
    )
    options = IngestOptions(entity_type=THING, key_field="k", user_id=owner.pk)
    return partial(ingest, source=source, options=options, actor=SHELL)


def waiting() -> int:
    """How many connections to this database wait for any lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        (count,) = cursor.fetchone()
    return int(count)


@pytest.mark.parametrize("asked_for", [None, NOON - YEAR])
def test_of_two_copies_that_begin_at_once_the_second_takes_the_time_of_the_first(
    asked_for: datetime | None,
) -> None:
    """Both are let up to where one inserts its run: whoever waits there must not have looked already."""
    owner = make_user()
    with ExitStack() as asides:
        with transaction.atomic(), connection.cursor() as cursor:
            # Runs can be looked for, and none inserted.
            cursor.execute("LOCK TABLE ingest_runs IN SHARE ROW EXCLUSIVE MODE")
            ingests = [
                asides.enter_context(Aside(copy_of_file(owner, NOON, asked_for=asked_for))),
                asides.enter_context(Aside(copy_of_file(owner, NOON + YEAR, asked_for=asked_for))),
            ]
            wait_for(lambda: waiting() == 2, "both to come as far as they can")
        for one in ingests:
            one.result(PATIENCE_S)
    times = set(IngestRun.objects.values_list("default_observed_at", flat=True))
    assert len(times) == 1
    assert times <= {asked_for or NOON, asked_for or NOON + YEAR}
    assert Observation.objects.count() == len(RECORDS)
    assert sum(IngestRun.objects.values_list("duplicate_count", flat=True)) == len(RECORDS)


def test_a_time_that_was_asked_for_is_that_of_a_first_run_too() -> None:
    """One copy has a time of its own; the other takes it exactly if it comes second."""
    owner = make_user()
    with ExitStack() as asides:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE ingest_runs IN SHARE ROW EXCLUSIVE MODE")
            ingests = [asides.enter_context(Aside(copy_of_file(owner, NOON, asked_for=NOON - YEAR)))]
            wait_for(lambda: waiting() == 1, "the first to come as far as it can")
            ingests.append(asides.enter_context(Aside(copy_of_file(owner, NOON + YEAR))))
            wait_for(lambda: waiting() == 2, "the second to come as far as it can")
        for one in ingests:
            one.result(PATIENCE_S)
    assert set(IngestRun.objects.values_list("default_observed_at", flat=True)) == {NOON - YEAR}


@pytest.mark.rounds
def test_many_copies_of_many_files_agree_on_the_time_of_each() -> None:
    owner = make_user()
    for number in range(rounds(3)):
        content = f"{number:064}"
        side_by_side(
            [copy_of_file(owner, NOON + hours * timedelta(hours=1), content=content) for hours in range(4)]
        )
        times = IngestRun.objects.filter(content_hash=content).values_list("default_observed_at", flat=True)
        assert len(times) == 4
        assert len(set(times)) == 1


def test_runs_over_other_contents_do_not_wait() -> None:
    owner = make_user()
    with transaction.atomic():
        copy_of_file(owner, NOON)()
        with Aside(copy_of_file(make_user(), NOON + YEAR, content="d" * 64)) as other:
            # Its owner is another too, so that nothing of the first one's records is in its way.
            assert other.result(PATIENCE_S)
