"""The whole package index of Debian: known answers for users and over all users, and what the types come to.

It is read where `apt-get update` has put it; where it is not there, there is nothing to test.
"""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from fragments.domain.recommendation import Recommendation
from fragments.models import RawFragment
from fragments.selectors_recommendations import recommendation_of_field, recommendations_over_users
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions, jsonl_lines
from schemaevo.kernel.canonical import canonical_bytes
from schemaevo.kernel.owners import owners_by_username
from tests.data.make_debian_excerpt import LISTS, NUMBERS, read_stanzas
from tests.factories import NOON, SHELL, make_definition, make_version
from tests.fragments.patterns import analysed, looked, outcomes

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]

LISTS_OF_APT = Path("/var/lib/apt/lists")
CAT_FILE = Path("/usr/lib/apt/apt-helper")
SCHEMA = Path(__file__).parent.parent / "data" / "debian" / "package.schema.json"
#: Without a schema, what is declared of the excerpt is undeclared too.
PACKAGE, BARE = "package", "bare_package"
#: Of so many packages the whole record is undeclared: enough for every type.
BARE_PACKAGES = 500


def read_index(folder: Path) -> list[dict[str, Any]]:
    """The packages of Debian 12 as records, with numbers and lists as such, and maintainers by number."""
    found = sorted(LISTS_OF_APT.glob("*_dists_bookworm_main_binary-*_Packages*"))
    if not found or not CAT_FILE.exists():
        pytest.skip("no package index of Debian 12 is here; apt-get update fetches it")
    plain = folder / "Packages"
    with plain.open("wb") as out:
        subprocess.run([CAT_FILE, "cat-file", found[0]], stdout=out, check=True)
    numbers: dict[str, str] = {}
    records = []
    for stanza in read_stanzas(plain):
        record: dict[str, Any] = dict(stanza)
        for name in stanza.keys() & set(NUMBERS):
            record[name] = int(stanza[name])
        for name in stanza.keys() & set(LISTS):
            record[name] = [item.strip() for item in stanza[name].split(",")]
        maintainer = stanza["Maintainer"]
        record["Maintainer"] = numbers.setdefault(maintainer, f"maintainer-{len(numbers) + 1:04}")
        records.append(record)
    # Those of one maintainer together: an ingest transaction holds the locks of its owners.
    return sorted(records, key=lambda record: str(record["Maintainer"]))


def load(records: list[dict[str, Any]], entity_type: str, source: str) -> None:
    run = ingest(
        source=Input(
            jsonl_lines(canonical_bytes(record) + b"\n" for record in records),
            "index",
            source_name=source,
            default_observed_at=NOON,
        ),
        options=IngestOptions(
            entity_type=entity_type, user_field="Maintainer", key_field="Package", create_users=True
        ),
        actor=SHELL,
    )
    assert (run.record_count, run.rejected_count) == (len(records), 0)


def over_users(entity_type: str) -> dict[str, Recommendation]:
    page = recommendations_over_users(entity_type=entity_type, limit=1_000)
    return {one.name: one for one in page.recommendations}


def carriers(records: list[dict[str, Any]]) -> dict[str, dict[str, set[str]]]:
    """By field and maintainer: the packages that have it."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for record in records:
        for name in record:
            found[name][record["Maintainer"]].add(record["Package"])
    return found


def test_the_known_answers_hold_in_the_whole_index(tmp_path: Path) -> None:
    records = read_index(tmp_path)
    assert len(records) > 60_000
    definition = json.loads(SCHEMA.read_text(encoding="utf-8"))["definition"]
    make_version(document=definition, entity_type=PACKAGE)
    load(records, PACKAGE, "index")

    found = over_users(PACKAGE)
    known = {name: found[name].counts.user_count for name in ("Ruby-Versions", "Build-Ids", "Ghc-Package")}
    assert known == {"Ruby-Versions": 30, "Build-Ids": 56, "Ghc-Package": 3}
    assert all(found[name].is_eligible for name in known)
    assert found["Ghc-Package"].counts.frequency_total == 1_070

    having = carriers(records)
    undeclared = having.keys() - definition["fields"].keys()
    assert {name for name, one in found.items() if name not in definition["fields"]} == undeclared
    assert {name: found[name].counts.user_count for name in undeclared} == {
        name: len(having[name]) for name in undeclared
    }

    owners = owners_by_username(having["Ruby-Versions"].keys())
    for maintainer, packages in having["Ruby-Versions"].items():
        one = recommendation_of_field(user_id=owners[maintainer], entity_type=PACKAGE, name="Ruby-Versions")
        assert one is not None
        assert one.is_eligible == (len(packages) >= 3), maintainer
    assert RawFragment.objects.count() > len(records)

    # Whatever ten maintainers share is proposed, unless all of it together is not to be relied upon.
    patterns = looked(PACKAGE)
    shared = {name for name in undeclared if len(having[name]) >= settings.SCHEMAEVO_PATTERN_USERS}
    proposed = {one.subject: one.evidence["users"] for one in patterns.candidates}
    assert proposed == {name: len(having[name]) for name in shared if found[name].is_eligible}
    assert {"Ruby-Versions", "Build-Ids"} <= proposed.keys()
    assert "Ghc-Package" not in proposed
    assert {one.use.name for one in patterns.others} == shared - proposed.keys()
    assert outcomes(analysed(PACKAGE)) == dict.fromkeys(proposed, "drafted")
    assert outcomes(analysed(PACKAGE)) == dict.fromkeys(proposed, "unchanged")

    make_version(document=make_definition(Package="string"), entity_type=BARE)
    load(list(every(records, len(records) // BARE_PACKAGES)), BARE, "typed")
    types = {
        name: one.suggested.definition["type"] for name, one in over_users(BARE).items() if one.suggested
    }
    numbers = {name for name, kind in types.items() if kind == "number"}
    lists = {name for name, kind in types.items() if kind == "array"}
    assert (numbers, lists) == (set(NUMBERS), set(LISTS))
    assert set(types.values()) == {"number", "array", "string"}
    assert types["Version"] == types["Filename"] == types["SHA256"] == "string"


def every(records: list[dict[str, Any]], step: int) -> Iterator[dict[str, Any]]:
    """One record of so many."""
    yield from records[::step]
