"""Files and streams as bytes: what is read is what was identified, and never more of it than fits into memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from typing import IO

from fragments.services.records import LINE_MAX_BYTES, is_cut
from schemaevo.kernel.errors import Conflict

#: How much is read at once of what has no lines.
PIECE_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True)
class Content:
    """What identifies the content of a file: the SHA-256 (hex) of its bytes, and how many they are."""

    sha256: str
    size: int


def content_of(file: BufferedReader) -> Content:
    """What an open file holds now; it stands at its beginning afterwards."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    content = Content(digest, file.tell())
    file.seek(0)
    return content


def file_lines(file: BufferedReader, content: Content, *, longest: int | None = None) -> Iterator[bytes]:
    """The lines of that content. What was appended to the file since is left alone: it would be content that
    the source does not name. Of a line above `longest` bytes (default LINE_MAX_BYTES) only the beginning comes.

    Raises: Conflict `file_changed` where the file ends early, or at the end, if the bytes were others than those
    of the content.
    """
    most = LINE_MAX_BYTES if longest is None else longest
    return _whole_lines(_checked(lambda left: file.readline(min(left, most + 1)), content), most)


def file_pieces(file: BufferedReader, content: Content) -> Iterator[bytes]:
    """The same content in pieces that know nothing of lines. Raises as `file_lines`."""
    return _checked(lambda left: file.read(min(left, PIECE_BYTES)), content)


def stream_lines(stream: IO[bytes], *, longest: int | None = None) -> Iterator[bytes]:
    """The lines of a stream, as they come; of a long one only the beginning, as of a file."""
    most = LINE_MAX_BYTES if longest is None else longest
    return _whole_lines(iter(lambda: stream.readline(most + 1), b""), most)


def stream_pieces(stream: IO[bytes]) -> Iterator[bytes]:
    """A stream in pieces that know nothing of lines."""
    return iter(lambda: stream.read(PIECE_BYTES), b"")


def _checked(read: Callable[[int], bytes], content: Content) -> Iterator[bytes]:
    """What `read` gives, which is told how many bytes are left, as long as it can be the content.

    A piece is handed on only once it is certain that the file did not end within it: half a row of a CSV file
    looks like a whole one.
    """
    digest = hashlib.sha256()
    left = content.size
    held = b""
    while left and (piece := read(left)):
        if held:
            yield held
        held = piece
        digest.update(piece)
        left -= len(piece)
    if left:
        raise _changed()
    if held:
        yield held
    if digest.hexdigest() != content.sha256:
        raise _changed()


def _changed() -> Conflict:
    return Conflict(
        "file_changed",
        "The file was changed while it was read. What was read is stored; run it again once it rests.",
    )


def _whole_lines(pieces: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """Of a line that is too long only the beginning: a file without line ends must not fill the memory."""
    is_rest = False
    for piece in pieces:
        if not is_rest:
            yield piece
        is_rest = is_cut(piece, longest)
