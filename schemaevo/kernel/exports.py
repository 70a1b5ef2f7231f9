"""What every export command shares: JSON Lines, to a file that is whole or not there, or to standard output."""

import os
import sys
from abc import abstractmethod
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.export_formats import ExportFormat, portions
from schemaevo.kernel.export_runs import Door, Export, Tally, export_audited
from schemaevo.kernel.owners import user_by_name
from schemaevo.kernel.streams import new_file, one_instant


class ExportCommand(ServiceCommand):
    """Writes what `lines` gives, one canonical JSON object on a line, as of one instant.

    Subclasses write `lines` and may add options. What is exported are values of users: `see_values` guards it, and the
    audit log keeps that it was.
    """

    #: The table whose rows are written.
    table: ClassVar[str]

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("--user", metavar="U", help="only this owner's (id, e-mail or username)")
        parser.add_argument(
            "--output", default="-", metavar="PATH", help="a file that does not exist yet; default: stdout"
        )

    @abstractmethod
    def lines(
        self, *, entity_type: str, user_id: int | None, **options: Any
    ) -> Generator[JsonObject, None, None]:
        """What is exported, in an order that does not change while the data do not."""

    def filters(self, **options: Any) -> JsonObject:
        """By what else the rows are narrowed, in the words of the list's filters."""
        return {}

    def run(self, **options: Any) -> JsonObject:
        entity_type, user, output = (options.pop(name) for name in ("entity_type", "user", "output"))
        actor = Actor.shell()
        actor.require("snapshots.see_values")
        if output == "-" and self._is_json:
            raise CommandError(
                "The lines go to standard output, where --json would put the summary after them as one more: "
                "give --output PATH as well.",
                returncode=EXIT_USAGE,
            )
        user_id = user_by_name(user).pk if user is not None else None
        with (
            export_audited(actor=actor, export=self._export(entity_type, user_id, options)) as tally,
            one_instant(),
            closing(self.lines(entity_type=entity_type, user_id=user_id, **options)) as lines,
        ):
            if output == "-":
                _write(lines, self._standard_output(), tally)
                self.stderr.write(f"{tally.lines} lines", style_func=lambda message: message)
            else:
                with new_file(Path(output)) as file:
                    _write(lines, file.write, tally)
                self.say(f"{tally.lines} lines in {output}")
        return {"lines": tally.lines, "output": output}

    def _export(self, entity_type: str, user_id: int | None, options: dict[str, Any]) -> Export:
        return Export(
            table=self.table,
            entity_type=entity_type,
            filters={**({"owner": user_id} if user_id is not None else {}), **self.filters(**options)},
            export_format=ExportFormat.JSONL,
            door=Door.COMMAND,
        )

    def _standard_output(self) -> Callable[[bytes], object]:
        # JSON is UTF-8 whatever the terminal's encoding; a stream that a test gives may take text only.
        binary = getattr(self.stdout, "buffer", None)
        if binary is None:
            return lambda data: self.stdout.write(data.decode(), ending="")

        def write(data: bytes) -> None:
            try:
                binary.write(data)
                binary.flush()
            except BrokenPipeError:
                # Whoever read has seen enough, as `head` does. Python would complain once more at its exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                sys.exit(1)

        return write


def _write(lines: Generator[JsonObject, None, None], write: Callable[[bytes], object], tally: Tally) -> None:
    with tqdm(unit=" lines", disable=None, leave=False) as bar:
        for part in portions(lines, ExportFormat.JSONL):
            tally.lines += part.lines
            write(part.data)
            bar.update(part.lines)
