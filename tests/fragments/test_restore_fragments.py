"""restore_fragments: what waits for its deletion, of one owner and entity type, told exactly and then restored."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from fragments.models import LifecycleState, RawFragment
from fragments.services import lifecycle
from fragments.services.lifecycle import Group, Restored, fragments_restore
from schemaevo.kernel.errors import LockTimeout
from schemaevo.kernel.models import AuditEvent, User
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version
from tests.lifecycle import DAY, put

pytestmark = pytest.mark.django_db
PENDING = LifecycleState.PENDING_DELETION


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[User]:
    """Ada and Bob with seven fragments of each of two fields, which wait for their deletion; three are moved at once.
    Those of the field `old` were archived before."""
    monkeypatch.setattr(lifecycle, "MOVED_AT_ONCE", 3)
    make_version(document=make_definition(k="string"))
    owners = [make_user(username=name) for name in ("ada", "bob")]
    for owner in owners:
        make_run(user=owner, records=[{"k": f"k{n}", "new": n, "old": n} for n in range(7)])
    put(PENDING, since=timezone.now() - DAY, fragment_key="new")
    from_the_archive("old")
    return owners


def from_the_archive(field: str) -> None:
    """The field's fragments were archived, and wait for their deletion."""
    put(LifecycleState.ARCHIVED, fragment_key=field)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('schemaevo.archive_ends', 'yes', true)")
        cursor.execute(
            "UPDATE raw_fragments SET lifecycle_state = 'pending_deletion', expires_at = now()"
            " WHERE fragment_key = %s",
            [field],
        )
        cursor.execute("SELECT set_config('schemaevo.archive_ends', '', true)")


def told(*options: str) -> tuple[dict[str, Any], str]:
    """What the command prints as JSON, and what it says to people."""
    out, said = io.StringIO(), io.StringIO()
    call_command("restore_fragments", *options, "--json", stdout=out, stderr=said)
    return json.loads(out.getvalue()), said.getvalue()


def states() -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for owner, field, state in RawFragment.objects.values_list(
        "user__username", "fragment_key", "lifecycle_state"
    ):
        found.setdefault((owner, field), set()).add(state)
    return found


def test_a_dry_run_tells_by_field_what_would_be_restored_and_does_nothing(owners: list[User]) -> None:
    before = states()

    result, said = told(THING, "--user", "ada", "--dry-run")

    fields = result.pop("fields")
    assert result == {"dry_run": True, "promoted": 7, "active": 7}
    assert [(one["field"], one["promoted"], one["active"]) for one in fields] == [
        ("new", 7, 0),
        ("old", 0, 7),
    ]
    assert "thing of ada: 7 would be promoted again, 7 would be active again." in said
    assert "new: 7, which may be gone from" in said
    assert states() == before
    assert not AuditEvent.objects.filter(action="fragment.restore").exists()


def test_all_that_waits_of_one_owner_is_restored(owners: list[User]) -> None:
    result, said = told(THING, "--user", "ada", "--reason", "the field was promoted by mistake")

    assert result == {"dry_run": False, "promoted": 7, "active": 7}
    assert "thing of ada: 7 are promoted again, 7 are active again." in said
    assert states() == {
        ("ada", "new"): {"promoted"},
        ("ada", "old"): {"active"},
        ("bob", "new"): {"pending_deletion"},
        ("bob", "old"): {"pending_deletion"},
    }
    event = AuditEvent.objects.get(action="fragment.restore")
    assert event.after == {"promoted": 7, "active": 7, "field": None}
    assert (event.reason, event.target_id) == ("the field was promoted by mistake", f"{THING}:{owners[0].pk}")


def test_one_field_is_restored_and_no_other(owners: list[User]) -> None:
    assert told(THING, "--user", "bob", "--field", "old", "--dry-run")[0]["active"] == 7
    assert told(THING, "--user", "bob", "--field", "old")[0] == {"dry_run": False, "promoted": 0, "active": 7}
    assert states()["bob", "old"] == {"active"}
    assert states()["bob", "new"] == {"pending_deletion"}
    assert told(THING, "--user", "bob", "--field", "old")[0] == {"dry_run": False, "promoted": 0, "active": 0}
    assert AuditEvent.objects.filter(action="fragment.restore").count() == 1


def test_an_owner_whom_nobody_knows_is_wrong_usage(owners: list[User]) -> None:
    with pytest.raises(CommandError) as refusal:
        told(THING, "--user", "nobody")
    assert refusal.value.returncode == 2


def test_of_a_bound_number_those_go_first_that_would_be_deleted_first(owners: list[User]) -> None:
    restored = fragments_restore(user_id=owners[0].pk, entity_type=THING, actor=SHELL, at_most=9)

    # The new ones have waited for a day, the old ones since now.
    assert restored == (7, 2)
    assert states()["ada", "new"] == {"promoted"}
    assert states()["ada", "old"] == {"active", "pending_deletion"}


def test_what_is_restored_stays_so_and_is_in_the_audit_log_where_it_ends_early(
    owners: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    restore, calls = lifecycle.group_restore, []

    def busy_at_last(group: Group) -> Restored:
        calls.append(group)
        if len(calls) == 3:
            raise LockTimeout("lock_timeout", "somebody writes there")
        return restore(group)

    monkeypatch.setattr(lifecycle, "group_restore", busy_at_last)
    with pytest.raises(CommandError, match="somebody writes there"):
        told(THING, "--user", "ada", "--field", "new")

    assert RawFragment.objects.filter(lifecycle_state="promoted").count() == 6
    assert AuditEvent.objects.get(action="fragment.restore").after == {
        "promoted": 6,
        "active": 0,
        "field": "new",
    }
