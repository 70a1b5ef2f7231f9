"""Batches: the lines of an input, taken apart, as many at a time as one transaction should store."""

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

from fragments.services.records import IngestOptions, Line, Parsed, parse

#: An ingest transaction holds locks that a schema change waits for, so it should end within this time.
TARGET_S = 1.0
SIZE_MIN = 50
#: A batch is in memory as a whole, and a record may have megabytes.
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Batch:
    """So many lines, each a record or a rejection, and the number of the last one."""

    parsed: Parsed
    line_count: int
    last_line: int


class Batches:
    """The batches of an input, one after the other; `took` fits their size to what storing one takes.

    Of a stream, which may have to be waited for, each batch is read when it is asked for: what came in is stored
    first. Of a file the next one can be read while the database works.
    """

    def __init__(
        self,
        lines: Iterator[Line],
        options: IngestOptions,
        default_observed_at: datetime | None,
        *,
        is_stream: bool = True,
    ) -> None:
        self._lines = lines
        self._options = options
        self._default_observed_at = default_observed_at
        self._size = options.batch_size
        self._is_stream = is_stream
        self._ahead: Future[Batch | None] | None = None

    def took(self, seconds: float) -> None:
        """The batch that was given last took so long to be stored."""
        if seconds > TARGET_S:
            self._size = max(min(SIZE_MIN, self._options.batch_size), self._size // 2)
        else:
            self._size = min(self._options.batch_size, self._size * 2)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._next, None)

    def read_ahead(self) -> None:
        """The next batch of a file is read, unless it was. What goes wrong is raised when that batch is asked for.

        To be called where the database works anyway. In a second thread it was measured and gained nothing: what it won
        it lost again where the two threads waited for each other.
        """
        if self._is_stream or self._ahead is not None:
            return
        self._ahead = Future()
        try:
            self._ahead.set_result(self._read())
        except Exception as error:
            self._ahead.set_exception(error)

    def _next(self) -> Batch | None:
        ahead, self._ahead = self._ahead, None
        return self._read() if ahead is None else ahead.result()

    def _read(self) -> Batch | None:
        lines = self._next_lines()
        if not lines:
            return None
        parsed = parse(lines, self._options, self._default_observed_at)
        return Batch(parsed, len(lines), lines[-1].line_number)

    def _next_lines(self) -> list[Line]:
        """The next lines: as many as the size says, or fewer if they are long."""
        lines: list[Line] = []
        held = 0
        for line in self._lines:
            lines.append(line)
            held += len(line.raw)
            if len(lines) == self._size or held >= MAX_BYTES:
                break
        return lines
