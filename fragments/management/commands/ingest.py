"""ingest PATH|- --entity-type T (--user U | --user-field F [--create-users]) --key-field K …

ingest PATH|- --entity-type T --format observations [--create-users] …
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from fragments.services.dry_run import Foreseen, ingest_foresee
from fragments.services.files import (
    content_of,
    file_lines,
    file_pieces,
    stream_lines,
    stream_pieces,
)
from fragments.services.formats import Format, format_of, read_records
from fragments.services.ingest import Input, Progress, ingest, with_batch_size
from fragments.services.letters import LetterFile
from fragments.services.records import IngestOptions
from registry.cache import CacheFigures, cache_figures
from registry.domain.times import parse_time
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject, exact_number
from schemaevo.kernel.commands import EXIT_FAILED, EXIT_USAGE, ServiceCommand
from schemaevo.kernel.owners import user_by_name


class Command(ServiceCommand):
    help = (
        "Stores the records of a file or stream (JSON Lines, CSV or JSON): what their schema declares as "
        "observations, the rest as fragments. What cannot be stored becomes a dead letter with its reason. "
        "Running it again stores only what is missing. --format observations stores what export_observations "
        "wrote, each line as the observation that it was, split by the schema that is in force here."
    )

    usage_codes = frozenset({"invalid_entity_type", "invalid_option", "invalid_header"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="a file, or - for standard input")
        parser.add_argument("--entity-type", required=True, metavar="T", help="what the records are")
        owner = parser.add_mutually_exclusive_group()
        owner.add_argument("--user", metavar="U", help="owner of all records (id, e-mail or username)")
        owner.add_argument("--user-field", metavar="F", help="field that holds the owner's username")
        parser.add_argument("--create-users", action="store_true", help="make owners that are missing")
        parser.add_argument("--key-field", metavar="K", help="field that names the entity")
        parser.add_argument("--observed-at-field", metavar="F", help="field that holds the time (RFC 3339)")
        parser.add_argument(
            "--observed-at", metavar="T", help="time of records without one (default: the file's own)"
        )
        parser.add_argument("--id-field", metavar="F", help="field that names the observation")
        parser.add_argument("--source", metavar="S", help="where they come from (default: this file)")
        parser.add_argument("--priority", type=int, metavar="N", help="trust (default 100)")
        parser.add_argument("--kind", metavar="K", help="sort of write: sensor, human, import, sync, …")
        parser.add_argument(
            "--format",
            choices=[form.value for form in Format],
            help="how the records are written down (default: by the file's suffix, else jsonl)",
        )
        parser.add_argument("--batch-size", type=int, metavar="N", help="records per transaction")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be stored, by field")
        parser.add_argument("--dead-letter", metavar="PATH", help="also write refused records to this file")

    def run(self, **options: Any) -> JsonObject:
        is_export = options["format"] == Format.OBSERVATIONS
        _require_combination(options, is_export=is_export)
        if options["dry_run"] and options["dead_letter"]:
            raise CommandError("--dry-run writes nothing, not even --dead-letter.", returncode=EXIT_USAGE)
        wanted = with_batch_size(
            _export_options(options) if is_export else _record_options(options), options["batch_size"]
        )
        before = cache_figures()
        began = time.monotonic()
        with ExitStack() as opened:
            opened.enter_context(_sigterm_interrupts())
            letters = _letter_file(opened, options["dead_letter"])
            bar, source = self._open(opened, wanted, options)

            def on_progress(progress: Progress) -> None:
                bar.set_postfix(rejected=progress.counts.rejected, refresh=False)
                if letters is not None:
                    letters.write(source.name, progress.rejections)

            if options["dry_run"]:
                foreseen = ingest_foresee(
                    source=source, options=wanted, actor=Actor.shell(), on_progress=on_progress
                )
                return self._foreseen(foreseen, time.monotonic() - began, self._cached(before, options))
            run = ingest(source=source, options=wanted, actor=Actor.shell(), on_progress=on_progress)
        seconds = time.monotonic() - began
        summary: JsonObject = {
            "run": run.pk,
            "records": run.record_count,
            "observations": run.observation_count,
            "duplicates": run.duplicate_count,
            "fragments": run.fragment_count,
            "rejected": run.rejected_count,
            "retracted": run.retracted_count,
            "seconds": exact_number(f"{seconds:.3f}"),
            "per_second": round(run.record_count / seconds) if seconds else 0,
        }
        self.say(
            f"Run {run.pk}: {run.record_count} records in {seconds:.1f} s: {run.observation_count} observations, "
            f"{run.duplicate_count} duplicates, {run.fragment_count} fragments, {run.rejected_count} rejected."
        )
        if run.retracted_count:
            self.say(
                f"{run.retracted_count} of the observations are of a retracted source: they are kept, and take no part "
                "until that is undone."
            )
        summary["schema_cache"] = self._cached(before, options)
        return summary

    def _cached(self, before: CacheFigures, options: dict[str, Any]) -> JsonObject:
        """What the cache of schemas did since `before`, which is told to people who asked for more words."""
        now = cache_figures()
        hits, misses, stale = now.hits - before.hits, now.misses - before.misses, now.stale - before.stale
        if options["verbosity"] > 1:
            self.say(
                f"Schemas: {hits} loads from memory, {misses} from the database, {stale} because of a change."
            )
        return {"hits": hits, "misses": misses, "stale": stale}

    def _foreseen(self, foreseen: Foreseen, seconds: float, cached: JsonObject) -> JsonObject:
        counts = foreseen.counts
        self.say(
            f"Nothing was written. Of {counts.records} records would be: {counts.observations} observations, "
            f"{counts.duplicates} duplicates, {counts.rejected} rejected; {counts.fragments} fragments."
        )
        for name, reasons in sorted(foreseen.by_field.items()):
            self.say(
                f"  {name}: " + ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
            )
        for code, count in sorted(foreseen.by_code.items()):
            self.say(f"  rejected, {code}: {count}")
        return {
            "run": None,
            "records": counts.records,
            "observations": counts.observations,
            "duplicates": counts.duplicates,
            "fragments": counts.fragments,
            "rejected": counts.rejected,
            "by_field": {name: dict(reasons) for name, reasons in foreseen.by_field.items()},
            "by_code": dict(foreseen.by_code),
            "seconds": exact_number(f"{seconds:.3f}"),
            "per_second": round(counts.records / seconds) if seconds else 0,
            "schema_cache": cached,
        }

    def exit_code(self, result: JsonObject) -> int:
        """1 only if there were records and none could be read."""
        return EXIT_FAILED if result["records"] and result["records"] == result["rejected"] else 0

    def _open(self, opened: ExitStack, wanted: IngestOptions, options: dict[str, Any]) -> tuple[Any, Input]:
        observed_at = _time(options["observed_at"])
        path = options["path"]
        form = Format(options["format"]) if options["format"] else format_of(path)
        is_quiet = not sys.stderr.isatty()
        if path == "-":
            if observed_at is None and wanted.observed_at_field is None:
                raise CommandError(
                    "A stream has no time of its own: give --observed-at or --observed-at-field.",
                    returncode=EXIT_USAGE,
                )
            bar = opened.enter_context(tqdm(unit="B", unit_scale=True, disable=is_quiet, leave=False))
            stdin = sys.stdin.buffer
            lines = stream_lines(stdin, longest=form.line_max_bytes)
            stream = _counted(lines if form.has_lines else stream_pieces(stdin), bar)
            records = read_records(stream, form, wanted.named_fields)
            return bar, Input(records, "stream", "", options["source"], observed_at)
        try:
            file = opened.enter_context(open(path, "rb"))  # noqa: SIM115  the stack closes it
            if not file.seekable():
                raise CommandError(
                    f"{path} is a stream and can be read only once; feed it to standard input, with - as the path.",
                    returncode=EXIT_USAGE,
                )
            modified_at = datetime.fromtimestamp(int(os.fstat(file.fileno()).st_mtime), UTC)
            content = content_of(file)
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}", returncode=EXIT_FAILED) from error
        # A file's name may be bytes that are no text; they are kept readable.
        name = os.fsencode(os.path.basename(path)).decode(errors="backslashreplace")
        bar = opened.enter_context(
            tqdm(total=content.size, unit="B", unit_scale=True, disable=is_quiet, leave=False, desc=name)
        )
        lines = file_lines(file, content, longest=form.line_max_bytes)
        pieces = _counted(lines if form.has_lines else file_pieces(file, content), bar)
        records = read_records(pieces, form, wanted.named_fields)
        # An exported observation has its own time, and gives no file a time that its records would take.
        own_time = None if wanted.is_export else modified_at
        return bar, Input(records, name, content.sha256, options["source"], observed_at, own_time)


#: What an exported observation says itself, by the name of the option that says it of a record.
_SAID_BY_THE_LINE: Final = (
    "user",
    "user_field",
    "key_field",
    "observed_at_field",
    "observed_at",
    "id_field",
    "source",
    "priority",
    "kind",
)


def _require_combination(options: dict[str, Any], *, is_export: bool) -> None:
    """Refuses options that contradict each other, and the lack of those that records need."""
    if is_export:
        given = [name for name in _SAID_BY_THE_LINE if options[name] is not None]
        if given:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise CommandError(
                f"--format observations takes no {flags}: every line says that itself.", returncode=EXIT_USAGE
            )
        return
    if options["key_field"] is None:
        raise CommandError(
            "--key-field is required; only --format observations goes without.", returncode=EXIT_USAGE
        )
    if options["user"] is None and options["user_field"] is None:
        raise CommandError("One of --user and --user-field is required.", returncode=EXIT_USAGE)
    if options["create_users"] and not options["user_field"]:
        raise CommandError("--create-users goes with --user-field.", returncode=EXIT_USAGE)


def _record_options(options: dict[str, Any]) -> IngestOptions:
    return IngestOptions(
        entity_type=options["entity_type"],
        key_field=options["key_field"],
        user_id=user_by_name(options["user"]).pk if options["user"] is not None else None,
        user_field=options["user_field"],
        create_users=options["create_users"],
        observed_at_field=options["observed_at_field"],
        id_field=options["id_field"],
        priority=100 if options["priority"] is None else options["priority"],
        kind=options["kind"],
    )


def _export_options(options: dict[str, Any]) -> IngestOptions:
    return IngestOptions.for_export(entity_type=options["entity_type"], create_users=options["create_users"])


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does, so that the run is not shown as running for ever.

    Only where nobody else deals with the signal.
    """
    is_free = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_free:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        if is_free:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _counted(lines: Iterable[bytes], bar: Any) -> Iterator[bytes]:
    for line in lines:
        bar.update(len(line))
        yield line


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise CommandError(f"--observed-at: {text!r} is {error}.", returncode=EXIT_USAGE) from error


def _letter_file(opened: ExitStack, path: str | None) -> LetterFile | None:
    if path is None:
        return None
    try:
        return opened.enter_context(LetterFile(path))
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}", returncode=EXIT_USAGE) from error
