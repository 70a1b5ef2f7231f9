"""What every export command shares: JSON Lines, to a file that is whole or not there, or to standard output."""

import os
import sys
from abc import abstractmethod
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject, canonical_bytes
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.owners import user_by_name
from schemaevo.kernel.streams import new_file, one_instant

#: Bytes that are gathered before they are written.
WRITE_SIZE = 2**16


class ExportCommand(ServiceCommand):
    """Writes what `lines` gives, one canonical JSON object on a line, as of one instant.

    Subclasses write `lines` and may add options. What is exported are values of users: `see_values` guards it.
    """

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

    def run(self, **options: Any) -> JsonObject:
        entity_type, user, output = (options.pop(name) for name in ("entity_type", "user", "output"))
        Actor.shell().require("snapshots.see_values")
        if output == "-" and self._is_json:
            raise CommandError(
                "The lines go to standard output, where --json would put the summary after them as one more: "
                "give --output PATH as well.",
                returncode=EXIT_USAGE,
            )
        user_id = user_by_name(user).pk if user is not None else None
        with (
            one_instant(),
            closing(self.lines(entity_type=entity_type, user_id=user_id, **options)) as lines,
        ):
            if output == "-":
                count = _write(lines, self._standard_output())
                self.stderr.write(f"{count} lines", style_func=lambda message: message)
            else:
                with new_file(Path(output)) as file:
                    count = _write(lines, file.write)
                self.say(f"{count} lines in {output}")
        return {"lines": count, "output": output}

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


def _write(lines: Iterable[JsonObject], write: Callable[[bytes], object]) -> int:
    count = 0
    waiting = bytearray()
    with tqdm(unit=" lines", disable=None, leave=False) as bar:
        for line in lines:
            waiting += canonical_bytes(line)
            waiting += b"\n"
            count += 1
            bar.update()
            if len(waiting) >= WRITE_SIZE:
                write(bytes(waiting))
                waiting.clear()
        if waiting:
            write(bytes(waiting))
    return count
