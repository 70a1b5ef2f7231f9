"""Converter suggestions for declared fields: from counts where they tell, else from a bounded sample of what waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from fragments import selectors_converters
from fragments.domain.converter_suggestions import ConverterOutlook
from fragments.models import LifecycleState
from fragments.selectors_converters import converter_outlooks
from fragments.selectors_counting import REBUILD, Counting
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.jobs import job_request
from schemaevo.kernel.models import User
from tests.factories import THING, make_definition, make_extension, make_run, make_user, make_version
from tests.lifecycle import put

pytestmark = pytest.mark.django_db


def waiting(owner: User, name: str, values: Sequence[Json]) -> None:
    make_run(records=[{"k": f"{name}{n}", name: value} for n, value in enumerate(values)], user=owner)


def outlooks(owner: User | None) -> dict[str, ConverterOutlook]:
    found = converter_outlooks(entity_type=THING, user_id=owner.pk if owner else None)
    return {outlook.field.name: outlook for outlook in found.outlooks}


def suggested(outlook: ConverterOutlook) -> dict[str, int]:
    return {name: part.count for name, part in outlook.suggested.items()}


@pytest.fixture
def owner() -> User:
    make_version(
        document=make_definition(k="string", created="date", size="number", code="string", is_open="boolean")
    )
    return make_user()


def test_every_declared_field_with_values_of_another_type_is_told(owner: User) -> None:
    waiting(owner, "created", ["2024-05-01", 1_557_933_565, 1_557_933_565_000, "01.05.2024", "soon"])
    waiting(owner, "size", [1, "12", "about 12"])
    waiting(owner, "is_open", [True, "yes"])
    waiting(owner, "taste", ["sweet"])
    found = outlooks(owner)
    assert found.keys() == {"created", "is_open", "size"}
    assert suggested(found["created"]) == {"timestamp_s_to_iso": 1, "timestamp_ms_to_iso": 1}
    assert [notation.value for notation in found["created"].notations] == ["DD.MM.YYYY"]
    assert (found["created"].waiting, found["created"].rest.count) == (4, 1)
    assert suggested(found["size"]) == {"string_to_number": 1}
    assert suggested(found["is_open"]) == {"string_to_boolean": 1}
    assert all(outlook.is_exact for outlook in found.values())


def test_what_is_suggested_makes_them_fit_when_they_come_again(owner: User) -> None:
    waiting(owner, "size", ["12", "13"])
    declared = outlooks(owner)["size"].definition
    make_extension(user=owner, document={"field_overrides": {"size": {"converters": declared["converters"]}}})
    assert outlooks(owner)["size"].already.count == 2
    assert suggested(outlooks(owner)["size"]) == {}
    waiting(owner, "size", ["14", "15"])
    assert outlooks(owner)["size"].waiting == 2


def test_archived_fragments_wait_too_and_promoted_ones_do_not(owner: User) -> None:
    waiting(owner, "size", ["12"])
    put(LifecycleState.ARCHIVED)
    assert outlooks(owner)["size"].waiting == 1
    waiting(owner, "size", ["12"])
    put(LifecycleState.PROMOTED)
    assert outlooks(owner) == {}


def test_a_constraint_that_is_not_kept_is_no_matter_for_a_converter() -> None:
    make_version(document=make_definition(k="string", size={"type": "number", "constraints": {"max": 10}}))
    owner = make_user()
    waiting(owner, "size", [11, 12])
    assert outlooks(owner) == {}
    waiting(owner, "size", [11, 12, "9", "99"])
    [outlook] = outlooks(owner).values()
    assert (outlook.waiting, suggested(outlook), outlook.rest.count) == (2, {"string_to_number": 1}, 1)


def test_over_all_users_it_is_the_global_schema_that_lacks_a_converter(owner: User) -> None:
    other = make_user()
    waiting(owner, "created", [1_557_933_565] * 1 + [3])
    waiting(other, "created", [1_557_933_566, 1_557_933_567_000])
    [outlook] = outlooks(None).values()
    assert (outlook.waiting, outlook.is_exact, outlook.rest.count) == (4, True, 1)
    assert suggested(outlook) == {"timestamp_s_to_iso": 2, "timestamp_ms_to_iso": 1}


def test_without_a_schema_there_is_nothing_to_suggest() -> None:
    owner = make_user()
    make_run(records=[{"k": "e", "size": "12"}], user=owner)
    assert outlooks(owner) == outlooks(None) == {}


def test_a_sample_is_bounded_and_says_how_many_were_looked_at(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting(owner, "created", [1_557_933_565 + n for n in range(40)])
    monkeypatch.setattr(selectors_converters, "SAMPLE_VALUES", 10)
    outlook = outlooks(owner)["created"]
    assert (outlook.waiting, outlook.sampled, outlook.looked_at, outlook.is_exact) == (40, 40, 10, False)
    assert suggested(outlook) == {"timestamp_s_to_iso": 40}
    monkeypatch.setattr(selectors_converters, "SAMPLE_READ", 5)
    assert outlooks(owner)["created"].looked_at == 5
    other = make_user()
    waiting(other, "created", [1_557_933_565 + n for n in range(40)])
    monkeypatch.setattr(selectors_converters, "SAMPLE_READ", 5_000)
    assert outlooks(None)["created"].looked_at == 10


def test_no_value_of_another_user_is_looked_at(owner: User) -> None:
    waiting(owner, "created", [3, 4])
    waiting(make_user(), "created", [1_557_933_565, 1_557_933_566])
    outlook = outlooks(owner)["created"]
    assert (suggested(outlook), outlook.rest.count, outlook.looked_at) == ({}, 2, 2)


def test_fragments_are_read_only_where_counts_do_not_tell(owner: User) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            outlooks(owner)
        return [query["sql"] for query in captured]

    waiting(owner, "size", ["12"])
    waiting(owner, "code", [1, True])
    outlooks(owner)
    told_by_counts = queries()
    assert not any("raw_fragments AS" in sql for sql in told_by_counts)
    waiting(owner, "size", ["about"])
    waiting(owner, "created", [1, "soon"])
    waiting(owner, "is_open", ["yes"])
    assert len(queries()) == len(told_by_counts) + 1 <= 6


def test_it_says_that_fragments_are_being_counted(owner: User) -> None:
    assert converter_outlooks(entity_type=THING, user_id=owner.pk).counting is Counting.DONE
    job_request(kind=REBUILD)
    assert converter_outlooks(entity_type=THING, user_id=owner.pk).counting is Counting.AT_WORK


def test_a_long_value_is_no_harm(owner: User) -> None:
    values: list[Any] = ["x" * 100_000, "7"]
    waiting(owner, "size", values)
    assert suggested(outlooks(owner)["size"]) == {"string_to_number": 1}
