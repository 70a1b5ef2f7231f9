"""How many snapshots other rules would make out of date."""

import pytest

from registry.providers import impact_of_schema_change
from schemaevo.kernel.pages import estimates
from schemaevo.kernel.pages.estimates import Amount
from snapshots import selectors_impact
from snapshots.selectors_impact import snapshots_impact
from tests.factories import THING, make_run, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def owners() -> list[int]:
    """Three owners with 1, 2 and 3 entities, and one of another type."""
    made = [make_user() for _n in range(4)]
    for count, owner in enumerate(made[:3], start=1):
        make_run(records=[{"k": str(n)} for n in range(count)], user=owner)
    make_run(records=[{"k": "other"}], user=made[3], entity_type="other")
    return [owner.pk for owner in made]


def test_the_snapshots_of_a_type_are_counted_with_their_users(owners: list[int]) -> None:
    impact = snapshots_impact(THING, None)
    assert impact.snapshots == Amount(6)
    assert (impact.users, impact.is_every_user) == (3, True)
    assert impact_of_schema_change(entity_type=THING, user_id=None) == [impact]


def test_of_one_user_only_theirs_are_counted(owners: list[int]) -> None:
    assert [snapshots_impact(THING, owner).snapshots.value for owner in owners] == [1, 2, 3, 0]
    assert [snapshots_impact(THING, owner).users for owner in owners] == [1, 1, 1, 0]


@pytest.mark.parametrize(("most", "users", "is_every_user"), [(2, 2, False), (3, 3, True)])
def test_more_users_than_are_counted_are_told_as_at_least(
    owners: list[int], monkeypatch: pytest.MonkeyPatch, most: int, users: int, is_every_user: bool
) -> None:
    monkeypatch.setattr(selectors_impact, "USERS_MAX", most)
    impact = snapshots_impact(THING, None)
    assert (impact.users, impact.is_every_user) == (users, is_every_user)


def test_many_snapshots_are_estimated(owners: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "COUNTED_MAX", 4)
    amount = snapshots_impact(THING, None).snapshots
    assert not amount.is_exact
    assert amount.value >= 5


def test_a_type_without_snapshots_has_none(db: None) -> None:
    impact = snapshots_impact("nothing", None)
    assert (impact.snapshots, impact.users, impact.is_every_user) == (Amount(0), 0, True)
