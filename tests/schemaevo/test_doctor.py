"""The doctor finds what is wrong, part by part, says what to do, and changes nothing."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from datetime import timedelta
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from schemaevo import bootstrap, doctor, health
from schemaevo.cron import Scheduler
from schemaevo.doctor import Finding
from schemaevo.kernel.models import Job, JobState
from schemaevo.kernel.pause import store_pause
from tests.factories import SHELL

pytestmark = pytest.mark.django_db

WELL = ("python", "packages", "settings", "database", "role", "migrations", "triggers", "pause", "jobs")
PARTS = (*WELL, "valkey", "page-cache", "workers", "scheduler", "disk")


def found(part: str) -> Finding:
    return next(finding for finding in doctor.examine() if finding.part == part)


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("doctor", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def redis() -> Any:
    client = django_rq.get_connection("interactive")
    client.flushdb()
    yield client
    client.flushdb()


@pytest.fixture
def at_work(redis: Any) -> None:
    """What Redis knows of a worker of all queues and of a scheduler."""
    redis.sadd("rq:workers", "rq:worker:one")
    redis.hset("rq:worker:one", mapping={"queues": "interactive,recompute,lifecycle"})
    Scheduler().register_birth()


def test_an_installation_that_is_well_is_told_so_in_one_line_for_each_part(at_work: None) -> None:
    code, said = run()

    assert [line.split()[0] for line in said.splitlines()] == list(PARTS)
    assert {line.split()[1] for line in said.splitlines()} == {"ok"}, said
    assert code == 0


def test_as_json_it_gives_every_part(at_work: None) -> None:
    code, said = run("--json")
    told = json.loads(said)

    assert (code, told["ok"]) == (0, True)
    assert [part["part"] for part in told["parts"]] == list(PARTS)
    assert set(told["parts"][0]) == {"part", "state", "detail", "advice"}


def test_one_part_that_is_wrong_is_a_failure_with_advice(redis: Any) -> None:
    code, said = run()

    assert code == 1
    assert (
        "workers     wrong    none for interactive, lifecycle, recompute; start one: `manage.py work`" in said
    )
    assert found("scheduler") == Finding(
        "scheduler", "wrong", "not heard of", "start one: `manage.py schedule`"
    )


def test_a_worker_that_died_does_not_count(at_work: None, redis: Any) -> None:
    redis.sadd("rq:workers", "rq:worker:dead")
    assert found("workers").detail == "1 alive"

    redis.delete("rq:worker:one")
    assert found("workers").state == "wrong"


def test_a_queue_that_nobody_serves_is_named(redis: Any) -> None:
    redis.sadd("rq:workers", "rq:worker:one")
    redis.hset("rq:worker:one", mapping={"queues": "interactive,recompute"})

    assert found("workers").detail == "none for lifecycle"


def test_without_valkey_the_rest_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(settings.RQ_QUEUES["interactive"], "URL", f"unix://{tmp_path}/nobody.sock")

    states = {finding.part: finding.state for finding in doctor.examine()}

    assert {part: states[part] for part in ("valkey", "page-cache", "workers", "scheduler")} == {
        "valkey": "wrong",
        "page-cache": "unknown",
        "workers": "unknown",
        "scheduler": "unknown",
    }
    assert {states[part] for part in WELL} == {"ok"}


def test_valkey_must_not_drop_what_it_holds(redis: Any) -> None:
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "may drop what it holds (allkeys-lru)" in found("valkey").detail
    finally:
        redis.config_set("maxmemory-policy", "noeviction")


def test_without_the_database_the_rest_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = {**connection.settings_dict, "HOST": str(tmp_path), "PASSWORD": "sesame"}
    with monkeypatch.context() as patch:
        patch.setattr(connections["default"], "settings_dict", elsewhere)
        findings = {finding.part: finding for finding in doctor.examine()}

    assert findings["database"].state == "wrong"
    assert "sesame" not in findings["database"].detail
    assert {findings[part].state for part in ("role", "migrations", "triggers", "pause", "jobs")} == {
        "unknown"
    }
    assert (findings["python"].state, findings["valkey"].state) == ("ok", "ok")


def test_a_superuser_is_no_role_to_run_as(monkeypatch: pytest.MonkeyPatch) -> None:
    # The database has one superuser, whom anybody may become who can reach its socket.
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY VIEW pg_roles AS SELECT current_user AS rolname, true AS rolsuper")
        cursor.execute("SET LOCAL search_path = pg_temp, pg_catalog, public")
        role = found("role")

    assert role.state == "wrong"
    assert "is a superuser" in role.detail


def test_a_trigger_that_is_switched_off_is_named() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_events DISABLE TRIGGER audit_events_append_only")

    triggers = found("triggers")

    assert triggers.state == "wrong"
    assert "audit_events_append_only" in triggers.detail
    assert "ENABLE TRIGGER" in triggers.advice


def test_a_migration_that_is_not_applied_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    code = frozenset({*health._migrations_of_the_code(), ("kernel", "9999_of_tomorrow")})
    monkeypatch.setattr(health, "_migrations_of_the_code", lambda: code)

    assert found("migrations").detail == "not applied: kernel.9999_of_tomorrow"


def make_job(**columns: Any) -> Job:
    return Job.objects.create(**{"kind": "k", "queue": "lifecycle", "finished_at": timezone.now(), **columns})


def test_jobs_that_wait_are_fine_and_overdue_ones_are_not() -> None:
    make_job(target="now", finished_at=None)
    assert found("jobs") == Finding("jobs", "ok", "1 pending, 0 overdue, 0 abandoned, 0 failed")

    hour_ago = timezone.now() - timedelta(hours=1)
    make_job(target="long", finished_at=None, not_before=hour_ago)
    lease = {"lease_token": "12345678123456781234567812345678", "lease_expires_at": hour_ago}
    make_job(target="left", state=JobState.RUNNING, finished_at=None, **lease)
    jobs = found("jobs")
    assert (jobs.state, jobs.detail) == ("wrong", "2 pending, 1 overdue, 1 abandoned, 0 failed")


def test_a_failed_job_is_wrong_until_the_same_work_was_done() -> None:
    make_job(state=JobState.FAILED, target="a")
    make_job(state=JobState.COMPLETED_WITH_ERRORS, kind="verify")
    old = make_job(state=JobState.FAILED, target="old")
    Job.objects.filter(pk=old.pk).update(requested_at=timezone.now() - timedelta(days=8))
    assert found("jobs").detail == "0 pending, 0 overdue, 0 abandoned, 2 failed (k, verify)"

    make_job(state=JobState.DONE, target="b")
    make_job(state=JobState.DONE, target="a", finished_at=timezone.now() + timedelta(seconds=1))
    assert found("jobs").detail == "0 pending, 0 overdue, 0 abandoned, 1 failed (verify)"


def test_a_pause_is_worth_knowing_and_excuses_what_waits(at_work: None) -> None:
    make_job(finished_at=None, not_before=timezone.now() - timedelta(hours=1))
    store_pause(actor=SHELL, reason="backup")

    assert found("pause").state == "note"
    assert "by system:tests: backup" in found("pause").detail
    assert found("jobs").state == "ok"
    assert run()[0] == 0


def test_packages_are_compared_with_the_versions_that_were_tested(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any
) -> None:
    settings.BASE_DIR = tmp_path
    assert found("packages").state == "note"

    (tmp_path / "constraints.txt").write_text("# pins\nDjango==0.96\nnot-installed==1.0\n")
    packages = found("packages")
    assert packages.state == "wrong"
    assert packages.detail.startswith("not as in constraints.txt: Django ")
    assert packages.detail.endswith(" instead of 0.96")

    (tmp_path / "constraints-next.txt").write_text("not-installed==1.0\n")
    assert found("packages") == Finding("packages", "ok", "as in constraints-next.txt")

    monkeypatch.setattr(bootstrap, "requirements", lambda extras: ["Django>=5", "no-such[x]>=1"])
    assert found("packages").detail == "missing: no-such"


def test_settings_that_production_must_not_have_are_told(settings: Any) -> None:
    settings.IS_LOCAL = False
    settings.DEBUG = True

    told = found("settings")

    assert told.state == "wrong"
    assert told.advice == "`manage.py check --deploy` tells them all"


def test_a_disk_that_is_nearly_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    states = []
    for total, free in [(1 << 40, 1 << 38), (1 << 40, 1 << 34), (1 << 32, 1 << 29)]:
        monkeypatch.setattr(shutil, "disk_usage", partial(lambda said, path: said, usage(total, 0, free)))
        states.append(found("disk").state)

    assert states == ["ok", "wrong", "wrong"]


def test_it_writes_nothing(at_work: None, redis: Any) -> None:
    before = {key: redis.type(key) for key in redis.scan_iter()}

    with CaptureQueriesContext(connection) as queries:
        doctor.examine()

    assert {query["sql"].split()[0] for query in queries} == {"SELECT"}
    assert {key: redis.type(key) for key in redis.scan_iter()} == before
