"""What an error says of itself: its kind and its place, which anybody may read, and its message, which may quote."""

from pathlib import Path
from traceback import extract_tb

import psycopg

from schemaevo.kernel.errors import DomainError

_PROJECT = Path(__file__).resolve().parents[2]
ERROR_MAX = 2000


def error_kind(error: Exception) -> str:
    """What kind of error it is, by its code where it has one."""
    # A COPY does not pass through Django: its errors come as psycopg raises them.
    cause = error if isinstance(error, psycopg.Error) else error.__cause__
    if isinstance(error, DomainError):
        return error.code
    if isinstance(cause, psycopg.Error) and cause.sqlstate:
        return f"{type(cause).__name__} {cause.sqlstate}"
    return type(error).__name__


def error_place(error: Exception) -> str:
    """Where in this project it was raised, as ``snapshots/domain/merge.py:88 in merge``; empty if elsewhere."""
    for frame in reversed(extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_PROJECT) and "site-packages" not in path.parts:
            return f"{path.relative_to(_PROJECT)}:{frame.lineno} in {frame.name}"
    return ""


def error_told(error: Exception) -> str:
    """Kind and place, without anything of the message."""
    place = error_place(error)
    return f"{error_kind(error)} at {place}" if place else error_kind(error)


def error_text(error: Exception) -> str:
    """What a person reads in the job's row. Short, and storable whatever the message holds."""
    code = f" [{error.code}]" if isinstance(error, DomainError) else ""
    return storable(f"{type(error).__name__}{code}: {error}", ERROR_MAX)


def storable(text: str, longest: int) -> str:
    """The text as PostgreSQL stores it, which takes neither NUL nor lone surrogates; cut to its first characters."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:longest]
