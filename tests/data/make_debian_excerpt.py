"""Writes the Debian excerpt in tests/data/debian from two of Debian's package indexes.

Run it on a Debian 12 machine after `apt-get update`; tests/data/debian/README.md has the exact commands.
Only the standard library is used, so that the excerpt can be made anew without installing the project.
The selection is a function of the indexes alone: the same indexes give the same records in the same order.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

Stanza = dict[str, str]
Record = dict[str, Any]

KNOWN_ANSWERS = ("Build-Ids", "Ghc-Package", "Ruby-Versions")
RARE_BELOW = 200
"""Every record is kept that has a field which fewer records than this carry: no rare field is missing."""
FILL_TO = 6_000
FILL_MAINTAINER_PACKAGES = range(3, 41)
"""Whole maintainers are added: none so small that nothing can be learned, none that crowds out the rest."""
DROPPED = ("MD5sum", "SHA256")
"""Hash values do not compress (these would make the excerpt half as large again) and drift in no way."""
PSEUDONYMISED = ("Maintainer", "Original-Maintainer")
NUMBERS = ("Installed-Size", "Size")
LISTS = ("Tag",)
DECLARED_COUNT = 15
ADDRESS = re.compile(r"[^\s<>/=]+@[^\s<>/=]+\.[a-zA-Z]{2,}")
LATER_PRIORITY = 90


@dataclass(frozen=True, slots=True)
class Index:
    """One package index with the date that its Release file gives."""

    stanzas: list[Stanza]
    observed_at: str
    release: str


def read_stanzas(path: Path) -> Iterator[Stanza]:
    """Yields the paragraphs of a Packages file, continuation lines joined by a space."""
    stanza: Stanza = {}
    name = ""
    with path.open(encoding="utf-8") as lines:
        for line in (whole.rstrip("\n") for whole in lines):
            if not line:
                if stanza:
                    yield stanza
                stanza = {}
            elif line[0] in " \t":
                stanza[name] += " " + line.strip()
            else:
                name, value = line.split(":", 1)
                stanza[name] = value.strip()
    if stanza:
        yield stanza


def read_index(packages: Path, release: Path) -> Index:
    """Reads an index and the time and version of its Release file."""
    header = dict(re.findall(r"(?m)^(Date|Codename|Version): (.+)$", release.read_text(encoding="utf-8")))
    date = parsedate_to_datetime(header["Date"].replace("UTC", "+0000"))
    return Index(
        stanzas=list(read_stanzas(packages)),
        observed_at=date.strftime("%Y-%m-%dT%H:%M:%SZ"),
        release=f"{header['Codename']} {header['Version']}",
    )


def version_key(version: str) -> tuple[int, list[tuple[list[int], int]], list[tuple[list[int], int]]]:
    """A sort key that orders Debian versions as Debian Policy 5.6.12 says."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch), _part_key(upstream), _part_key(revision)


def _part_key(part: str) -> list[tuple[list[int], int]]:
    """Splits into (non-digits, number) pairs; `~` sorts before the end, letters before other signs."""
    key: list[tuple[list[int], int]] = []
    for signs, digits in re.findall(r"([^0-9]*)([0-9]*)", part):
        weights = [-1 if sign == "~" else ord(sign) + (0 if sign.isalpha() else 256) for sign in signs]
        key.append(([*weights, 0], int(digits or 0)))
    # The closing pair lets `~` sort before the end; `1.0` and `1.0-0` are the same version.
    while key and key[-1] == ([0], 0):
        key.pop()
    return [*key, ([0], 0)]


def later_versions(main: Index, later: Index) -> dict[str, list[Stanza]]:
    """Per package: the stanzas of `later` whose version is above every version in `main`, in index order."""
    newest: dict[str, str] = {}
    for stanza in main.stanzas:
        name, version = stanza["Package"], stanza["Version"]
        if name not in newest or version_key(version) > version_key(newest[name]):
            newest[name] = version
    found: dict[str, list[Stanza]] = defaultdict(list)
    for stanza in later.stanzas:
        name = stanza["Package"]
        if name in newest and version_key(stanza["Version"]) > version_key(newest[name]):
            found[name].append(stanza)
    return dict(found)


def select(main: Index, later: dict[str, list[Stanza]]) -> list[Stanza]:
    """The stanzas of the excerpt, in the order of the index."""
    carriers = Counter(name for stanza in main.stanzas for name in stanza)
    wanted = {name for name, count in carriers.items() if count < RARE_BELOW} | set(KNOWN_ANSWERS)
    versions = Counter(stanza["Package"] for stanza in main.stanzas)
    packages_of: dict[str, list[Stanza]] = defaultdict(list)
    for stanza in main.stanzas:
        packages_of[stanza["Maintainer"]].append(stanza)

    kept = {
        id(stanza)
        for stanza in main.stanzas
        if not wanted.isdisjoint(stanza)
        or versions[stanza["Package"]] > 1
        or any(_moved(stanza, other) for other in later.get(stanza["Package"], []))
    }
    # A digest of the package names is an order that nobody chose and that holds no personal data.
    for stanzas in sorted(packages_of.values(), key=_digest):
        if len(kept) >= FILL_TO:
            break
        if len(stanzas) in FILL_MAINTAINER_PACKAGES:
            kept.update(id(stanza) for stanza in stanzas if not _names_someone(stanza))
    return [stanza for stanza in main.stanzas if id(stanza) in kept]


def _moved(old: Stanza, new: Stanza) -> bool:
    """Whether the later index disagrees on who owns a package or where it belongs."""
    return any(old.get(name) != new.get(name) for name in ("Maintainer", "Section", "Priority"))


def _digest(stanzas: Iterable[Stanza]) -> str:
    return hashlib.sha256("\n".join(sorted(stanza["Package"] for stanza in stanzas)).encode()).hexdigest()


def _names_someone(stanza: Stanza) -> bool:
    """Whether a text holds an address or a handle: such packages are not needed, so they stay out."""
    return any("@" in value for name, value in stanza.items() if name not in PSEUDONYMISED)


class Redactor:
    """Takes persons out of texts: maintainers become numbers, their names and all addresses are removed."""

    def __init__(self, stanzas: Iterable[Stanza]) -> None:
        self._numbers: dict[str, str] = {}
        self._names_by_word: dict[str, set[str]] = defaultdict(set)
        texts = {stanza[field] for stanza in stanzas for field in PSEUDONYMISED if field in stanza}
        for name in (text.partition("<")[0].strip(' "') for text in texts):
            # A single word is a nickname or a team, and mostly also an ordinary word.
            if len(name.split()) > 1:
                self._names_by_word[name.split()[0]].add(name)

    def pseudonym(self, text: str) -> str:
        """The number of a maintainer, given by first appearance."""
        return self._numbers.setdefault(text, f"maintainer-{len(self._numbers) + 1:04d}")

    def redacted(self, text: str) -> str:
        """The text without addresses and without names of maintainers."""
        for word in set(text.split()) & self._names_by_word.keys():
            for name in sorted(self._names_by_word[word], key=len, reverse=True):
                text = text.replace(name, "(name removed)")
        return ADDRESS.sub("(address removed)", text)


def exported(stanza: Stanza, redactor: Redactor, *, typed: bool) -> Record:
    """A stanza as a record without personal data.

    `typed` gives numbers and lists as such; without it every value is the text of the index.
    """
    record: Record = {}
    for name, text in stanza.items():
        if name in DROPPED:
            continue
        if name in PSEUDONYMISED:
            record[name] = redactor.pseudonym(text)
        elif typed and name in NUMBERS:
            record[name] = int(text)
        elif typed and name in LISTS:
            record[name] = [item.strip() for item in text.split(",")]
        else:
            record[name] = redactor.redacted(text)
    return record


def write_records(path: Path, records: list[Record]) -> dict[str, Any]:
    """Writes the records as compressed JSON lines and returns what the manifest says about the file."""
    lines = (json.dumps(record, ensure_ascii=False, separators=(",", ":")) for record in records)
    content = "".join(f"{line}\n" for line in lines)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(content.encode())
    return {
        "file": path.name,
        "records": len(records),
        "sha256": hashlib.sha256(content.encode()).hexdigest(),
    }


def expected_counts(files: dict[str, list[Record]], definition: dict[str, Any]) -> dict[str, Any]:
    """What an import of all files must give, counted from the records alone."""
    declared = definition["fields"]
    everything = [record for records in files.values() for record in records]
    entities = Counter((record["Maintainer"], record["Package"]) for record in everything)
    fragments: dict[str, set[str]] = defaultdict(set)
    owners: dict[str, set[str]] = defaultdict(set)
    for source, records in files.items():
        for record in records:
            for name, value in record.items():
                reason = _fragment_reason(value, declared.get(name))
                if reason:
                    row = [record["Maintainer"], record["Package"], source, value]
                    fragments[f"{reason}/{name}"].add(json.dumps(row))
                    owners[f"{reason}/{name}"].add(record["Maintainer"])
    by_reason: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    for key in sorted(fragments):
        reason, name = key.split("/", 1)
        by_reason[reason][name] = {"fragments": len(fragments[key]), "users": len(owners[key])}
    return {
        "records": len(everything),
        "observations": len({json.dumps([s, r], sort_keys=True) for s, rs in files.items() for r in rs}),
        "users": len({record["Maintainer"] for record in everything}),
        "fields": len({name for record in everything for name in record}),
        "shapes": len({tuple(sorted(record)) for record in everything}),
        "entities": len(entities),
        "entities_by_observations": {str(n): c for n, c in sorted(Counter(entities.values()).items())},
        "fragments_total": sum(map(len, fragments.values())),
        "fragments": dict(sorted(by_reason.items())),
    }


def _fragment_reason(value: Any, field: dict[str, Any] | None) -> str | None:
    """Why a value cannot go into an observation as it is; None when it can."""
    if field is None:
        return "unknown_field"
    wanted = {"string": str, "number": int, "array": list}[field["type"]]
    if type(value) is not wanted:
        return "converted_original" if isinstance(value, str) and value.isdigit() else "type_mismatch"
    pattern = field.get("constraints", {}).get("pattern")
    if pattern and not re.search(pattern, str(value)):
        return "constraint"
    return None


def most_common_fields(records: Iterable[Record]) -> set[str]:
    """The fields that the most records carry; equal counts at the border are refused."""
    ranked = Counter(name for record in records for name in record).most_common()
    if ranked[DECLARED_COUNT - 1][1] == ranked[DECLARED_COUNT][1]:
        raise SystemExit(f"a tie at the border of the declared fields: {ranked[DECLARED_COUNT - 1 :][:2]}")
    return {name for name, _ in ranked[:DECLARED_COUNT]}


def main() -> None:
    """Reads the indexes, selects, and writes excerpt and manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    for role in ("main", "later"):
        parser.add_argument(f"--{role}", nargs=2, type=Path, required=True, metavar=("PACKAGES", "RELEASE"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "debian")
    options = parser.parse_args()
    main_index, later_index = read_index(*options.main), read_index(*options.later)

    newer = later_versions(main_index, later_index)
    chosen = select(main_index, newer)
    packages = {stanza["Package"] for stanza in chosen}
    updates = [stanza for name, stanzas in newer.items() if name in packages for stanza in stanzas]

    redactor = Redactor(main_index.stanzas + later_index.stanzas)
    files = {
        "debian-bookworm": [exported(stanza, redactor, typed=True) for stanza in chosen],
        "debian-bookworm-security": [exported(stanza, redactor, typed=False) for stanza in updates],
    }

    schema = json.loads((options.out / "package.schema.json").read_text(encoding="utf-8"))
    common = most_common_fields(files["debian-bookworm"])
    if common != set(schema["definition"]["fields"]):
        raise SystemExit(f"the schema must declare {sorted(common)}")

    sources = []
    for (source, records), index, priority in zip(
        files.items(), (main_index, later_index), (100, LATER_PRIORITY), strict=True
    ):
        written = write_records(options.out / f"{source.removeprefix('debian-')}.jsonl.gz", records)
        origin = {"release": index.release, "index_records": len(index.stanzas)}
        options_of_ingest = {"source": source, "observed_at": index.observed_at, "priority": priority}
        sources.append(origin | options_of_ingest | written)
    manifest = {"schema": "package.schema.json", "sources": sources} | {
        "expected": expected_counts(files, schema["definition"])
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False)
    (options.out / "manifest.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
