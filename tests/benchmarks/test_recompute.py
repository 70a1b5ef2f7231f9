"""Recomputing every snapshot from its whole history, against reading the same rows and writing the same rows."""

from django.db import connection, transaction

from snapshots.domain.place import Place
from snapshots.services.recompute import CHUNK_ENTITIES, place_at_the_beginning, snapshots_recompute_waiting
from tests.benchmarks import floor
from tests.benchmarks.figures import Printer, alternating, scaled, seconds
from tests.benchmarks.histories import Histories, vacuum
from tests.benchmarks.records import ENTITY_TYPE, register

OBSERVATIONS_EACH = 20


def test_full_recomputation(printer: Printer) -> None:
    register()
    entities = scaled(5_000, at_least=20)
    owners = 20 if entities >= 1_000 else 2
    for owner in range(owners):
        Histories(f"owner-{owner}").make(entities // owners, OBSERVATIONS_EACH)
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


def _let_all_wait() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE entity_snapshots SET reduction_hash = ''")
    vacuum("entity_snapshots")


def _recompute() -> None:
    """What the job does, without its ledger row."""
    place: Place | None = place_at_the_beginning(entity_type=ENTITY_TYPE)
    while place is not None:
        with transaction.atomic():
            chunk = snapshots_recompute_waiting(entity_type=ENTITY_TYPE, place=place)
        place = chunk.place.next_pass() if chunk.is_over else chunk.place
