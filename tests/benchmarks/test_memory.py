"""The memory of an ingest does not grow with its file."""

from pathlib import Path
from statistics import median

from tests.benchmarks.commands import peak_memory_of
from tests.benchmarks.figures import MEMORY_ROUNDS, Printer, scaled
from tests.benchmarks.records import ENTITY_TYPE, KEY_FIELD, USER_FIELD, register, write_records


def test_peak_memory_of_an_ingest(printer: Printer, tmp_path: Path) -> None:
    register()
    sizes = [scaled(10_000, at_least=1_000), scaled(100_000, at_least=10_000)]
    peaks = []
    for size in sizes:
        rounds = MEMORY_ROUNDS if size <= 10_000 else 1
        path = tmp_path / f"{size}.jsonl"
        write_records(path, records=size, entities=size // 2, users=50, undeclared=3)
        peaks.append(median(_peak_of_ingest(path) for _ in range(rounds)))
    small, large = peaks
    printer.figure(
        f"peak memory of an ingest of {sizes[1]:,} records, floor: of {sizes[0]:,}",
        f"{large / 1024:.1f} MiB",
        f"{small / 1024:.1f} MiB",
        large / small,
        "<= 1.1",
    )


def _peak_of_ingest(path: Path) -> int:
    """The peak resident memory, in KiB, of the ingest command in a process of its own."""
    return peak_memory_of(
        *("ingest", str(path), "--entity-type", ENTITY_TYPE),
        *("--user-field", USER_FIELD, "--create-users", "--key-field", KEY_FIELD),
    )
