"""What is read of a file is what it was identified by, and no line is held that is too long to be a record."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from fragments.services import files
from fragments.services.files import content_of, file_lines, file_pieces, stream_lines, stream_pieces
from schemaevo.kernel.errors import Conflict


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "things.jsonl"
    path.write_bytes(b'{"k":1}\n{"k":2}\n')
    return path


def test_a_file_is_read_as_it_was_identified(path: Path) -> None:
    with path.open("rb") as file:
        content = content_of(file)
        assert list(file_lines(file, content)) == [b'{"k":1}\n', b'{"k":2}\n']
    assert content.size == 16


def test_what_is_appended_meanwhile_is_left_for_another_run(path: Path) -> None:
    with path.open("rb") as file, path.open("ab") as writer:
        content = content_of(file)
        writer.write(b'{"k":3}\n')
        writer.flush()
        assert list(file_lines(file, content)) == [b'{"k":1}\n', b'{"k":2}\n']


@pytest.mark.parametrize("changed", [b'{"k":1}\n{"k":9}\n', b'{"k":1}\n', b""])
def test_a_file_that_is_rewritten_meanwhile_is_told(path: Path, changed: bytes) -> None:
    with path.open("rb") as file:
        content = content_of(file)
        path.write_bytes(changed)
        with pytest.raises(Conflict) as refusal:
            list(file_lines(file, content))
    assert refusal.value.code == "file_changed"


def test_another_file_of_that_name_is_not_this_one(path: Path, tmp_path: Path) -> None:
    with path.open("rb") as file:
        content = content_of(file)
        other = tmp_path / "other"
        other.write_bytes(b"other\n")
        other.rename(path)
        assert len(list(file_lines(file, content))) == 2


@pytest.mark.parametrize("length", [4, 5, 6, 7, 9, 10, 11, 12, 100])
def test_of_a_line_that_is_too_long_only_the_beginning_is_held(
    length: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LINE_MAX_BYTES", 5)
    monkeypatch.setattr("fragments.services.records.LINE_MAX_BYTES", 5)
    lines = [b"a\n", b"x" * length + b"\n", b"\n", b"b"]
    read = list(stream_lines(io.BytesIO(b"".join(lines))))
    assert [line[:6] for line in lines] == read
    path.write_bytes(b"".join(lines))
    with path.open("rb") as file:
        assert list(file_lines(file, content_of(file))) == read


def test_a_file_that_shrinks_within_a_line_gives_no_half_of_it(path: Path) -> None:
    """Half a row of a CSV file would look like a whole one."""
    path.write_bytes(b"k,a\n1,long\n2,longer\n")
    read = []
    # A small buffer: the end of the file is still on the disk when the file is cut.
    reader: io.BufferedReader = io.BufferedReader(io.FileIO(path), 4)
    with reader as file:
        lines = file_lines(file, content_of(file))
        read.append(next(lines))
        os.truncate(path, 17)
        with pytest.raises(Conflict):
            read.extend(lines)
    assert read[-1] == b"1,long\n"


def test_pieces_are_the_same_content(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIECE_BYTES", 5)
    with path.open("rb") as file, path.open("ab") as writer:
        content = content_of(file)
        writer.write(b"more")
        writer.flush()
        assert list(file_pieces(file, content)) == [b'{"k":', b'1}\n{"', b'k":2}', b"\n"]
    assert list(stream_pieces(io.BytesIO(b"0123456"))) == [b"01234", b"56"]
