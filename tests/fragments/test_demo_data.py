"""The committed Debian excerpt is what its manifest says and holds no personal data."""

import gzip
import hashlib
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.data.make_debian_excerpt import ADDRESS, Redactor, read_stanzas, version_key

EXCERPT = Path(__file__).parent.parent / "data" / "debian"
MANIFEST = json.loads((EXCERPT / "manifest.json").read_text(encoding="utf-8"))
SCHEMA = json.loads((EXCERPT / "package.schema.json").read_text(encoding="utf-8"))


def content(source: dict[str, Any]) -> bytes:
    """The unpacked lines of a source's file."""
    return gzip.decompress((EXCERPT / source["file"]).read_bytes())


@pytest.fixture(scope="module")
def files() -> dict[str, list[dict[str, Any]]]:
    """The records of each source."""
    return {s["source"]: [json.loads(line) for line in content(s).splitlines()] for s in MANIFEST["sources"]}


@pytest.mark.parametrize("source", MANIFEST["sources"], ids=lambda source: source["file"])
def test_a_file_is_the_one_that_the_manifest_describes(source: dict[str, Any]) -> None:
    lines = content(source)
    assert hashlib.sha256(lines).hexdigest() == source["sha256"]
    assert lines.count(b"\n") == source["records"]


def test_the_excerpt_is_large_enough_to_show_something(files: dict[str, list[dict[str, Any]]]) -> None:
    records = files["debian-bookworm"]
    assert len(records) >= 5_000
    assert len({record["Maintainer"] for record in records}) >= 60


def test_no_person_is_named(files: dict[str, list[dict[str, Any]]]) -> None:
    for record in (record for records in files.values() for record in records):
        for field, value in record.items():
            if field in {"Maintainer", "Original-Maintainer"}:
                assert re.fullmatch(r"maintainer-\d{4}", value)
            assert not ADDRESS.search(str(value)), (record["Package"], field)


def test_known_answers_of_the_whole_index_hold_in_the_excerpt(
    files: dict[str, list[dict[str, Any]]],
) -> None:
    users: dict[str, set[str]] = defaultdict(set)
    for record in files["debian-bookworm"]:
        for field in record:
            users[field].add(record["Maintainer"])
    counts = Counter(field for record in files["debian-bookworm"] for field in record)
    known = {
        field: (counts[field], len(users[field])) for field in ("Ruby-Versions", "Build-Ids", "Ghc-Package")
    }
    assert known == {"Ruby-Versions": (1_051, 30), "Build-Ids": (102, 56), "Ghc-Package": (1_070, 3)}


def test_the_schema_declares_the_fifteen_most_common_fields(files: dict[str, list[dict[str, Any]]]) -> None:
    counts = Counter(field for record in files["debian-bookworm"] for field in record)
    assert {field for field, _ in counts.most_common(15)} == set(SCHEMA["definition"]["fields"])


def test_versions_are_ordered_as_debian_orders_them() -> None:
    descending = [
        "1:0.1",
        "1.10",
        "1.0+b",
        "1.0a-1",
        "1.0-2",
        "1.0-1+b1",
        "1.0-1",
        "1.0-1~deb12u1",
        "1.0~rc1-1",
    ]
    assert sorted(descending, key=version_key, reverse=True) == descending
    assert sorted(descending, key=version_key) == descending[::-1]
    assert version_key("1.0") == version_key("1.0-0") == version_key("0:1.0")


def test_names_and_addresses_are_taken_out_of_texts() -> None:
    redactor = Redactor(
        [{"Maintainer": "Ann Example <ann@example.org>"}, {"Maintainer": "Zed <zed@example.org>"}]
    )
    assert redactor.pseudonym("Zed <zed@example.org>") == "maintainer-0001"
    assert redactor.pseudonym("Ann Example <ann@example.org>") == "maintainer-0002"
    assert redactor.pseudonym("Zed <zed@example.org>") == "maintainer-0001"
    assert redactor.redacted("Ann Example's hand, bugs to x.y@lists.example.org") == (
        "(name removed)'s hand, bugs to (address removed)"
    )
    assert redactor.redacted("zipped @decorator of Zed") == "zipped @decorator of Zed"


def test_continuation_lines_belong_to_their_field(tmp_path: Path) -> None:
    index = tmp_path / "Packages"
    index.write_text("Package: a\nTag: x::y,\n z::w\n\n\nPackage: b\nVersion: 1:2-3\n", encoding="utf-8")
    assert list(read_stanzas(index)) == [
        {"Package": "a", "Tag": "x::y, z::w"},
        {"Package": "b", "Version": "1:2-3"},
    ]
