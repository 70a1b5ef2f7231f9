"""Recomputing every snapshot from its whole history, against reading the same rows and writing the same rows."""

from __future__ import annotations

import multiprocessing
import time
from statistics import median
from typing import NamedTuple

import pytest
from django.db import connection, connections, transaction

from snapshots.domain.place import Place
from snapshots.services.recompute import (
    CHUNK_ENTITIES,
    place_at_the_beginning,
    snapshots_recompute_waiting,
)
from snapshots.services.waiting import OWNERS_AT_ONCE, owners_after, owners_waiting, waiting_of
from tests.benchmarks import floor
from tests.benchmarks.commands import peak_memory_of
from tests.benchmarks.figures import Printer, alternating, scaled, seconds
from tests.benchmarks.histories import Histories, vacuum
from tests.benchmarks.records import ENTITY_TYPE, make_owner, register, schema_of

OBSERVATIONS_EACH = 20


def test_full_recomputation(printer: Printer) -> None:
    register()
    entities = scaled(5_000, at_least=20)
    _make_owners(entities)
    observations = entities * OBSERVATIONS_EACH
    snapshots = floor.stored_snapshots()

    def measured() -> float:
        _let_all_wait()
        return seconds(_recompute)

    def plain() -> float:
        _let_all_wait()
        return seconds(lambda: floor.rewrite_snapshots(snapshots, CHUNK_ENTITIES))

    system_s, floor_s = alternating(measured, plain)
    assert floor.stored_snapshots() == snapshots
    printer.figure(
        f"full recomputation of {entities:,} entities, {OBSERVATIONS_EACH} observations each",
        f"{observations / system_s:,.0f}/s",
        f"{observations / floor_s:,.0f}/s",
        floor_s / system_s,
        ">= 0.4",
    )


def test_two_workers(printer: Printer) -> None:
    """Processes of their own, as workers are; the floor is one such process."""
    register()
    entities = scaled(10_000, at_least=40)
    _make_owners(entities)
    observations = entities * OBSERVATIONS_EACH
    two_s, one_s = alternating(lambda: _side_by_side(2), lambda: _side_by_side(1))
    printer.figure(
        f"recomputation of {entities:,} entities by two workers, floor: by one",
        f"{observations / two_s:,.0f}/s",
        f"{observations / one_s:,.0f}/s",
        one_s / two_s,
        ">= 1.4",
    )


def test_peak_memory_of_a_recomputation(printer: Printer) -> None:
    """A fifth of the million is the history of one entity."""
    register()
    small, large = scaled(100_000, at_least=2_000), scaled(1_000_000, at_least=20_000)
    Histories("small").make(small // OBSERVATIONS_EACH, OBSERVATIONS_EACH)
    histories = Histories("large")
    histories.make(1, large // 5)
    histories.make((large - large // 5) // OBSERVATIONS_EACH, OBSERVATIONS_EACH)
    _let_all_wait()
    peaks = [
        peak_memory_of("recompute_snapshots", "--inline", "--entity-type", ENTITY_TYPE, "--user", user)
        for user in ("small", "large")
    ]
    assert not _count_waiting()
    printer.figure(
        f"peak memory of a recomputation over {large:,} observations, floor: over {small:,}",
        f"{peaks[1] / 1024:.1f} MiB",
        f"{peaks[0] / 1024:.1f} MiB",
        peaks[1] / peaks[0],
        "<= 1.3",
    )


@pytest.mark.parametrize("owners", [1, 300])
def test_the_last_chunk_of_the_work_list(printer: Printer, owners: int) -> None:
    """Looks for owners, claims, and what makes them wait no more, without the work between.

    Of one owner, so that no cursor helps; and of more owners than are looked at in one query.
    """
    register()
    count = scaled(300_000, at_least=4_000)
    ids = [make_owner(f"owner-{number}") for number in range(owners)]
    wanted = schema_of(ids[0]).reduction_hash
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO entity_snapshots (id, user_id, entity_type, entity_key, "values", provenance, merge_state,
                                          deleted, observation_count, reduction_hash)
            SELECT gen_random_uuid(), (%s::bigint[])[1 + n %% %s], %s, n::text,
                   '{}', '{}', '{}', false, 0, md5('before')
              FROM generate_series(1, %s) AS n
            """,
            [ids, owners, ENTITY_TYPE, count],
        )
    vacuum("entity_snapshots")
    times: list[float] = []
    claimed = after = 0
    while (look := _claim(after, wanted, times)).claimed:
        assert look.claimed <= CHUNK_ENTITIES
        claimed, after = claimed + look.claimed, look.after
    assert claimed == count
    share = max(5, len(times) // 20)
    # The very last look finds nothing; it goes through all that is dead, and belongs to it.
    first, last = median(times[:share]), median(times[-share - 1 : -1])
    printer.figure(
        f"work list of {count:,}, {owners} owner(s): the last twentieth of its chunks, floor: the first",
        f"{last * 1e3:.2f} ms",
        f"{first * 1e3:.2f} ms",
        last / first,
        "<= 1.3",
    )
    printer.figure(
        "the look that finds nothing any more, floor: the first chunk",
        f"{times[-1] * 1e3:.2f} ms",
        f"{times[0] * 1e3:.2f} ms",
        times[-1] / times[0],
        "none",
    )


class Look(NamedTuple):
    """How many were claimed, and the owner up to whom nothing is left."""

    claimed: int
    after: int


def _claim(after: int, wanted: str, times: list[float]) -> Look:
    """A chunk, as a pass over all owners takes it."""
    claimed: list[str] = []
    with transaction.atomic():
        began = time.perf_counter()
        owners = owners_after(ENTITY_TYPE, after, OWNERS_AT_ONCE)
        busy = owners_waiting(ENTITY_TYPE, dict.fromkeys(owners, wanted))
        for owner in owners:
            if owner in busy:
                room = CHUNK_ENTITIES - len(claimed)
                found = waiting_of(ENTITY_TYPE, owner, wanted, passed_over=[], limit=room, claims=True)
                claimed += [row.entity_id for row in found]
                if len(found) == room:
                    break
            after = owner
        times.append(time.perf_counter() - began)
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE entity_snapshots SET reduction_hash = %s WHERE id = ANY(%s::uuid[])",
                [wanted, claimed],
            )
    return Look(len(claimed), after)


def _make_owners(entities: int) -> None:
    owners = 20 if entities >= 1_000 else 2
    for owner in range(owners):
        Histories(f"owner-{owner}").make(entities // owners, OBSERVATIONS_EACH)


def _let_all_wait() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE entity_snapshots SET reduction_hash = ''")
    vacuum("entity_snapshots")


def _count_waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM entity_snapshots WHERE reduction_hash = ''")
        (count,) = cursor.fetchone()
    return int(count)


def _recompute() -> None:
    """What the job does, without its ledger row."""
    place: Place | None = place_at_the_beginning(entity_type=ENTITY_TYPE)
    while place is not None:
        with transaction.atomic():
            chunk = snapshots_recompute_waiting(entity_type=ENTITY_TYPE, place=place)
        place = chunk.place.next_pass() if chunk.is_over else chunk.place


def _side_by_side(workers: int) -> float:
    """How long so many processes take together until nothing waits."""
    _let_all_wait()
    connections.close_all()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_recompute) for _ in range(workers)]

    def run() -> None:
        for process in processes:
            process.start()
        for process in processes:
            process.join()

    taken = seconds(run)
    assert [process.exitcode for process in processes] == [0] * workers
    assert not _count_waiting()
    return taken
