"""Promoted fragments expire, wait, and are deleted; rarely seen ones are archived; what waits can be restored."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from fragments.jobs import ARCHIVE, CLEAN_UP
from fragments.models import LifecycleState, RawFragment
from fragments.services import lifecycle
from fragments.services.lifecycle import fragments_restore
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.pause import store_pause
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version
from tests.lifecycle import DAY, HOUR, put

pytestmark = pytest.mark.django_db
ACTIVE, PROMOTED, ARCHIVED, PENDING = LifecycleState
FIELDS = ("a", "b", "c", "d")


@pytest.fixture
def owner() -> User:
    """The owner of four fragments of each of ten entities."""
    make_version(document=make_definition(k="string"))
    owner = make_user()
    make_run(user=owner, records=[{"k": f"k{n}", **dict.fromkeys(FIELDS, n)} for n in range(10)])
    return owner


def states() -> dict[str, set[str]]:
    """The states in which the fragments of each field are."""
    found: dict[str, set[str]] = {}
    for key, state in RawFragment.objects.values_list("fragment_key", "lifecycle_state"):
        found.setdefault(key, set()).add(state)
    return found


def run(kind: str) -> Job:
    """The periodic job, as a worker runs it."""
    job = job_request(kind=kind)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.DONE, job.error
    return job


def told(command: str, *options: str) -> Any:
    out = io.StringIO()
    call_command(command, *options, "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def ago(period: timedelta) -> Any:
    return timezone.now() - period


@pytest.mark.parametrize("way", ["job", "command"])
def test_a_cleanup_takes_two_steps_with_a_grace_between(
    owner: User, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "PAGE_ROWS", 4)
    monkeypatch.setattr(lifecycle, "MOVED_AT_ONCE", 3)
    put(PROMOTED, since=ago(DAY * 40), fragment_key="a")
    put(PROMOTED, since=ago(-HOUR), fragment_key="b")
    put(PENDING, since=ago(HOUR * 25), fragment_key="c")
    put(PENDING, since=ago(HOUR * 23), fragment_key="d")
    due = {"delete": 10, "expire": 10, "expire_archived": 0}

    assert told("cleanup_fragments", "--dry-run") == {"dry_run": True, **due}
    assert states() == {
        "a": {"promoted"},
        "b": {"promoted"},
        "c": {"pending_deletion"},
        "d": {"pending_deletion"},
    }

    if way == "job":
        job = run(CLEAN_UP)
        assert (job.result, job.done_count) == ({"delete": 10, "expire": 10}, 20)
        event = AuditEvent.objects.get(action="job.finish")
        assert event.after["outcome"] == {"delete": 10, "expire": 10}
    else:
        assert told("cleanup_fragments") == {"dry_run": False, **due}
        assert AuditEvent.objects.get(action="fragment.cleanup").after == {"delete": 10, "expire": 10}
    # What expired long ago has its whole grace before it all the same.
    assert states() == {"a": {"pending_deletion"}, "b": {"promoted"}, "d": {"pending_deletion"}}
    assert RawFragment.objects.filter(fragment_key="a", expires_at__lt=ago(HOUR)).count() == 0
    assert told("cleanup_fragments") == {"dry_run": False, "delete": 0, "expire": 0, "expire_archived": 0}


@pytest.mark.parametrize("way", ["job", "command"])
def test_what_is_seen_rarely_and_not_for_long_is_archived(owner: User, way: str) -> None:
    RawFragment.objects.filter(fragment_key="a").update(last_seen_at=ago(DAY * 91))
    RawFragment.objects.filter(fragment_key="b").update(last_seen_at=ago(DAY * 91), frequency_count=3)
    RawFragment.objects.filter(fragment_key="c").update(last_seen_at=ago(DAY * 89))
    RawFragment.objects.filter(fragment_key="d").update(last_seen_at=ago(DAY * 91))
    put(PROMOTED, since=ago(-DAY), fragment_key="d")

    assert told("archive_fragments", "--dry-run") == {"dry_run": True, "archive": 10}
    if way == "job":
        assert run(ARCHIVE).result == {"archive": 10}
    else:
        assert told("archive_fragments") == {"dry_run": False, "archive": 10}

    assert states() == {"a": {"archived"}, "b": {"active"}, "c": {"active"}, "d": {"promoted"}}
    make_run(user=owner, source="again", records=[{"k": "k0", "a": 0}])
    assert RawFragment.objects.filter(fragment_key="a", lifecycle_state=ARCHIVED).count() == 10
    make_run(user=owner, records=[{"k": "k0", "a": 0, "new": 1}])
    assert RawFragment.objects.filter(fragment_key="a", lifecycle_state=ARCHIVED).count() == 9


def test_archived_fragments_are_kept_unless_a_retention_is_set(owner: User, settings: Settings) -> None:
    put(ARCHIVED, since=ago(DAY * 5000), fragment_key="a")
    put(ARCHIVED, since=ago(DAY * 9), fragment_key="b")

    assert told("cleanup_fragments")["expire_archived"] == 0
    settings.SCHEMAEVO_ARCHIVE_RETENTION_DAYS = 10
    assert told("cleanup_fragments", "--dry-run")["expire_archived"] == 10
    assert run(CLEAN_UP).result == {"expire_archived": 10}

    assert states() == {"a": {"pending_deletion"}, "b": {"archived"}, "c": {"active"}, "d": {"active"}}
    settings.SCHEMAEVO_CLEANUP_GRACE_HOURS = 0
    assert run(CLEAN_UP).result == {"delete": 10}
    assert states() == {"b": {"archived"}, "c": {"active"}, "d": {"active"}}


@pytest.mark.parametrize(
    ("switch", "kind", "command"),
    [
        ("SCHEMAEVO_CLEANUP_ENABLED", CLEAN_UP, "cleanup_fragments"),
        ("SCHEMAEVO_ARCHIVE_ENABLED", ARCHIVE, "archive_fragments"),
    ],
)
def test_a_switch_turns_the_job_off_and_not_the_command(
    owner: User, settings: Settings, switch: str, kind: str, command: str
) -> None:
    RawFragment.objects.update(last_seen_at=ago(DAY * 91))
    put(PROMOTED, since=ago(DAY), fragment_key="a")
    setattr(settings, switch, False)
    before = states()

    assert run(kind).result == {"skipped": f"{switch} is off"}
    assert states() == before
    told(command)
    assert states() != before


def test_what_waits_is_restored_with_a_new_expiry(owner: User, settings: Settings) -> None:
    settings.SCHEMAEVO_ARCHIVE_RETENTION_DAYS = 1
    put(PENDING, since=ago(DAY * 2), fragment_key="a")
    put(PENDING, since=ago(DAY * 2), fragment_key="b")
    put(ARCHIVED, since=ago(DAY * 2), fragment_key="c")
    RawFragment.objects.filter(fragment_key="a", entity__entity_key="k0").delete()
    settings.SCHEMAEVO_CLEANUP_GRACE_HOURS = 1000
    told("cleanup_fragments")

    one = fragments_restore(
        user_id=owner.pk, entity_type=THING, fragment_key="a", actor=SHELL, reason="mistake"
    )
    assert one == (9, 0)
    assert states() == {
        "a": {"promoted"},
        "b": {"pending_deletion"},
        "c": {"pending_deletion"},
        "d": {"active"},
    }
    assert fragments_restore(user_id=owner.pk, entity_type=THING, actor=SHELL) == (10, 10)
    assert states() == {"a": {"promoted"}, "b": {"promoted"}, "c": {"active"}, "d": {"active"}}
    assert RawFragment.objects.filter(expires_at__gt=ago(-DAY * 29)).count() == 19
    assert [event.after for event in AuditEvent.objects.filter(action="fragment.restore").order_by("id")] == [
        {"promoted": 9, "active": 0, "field": "a"},
        {"promoted": 10, "active": 10, "field": None},
    ]
    assert fragments_restore(user_id=make_user().pk, entity_type=THING, actor=SHELL) == (0, 0)


def test_a_paused_store_is_left_alone(owner: User) -> None:
    put(PROMOTED, since=ago(DAY), fragment_key="a")
    store_pause(actor=SHELL)

    with pytest.raises(CommandError, match="paused"):
        told("cleanup_fragments")
    assert states()["a"] == {"promoted"}
