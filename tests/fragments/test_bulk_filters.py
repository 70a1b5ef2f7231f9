"""A list and an act in bulk narrow by one description: whatever the address says, they mean the same rows."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import RequestFactory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fragments.domain.bands import BANDS
from fragments.models import BulkList, FragmentReason, LifecycleState, RawFragment, RawFragmentAggregate
from fragments.selectors_narrowed import CRITERIA, SEARCH, RowFilter, owners_of
from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot
from tests.factories import make_definition, make_login, make_run, make_user, make_version
from tests.lifecycle import put

pytestmark = pytest.mark.django_db

MODELS = {BulkList.FRAGMENTS: RawFragment, BulkList.FIELDS: RawFragmentAggregate}
TIMES = ["2020-01-01", "2199-12-31 12:00", "2020-01-01T00:00:00+05:00"]
ODD = ["", " ", "\0", "nobody", "9" * 40, "9" * 5000, "0", "<b>", "' OR 1=1"]


@pytest.fixture
def login(db: None) -> User:
    """Somebody who sees a store of two owners, types and some fields in several states."""
    for owner in (make_user(username="ada", email="ada@example.org"), make_user(username="7")):
        for entity_type in ("thing", "note"):
            if not RawFragment.objects.filter(entity_type=entity_type).exists():
                make_version(document=make_definition(k="string", size="number"), entity_type=entity_type)
            records = [{"k": f"k{n}", "a": n, "b": f"x{n}", "size": "large", "_c": None} for n in range(2)]
            make_run(user=owner, records=records, entity_type=entity_type)
    put(LifecycleState.ARCHIVED, fragment_key="a", entity_type="thing")
    put(LifecycleState.PROMOTED, fragment_key="b", user__username="ada")
    put(LifecycleState.PENDING_DELETION, fragment_key="b", entity_type="note", lifecycle_state="promoted")
    return make_login(is_superuser=True)


def shown(login: User, listed: BulkList, query: dict[str, str]) -> set[int]:
    """What the list shows for that address."""
    request = RequestFactory().get("/", query)
    request.user = login
    page: Any = admin.site._registry[MODELS[listed]]
    return set(page.get_changelist_instance(request).queryset.values_list("pk", flat=True))


def texts() -> dict[str, list[str]]:
    """For each parameter what can be said by it, with sense or without."""
    entity = EntitySnapshot.objects.first()
    fragment = RawFragment.objects.first()
    assert entity is not None
    assert fragment is not None
    owners = User.objects.filter(username__in=["ada", "7"])
    return {
        "owner": ["ada", "7", "ada@example.org", *(str(owner.pk) for owner in owners), *ODD],
        "type": ["thing", " note ", "other", *ODD],
        "field": ["a", "b", "size", "_c", *ODD],
        "reason": [*FragmentReason.values, *ODD],
        "state": [*LifecycleState.values, *ODD],
        "value_type": ["number", "string", "null", "date", *ODD],
        "entity": [str(entity.pk), str(entity.pk).upper(), "not-an-id", *ODD],
        "confidence": [*BANDS, *ODD],
        "seen_from": [*TIMES, *ODD],
        "seen_to": [*TIMES, *ODD],
        SEARCH: ["a", "b", str(fragment.pk), str(entity.pk), *(text for text in ODD if text != "\0")],
    }


@pytest.mark.parametrize("listed", list(BulkList))
def test_whatever_narrows_a_list_narrows_an_act(listed: BulkList) -> None:
    declared = [one.parameter_name for one in admin.site._registry[MODELS[listed]].list_filter]  # type: ignore[union-attr]
    assert [criterion.parameter for criterion in CRITERIA[listed]] == declared


@pytest.mark.parametrize("listed", list(BulkList))
def test_a_list_and_an_act_mean_the_same_rows(login: User, listed: BulkList) -> None:
    by_parameter = texts()
    names = [criterion.parameter for criterion in CRITERIA[listed]] + [SEARCH]
    queries = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(by_parameter[name]) for name in names}
    )

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(queries)
    def they_agree(query: dict[str, str]) -> None:
        filtered = RowFilter.read(listed, query)
        wanted = shown(login, listed, query)
        assert set(filtered.rows().values_list("pk", flat=True)) == wanted
        some = [pk for pk in MODELS[listed]._default_manager.values_list("pk", flat=True) if pk % 2]
        assert set(filtered.rows_among(some).values_list("pk", flat=True)) == wanted & set(some)
        if filtered.is_nonsense:
            assert not wanted
            return
        again = RowFilter.from_json(listed, filtered.to_json())
        assert again == filtered
        # The address that leads back to the list says the same.
        assert shown(login, listed, filtered.parameters(owners_of([filtered]))) == wanted

    they_agree()
    everything = RowFilter.read(listed, {})
    assert everything.is_everything
    assert everything.rows().count() > 3


def test_an_owner_is_meant_by_number_from_then_on(login: User) -> None:
    ada = User.objects.get(username="ada")
    filtered = RowFilter.read(BulkList.FRAGMENTS, {"owner": "ada"})
    assert filtered.to_json() == {"owner": ada.pk}
    before = set(filtered.rows().values_list("pk", flat=True))
    User.objects.filter(pk=ada.pk).update(username="somebody-else")
    make_run(user=make_user(username="ada"), records=[{"k": "k", "a": 1}])
    assert (
        set(RowFilter.from_json(BulkList.FRAGMENTS, {"owner": ada.pk}).rows().values_list("pk", flat=True))
        == before
    )


def test_a_search_that_cannot_be_stored_means_nothing(login: User) -> None:
    filtered = RowFilter.read(BulkList.FRAGMENTS, {SEARCH: "a\0b"})
    assert filtered.is_nonsense
    assert not filtered.is_everything
    assert not filtered.rows().exists()


def test_a_filter_of_another_release_is_refused() -> None:
    with pytest.raises(ValueError, match="not known"):
        RowFilter.from_json(BulkList.FIELDS, {"state": "active"})


def test_an_owner_is_found_by_name_however_many_have_that_as_their_e_mail(login: User) -> None:
    shared = "team@example.org"
    for _number in range(12):
        make_user(email=shared)
    team = make_user(username=shared)
    filtered = RowFilter.read(BulkList.FIELDS, {"owner": shared})
    assert filtered.owner == team.pk
    assert RowFilter.read(BulkList.FIELDS, filtered.parameters(owners_of([filtered]))) == filtered
