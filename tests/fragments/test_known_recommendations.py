"""Real records: which undeclared fields are recommended, how many users share them, and how they would be declared."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from pytest_django import DjangoDbBlocker

from fragments.domain.recommendation import Recommendation
from fragments.selectors_converters import converter_outlooks
from fragments.selectors_recommendations import (
    eligible_fields,
    recommendation_of_field,
    recommendations_over_users,
)
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import user_by_name
from tests.factories import make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db

DATA = Path(__file__).parent.parent / "data"
EXPECTED = json.loads((DATA / "debian" / "manifest.json").read_text(encoding="utf-8"))["expected"]
PACKAGE = "package"


def read(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


@pytest.fixture(scope="module")
def debian(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The whole excerpt with its schema, made once: no test here writes."""
    with django_db_blocker.unblock(), transaction.atomic():
        call_command("load_demo", records_only=True, verbosity=0)
        yield
        transaction.set_rollback(True)


def over_users() -> dict[str, Recommendation]:
    page = recommendations_over_users(entity_type=PACKAGE, limit=1_000)
    assert page.next_after is None
    return {one.name: one for one in page.recommendations}


def of_user(name: str) -> set[str]:
    return {one.name for one in eligible_fields(user_id=user_by_name(name).pk, entity_type=PACKAGE)}


# --- Debian ---------------------------------------------------------------------------------------------------
def test_over_all_users_every_undeclared_field_is_told_with_its_users(debian: None) -> None:
    told = {
        name: {"fragments": one.counts.sample_count, "users": one.counts.user_count}
        for name, one in over_users().items()
    }
    assert told == {**EXPECTED["fragments"]["unknown_field"], **EXPECTED["fragments"]["constraint"]}


@pytest.mark.parametrize(("name", "users"), [("Ruby-Versions", 30), ("Build-Ids", 56), ("Ghc-Package", 3)])
def test_over_all_users_known_answers_are_recommended_and_say_how_many_share_them(
    debian: None, name: str, users: int
) -> None:
    one = over_users()[name]
    assert (one.is_eligible, one.counts.user_count) == (True, users)
    assert one.suggested is not None
    assert one.suggested.definition == {"type": "string", "converters": [], "required": False}


def test_what_is_rare_or_mixed_is_not_recommended_over_all_users(debian: None) -> None:
    codes = {name: [o.code.value for o in one.obstacles] for name, one in over_users().items()}
    assert codes["Javascript-Built-Using"] == ["seen_too_rarely", "confidence_too_low"]
    assert codes["Lua-Versions"] == ["confidence_too_low"]
    assert codes["Homepage"][0] == "already_declared"


@pytest.mark.parametrize(("name", "users", "recommended"), [("Ruby-Versions", 30, 6), ("Ghc-Package", 3, 2)])
def test_users_are_recommended_what_three_of_their_own_packages_have(
    debian: None, name: str, users: int, recommended: int
) -> None:
    """All values are texts of one form, and the name says nothing: three of them are confidence enough."""
    packages: dict[str, set[str]] = defaultdict(set)
    for source in ("bookworm", "bookworm-security"):
        for record in read(f"debian/{source}.jsonl.gz"):
            if name in record:
                packages[record["Maintainer"]].add(record["Package"])
    assert len(packages) == users
    enough = {owner for owner, theirs in packages.items() if len(theirs) >= 3}
    assert len(enough) == recommended
    found = {owner: of_user(owner) for owner in packages}
    assert {owner for owner in found if name in found[owner]} == enough
    for owner in packages.keys() - enough:
        one = recommendation_of_field(user_id=user_by_name(owner).pk, entity_type=PACKAGE, name=name)
        assert one is not None
        assert one.obstacles[0].code == "seen_too_rarely"


@pytest.fixture
def packages() -> User:
    """One user's packages of which nothing but the name is declared: first as text, then with numbers."""
    owner = make_user()
    make_version(document=make_definition(Package="string"), entity_type=PACKAGE)
    for name in ("bookworm-security", "bookworm"):
        records = islice(read(f"debian/{name}.jsonl.gz"), 1_500)
        make_run(records=records, user=owner, entity_type=PACKAGE, key_field="Package", source=name)
    return owner


def test_sizes_versions_and_lists_get_the_type_that_they_have(packages: User) -> None:
    found = {one.name: one for one in eligible_fields(user_id=packages.pk, entity_type=PACKAGE)}
    types = {name: one.suggested.definition["type"] for name, one in found.items() if one.suggested}
    assert (types["Version"], types["Installed-Size"], types["Size"], types["Tag"]) == (
        *("string", "number", "number", "array"),
    )
    size = found["Installed-Size"].suggested
    assert size is not None
    assert [converter.function for converter in size.field.converters] == ["string_to_number"]
    assert (size.misfitting, size.converted > 0, size.fitting > size.converted) == (0, True, True)


def test_decimals_are_numbers_and_texts_of_digits_stay_texts() -> None:
    owner = make_user()
    make_version(document=make_definition(k="string"))
    make_run(
        records=[
            {"k": f"e{n}", "unit_price": n + 0.25, "zip": f"0{n}123", "rate": f"{n}.5", "is_new": "yes"}
            for n in range(10)
        ],
        user=owner,
    )
    found = {one.name: one.suggested for one in eligible_fields(user_id=owner.pk, entity_type="thing")}
    types = {name: suggested.definition["type"] for name, suggested in found.items() if suggested}
    assert types == {"unit_price": "number", "zip": "string", "rate": "string", "is_new": "string"}


# --- octokit --------------------------------------------------------------------------------------------------
REPOSITORY = "repository"


def repositories(**declared: Any) -> User:
    owner = make_user()
    make_version(document=make_definition(delivery="string", **declared), entity_type=REPOSITORY)
    records = list(read("octokit/repositories.jsonl.gz"))
    kinds = [type(record["created_at"]).__name__ for record in records]
    assert (kinds.count("str"), kinds.count("int")) == (273, 7)
    make_run(records=records, user=owner, entity_type=REPOSITORY, key_field="delivery")
    return owner


def test_a_declared_date_that_comes_as_epoch_seconds_gets_the_converter_suggested() -> None:
    owner = repositories(created_at="date", pushed_at="date", updated_at="date")
    for user_id in (owner.pk, None):
        found = converter_outlooks(entity_type=REPOSITORY, user_id=user_id).outlooks
        assert [outlook.field.name for outlook in found] == ["created_at", "pushed_at"]
        for outlook in found:
            assert outlook.is_exact
            assert (outlook.waiting, outlook.looked_at) == (7, 0)
            [(function, part)] = outlook.suggested.items()
            assert (function, part.count, part.share) == ("timestamp_s_to_iso", 7, Fraction(1))
            assert outlook.definition == {
                "type": "date",
                "converters": [{"from": "number", "to": "date", "function": "timestamp_s_to_iso"}],
            }


def test_once_the_converter_is_declared_nothing_of_it_waits() -> None:
    owner = repositories(created_at={"type": "date", "converters": ["timestamp_s_to_iso"]}, pushed_at="date")
    found = converter_outlooks(entity_type=REPOSITORY, user_id=owner.pk).outlooks
    assert [outlook.field.name for outlook in found] == ["pushed_at"]


def test_the_same_field_undeclared_is_recommended_with_its_converter() -> None:
    owner = repositories()
    one = recommendation_of_field(user_id=owner.pk, entity_type=REPOSITORY, name="created_at")
    assert one is not None
    assert one.is_eligible
    assert one.suggested is not None
    assert one.suggested.definition == {
        "type": "date",
        "converters": [{"from": "number", "to": "date", "function": "timestamp_s_to_iso"}],
        "required": False,
    }
    assert (one.suggested.fitting, one.suggested.converted) == (273, 7)
