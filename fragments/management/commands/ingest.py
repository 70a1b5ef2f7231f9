"""ingest PATH|- --entity-type T (--user U | --user-field F [--create-users]) --key-field K …"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import IO, Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from fragments.services.ingest import Input, Progress, default_time_of, file_hash, ingest, with_batch_size
from fragments.services.records import IngestOptions, jsonl_lines
from registry.domain.times import parse_time
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject, exact_number
from schemaevo.kernel.commands import EXIT_FAILED, EXIT_USAGE, ServiceCommand
from schemaevo.kernel.owners import user_by_name


class Command(ServiceCommand):
    help = (
        "Stores the records of a JSON Lines file or stream: what their schema declares as observations, the rest "
        "as fragments. What cannot be stored becomes a dead letter with its reason. Running it again stores only "
        "what is missing."
    )

    usage_codes = frozenset({"invalid_entity_type", "invalid_option"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("path", help="a JSON Lines file, or - for standard input")
        parser.add_argument("--entity-type", required=True, metavar="T", help="what the records are")
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--user", metavar="U", help="owner of all records (id, e-mail or username)")
        owner.add_argument("--user-field", metavar="F", help="field that holds the owner's username")
        parser.add_argument("--create-users", action="store_true", help="make owners that are missing")
        parser.add_argument("--key-field", required=True, metavar="K", help="field that names the entity")
        parser.add_argument("--observed-at-field", metavar="F", help="field that holds the time (RFC 3339)")
        parser.add_argument(
            "--observed-at", metavar="T", help="time of records without one (default: the file's own)"
        )
        parser.add_argument("--id-field", metavar="F", help="field that names the observation")
        parser.add_argument("--source", metavar="S", help="where they come from (default: this file)")
        parser.add_argument("--priority", type=int, default=100, metavar="N", help="trust (default 100)")
        parser.add_argument("--kind", metavar="K", help="sort of write: sensor, human, import, sync, …")
        parser.add_argument("--batch-size", type=int, metavar="N", help="records per transaction")
        parser.add_argument("--dead-letter", metavar="PATH", help="also write refused records to this file")

    def run(self, **options: Any) -> JsonObject:
        if options["create_users"] and not options["user_field"]:
            raise CommandError("--create-users goes with --user-field.", returncode=EXIT_USAGE)
        wanted = with_batch_size(
            IngestOptions(
                entity_type=options["entity_type"],
                key_field=options["key_field"],
                user_id=user_by_name(options["user"]).pk if options["user"] else None,
                user_field=options["user_field"],
                create_users=options["create_users"],
                observed_at_field=options["observed_at_field"],
                id_field=options["id_field"],
                priority=options["priority"],
                kind=options["kind"],
            ),
            options["batch_size"],
        )
        began = time.monotonic()
        with ExitStack() as opened:
            letters = _dead_letter_file(opened, options["dead_letter"])
            bar, source = self._open(opened, options)

            def on_progress(progress: Progress) -> None:
                bar.set_postfix(rejected=progress.counts.rejected, refresh=False)
                _write_letters(letters, progress)

            run = ingest(source=source, options=wanted, actor=Actor.shell(), on_progress=on_progress)
        seconds = time.monotonic() - began
        summary: JsonObject = {
            "run": run.pk,
            "records": run.record_count,
            "observations": run.observation_count,
            "duplicates": run.duplicate_count,
            "fragments": run.fragment_count,
            "rejected": run.rejected_count,
            "seconds": exact_number(f"{seconds:.3f}"),
            "per_second": round(run.record_count / seconds) if seconds else 0,
        }
        self.say(
            f"Run {run.pk}: {run.record_count} records in {seconds:.1f} s: {run.observation_count} observations, "
            f"{run.duplicate_count} duplicates, {run.fragment_count} fragments, {run.rejected_count} rejected."
        )
        return summary

    def exit_code(self, result: JsonObject) -> int:
        """1 only if there were records and none could be read."""
        return EXIT_FAILED if result["records"] and result["records"] == result["rejected"] else 0

    def _open(self, opened: ExitStack, options: dict[str, Any]) -> tuple[Any, Input]:
        observed_at = _time(options["observed_at"])
        path = options["path"]
        is_quiet = not sys.stderr.isatty()
        if path == "-":
            if observed_at is None and not options["observed_at_field"]:
                raise CommandError(
                    "A stream has no time of its own: give --observed-at or --observed-at-field.",
                    returncode=EXIT_USAGE,
                )
            bar = opened.enter_context(tqdm(unit="B", unit_scale=True, disable=is_quiet, leave=False))
            stream = _counted(sys.stdin.buffer, bar)
            return bar, Input(jsonl_lines(stream), "stream", "", options["source"], observed_at)
        try:
            content_hash = file_hash(path)
            file = opened.enter_context(open(path, "rb"))  # noqa: SIM115  the stack closes it
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}", returncode=EXIT_FAILED) from error
        status = os.fstat(file.fileno())
        if observed_at is None:
            observed_at = default_time_of(
                content_hash=content_hash,
                entity_type=options["entity_type"],
                modified_at=datetime.fromtimestamp(int(status.st_mtime), UTC),
            )
        # A file's name may be bytes that are no text; they are kept readable.
        name = os.fsencode(os.path.basename(path)).decode(errors="backslashreplace")
        bar = opened.enter_context(
            tqdm(total=status.st_size, unit="B", unit_scale=True, disable=is_quiet, leave=False, desc=name)
        )
        lines = jsonl_lines(_counted(file, bar))
        return bar, Input(lines, name, content_hash, options["source"], observed_at)


def _counted(file: IO[bytes], bar: Any) -> Iterator[bytes]:
    for line in file:
        bar.update(len(line))
        yield line


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise CommandError(f"--observed-at: {text!r} is {error}.", returncode=EXIT_USAGE) from error


def _dead_letter_file(opened: ExitStack, path: str | None) -> IO[str] | None:
    if path is None:
        return None
    try:
        return opened.enter_context(open(path, "a", encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}", returncode=EXIT_USAGE) from error


def _write_letters(letters: IO[str] | None, progress: Progress) -> None:
    if letters is None:
        return
    for rejection in progress.rejections:
        letter = {
            "line": rejection.line.line_number,
            "reason": rejection.code,
            "message": rejection.message,
            "record": rejection.line.raw.decode(errors="backslashreplace"),
        }
        letters.write(json.dumps(letter, ensure_ascii=False) + "\n")
    letters.flush()
