"""The dead letter file: what was refused, one JSON object per line, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType

from fragments.services.records import Rejection
from schemaevo.kernel.errors import DomainError


class LettersUnwritable(DomainError):
    """The file of refused records takes no more; they are kept as dead letters of the run all the same."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            "dead_letters_unwritable",
            f"{path} cannot be written: {reason}. What was read until now is stored, and what was refused is kept "
            "with the run; make room and run it again, which stores only what is missing.",
            path=path,
        )


class LetterFile:
    """Letters are appended batch by batch; a batch that cannot be written leaves nothing of itself behind."""

    def __init__(self, path: str) -> None:
        """Raises: OSError."""
        self._path = path
        # Unbuffered: what stays in a buffer would fail again when it is closed, and hide the first failure.
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> LetterFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, file: str, rejections: Iterable[Rejection]) -> None:
        """The letters of these records of `file` are in this file. Raises: LettersUnwritable."""
        text = b"".join(_letter(file, rejection) for rejection in rejections)
        if not text:
            return
        end = os.fstat(self._file.fileno()).st_size
        try:
            left = memoryview(text)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            with suppress(OSError):  # a pipe cannot be cut, and needs not be
                self._file.truncate(end)
            raise LettersUnwritable(self._path, error.strerror or str(error)) from error


def _letter(file: str, rejection: Rejection) -> bytes:
    letter = {
        "file": file,
        "line": rejection.line.line_number,
        "field": rejection.field,
        "reason": rejection.code,
        "message": rejection.message,
        "record": rejection.line.raw.decode(errors="backslashreplace"),
    }
    return json.dumps(letter, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
