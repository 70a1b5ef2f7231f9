"""Long reads: as of one instant, and into a file that is whole or not there."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from django.db import connection, transaction
from django.db.models import QuerySet

from schemaevo.kernel.errors import Conflict, Invalid

Row = TypeVar("Row")

#: Rows that an export fetches at a time; each may be a record of many kilobytes.
FETCH_SIZE = 500
#: What a file system says that has no hard links.
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@contextmanager
def one_instant() -> Iterator[None]:
    """Everything that is read inside is as of the same moment, and nothing can be written.

    Must be the outermost transaction.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


@contextmanager
def rows_streamed(rows: QuerySet[Any, Row]) -> Iterator[Iterator[Row]]:
    """The rows come through a cursor of the server, so that memory does not grow with their number.

    The cursor ends with the block. Left to the garbage collector it would be closed in whatever transaction runs by
    then, and break that one.
    """
    found = cast("Generator[Row, None, None]", rows.iterator(chunk_size=FETCH_SIZE))
    try:
        yield found
    finally:
        found.close()


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file of that name exists once the block has ended well, whole and on the disk; before that, nothing does.

    It is readable to its owner only, since it holds what users entrusted. Never replaces a file. Another program may
    write it instead, under the `name` of what is given.
    Raises: Conflict `file_exists`; Invalid `cannot_write` for what the system refuses.
    """
    draft = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        if os.path.lexists(path):
            raise _exists(path)
        with open(draft, "xb", opener=_for_its_owner_only) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(draft, path)
    except OSError as error:
        raise Invalid("cannot_write", f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _for_its_owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _give_name(draft: Path, path: Path) -> None:
    try:
        # Unlike a rename, a link fails where the name was taken meanwhile.
        os.link(draft, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        draft.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _exists(path: Path) -> Conflict:
    return Conflict("file_exists", f"{path} exists already and is not overwritten.", path=str(path))
