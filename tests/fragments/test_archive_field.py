"""What is active of one field is archived by hand: the rest stays where it is, and seen again it is active again."""

from __future__ import annotations

import pytest

from fragments.models import LifecycleState, RawFragment
from fragments.services import lifecycle
from fragments.services.lifecycle import fragments_archive
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.models import AuditEvent, User
from snapshots.services.retractions import source_retract
from tests.aggregates import assert_aggregates_are_right
from tests.factories import SHELL, THING, make_definition, make_login, make_run, make_user, make_version
from tests.lifecycle import put

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> User:
    """An owner of whom five values of `size` wait, and one of `weight`."""
    make_version(document=make_definition(k="string"))
    owner = make_user()
    make_run(user=owner, records=[{"k": f"k{n}", "size": n, "weight": 1} for n in range(5)])
    return owner


def archive(owner: User, **more: object) -> int:
    return fragments_archive(
        user_id=owner.pk,
        entity_type=THING,
        fragment_key="size",
        actor=SHELL,
        **more,  # type: ignore[arg-type]
    )


def states(field: str = "size") -> list[str]:
    rows = RawFragment.objects.filter(fragment_key=field).order_by("entity__entity_key")
    return list(rows.values_list("lifecycle_state", flat=True))


def test_only_what_is_active_of_the_owners_field_is_archived(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "MOVED_AT_ONCE", 2)
    other = make_user()
    make_run(user=other, records=[{"k": "z", "size": 1}])
    put(LifecycleState.PROMOTED, user=owner, fragment_key="size", entity__entity_key="k0")
    progress: list[int] = []
    assert archive(owner, reason="noise", on_progress=progress.append) == 4
    assert progress == [2, 2]
    assert states() == ["promoted", *["archived"] * 4, "active"]
    assert set(states("weight")) == {"active"}
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.reason, event.after) == (
        "fragment.archive",
        "noise",
        {"archived": 4, "field": "size"},
    )
    assert_aggregates_are_right()
    assert archive(owner) == 0
    assert AuditEvent.objects.latest("pk") == event


def test_of_so_many_those_go_first_that_were_not_seen_for_longest(owner: User) -> None:
    make_run(user=owner, records=[{"k": "k0", "size": 0}, {"k": "k1", "size": 1}], source="feed")
    assert archive(owner, at_most=3) == 3
    newest = RawFragment.objects.filter(fragment_key="size").order_by("last_seen_at", "id")
    assert [row.lifecycle_state for row in newest] == [*["archived"] * 3, *["active"] * 2]


def test_what_is_archived_still_counts_and_is_active_once_it_is_seen_again(owner: User) -> None:
    archive(owner)
    assert_aggregates_are_right()
    make_run(user=owner, records=[{"k": "k0", "size": 0, "weight": 2}])
    assert states() == ["active", *["archived"] * 4]


def test_what_a_retracted_source_brought_is_left_alone(owner: User) -> None:
    fragment = RawFragment.objects.filter(fragment_key="size")[0]
    source_retract(source_id=fragment.source_id, reason="the wrong file", actor=SHELL)
    RawFragment.objects.update(is_retracted=True)
    assert archive(owner) == 0
    assert set(states()) == {"active"}


def test_a_viewer_archives_nothing(owner: User) -> None:
    with pytest.raises(Denied):
        fragments_archive(
            user_id=owner.pk,
            entity_type=THING,
            fragment_key="size",
            actor=Actor.login(make_login(role="viewer")),
        )
    assert set(states()) == {"active"}
