"""verify looks at what other floors store twice, too: quotas against what they count."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from registry.services.verify import QUOTAS
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.verification import Finding, VerifyCheck, checks_run, verify_check
from snapshots.jobs import VERIFY
from tests.factories import SHELL, make_definition, make_login, make_user, make_version
from tests.quotas import counted, counters, tamper

pytestmark = pytest.mark.django_db


@pytest.fixture
def owners() -> list[User]:
    """Two owners with a schema of three fields each."""
    owners = [make_user(), make_user()]
    for owner in owners:
        make_version(document=make_definition(a="string", b="string", c="string"), user=owner)
    return owners


def run(*arguments: str) -> tuple[dict[str, Any], int]:
    out = io.StringIO()
    try:
        call_command("verify", "--json", *arguments, stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        return json.loads(out.getvalue()), int(end.code or 0)
    return json.loads(out.getvalue()), 0


def test_a_quota_that_is_not_the_count_is_found_and_left_as_it_is(owners: list[User]) -> None:
    tamper(owners[1], total_fields=9)
    answer, code = run()
    assert (answer["divergent"], code) == (0, 1)
    wrong = {"user_id": owners[1].pk, "schemas": 1, "fields": 9, "counted_schemas": 1, "counted_fields": 3}
    assert answer["checks"][QUOTAS] == {"divergent": 1, "repaired": 0, "examples": [wrong]}
    assert [counters(owner) for owner in owners] == [(1, 3), (1, 9)]
    assert not AuditEvent.objects.filter(action="quota.recount").exists()
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify", stdout=out)
    assert "quotas: 1 divergent, 0 repaired." in out.getvalue()
    assert f"  User {owners[1].pk}: 1 schemas and 9 fields instead of 1 and 3" in out.getvalue()


def test_repair_recounts_and_the_audit_log_says_so(owners: list[User]) -> None:
    tamper(owners[0], schema_count=5)
    answer, code = run("--repair")
    assert (answer["checks"][QUOTAS]["divergent"], answer["checks"][QUOTAS]["repaired"], code) == (1, 1, 0)
    assert counters(owners[0]) == counted(owners[0]) == (1, 3)
    event = AuditEvent.objects.get(action="quota.recount")
    assert (event.target_id, event.actor_name) == (str(owners[0].pk), Actor.shell().name)
    assert run()[1] == 0


def test_the_periodic_job_keeps_the_finding_and_the_first_page_tells_it(owners: list[User]) -> None:
    run_job(str(job_request(kind=VERIFY).pk))
    assert Job.objects.get(kind=VERIFY).state == JobState.DONE
    tamper(owners[0], total_fields=4)
    run_job(str(job_request(kind=VERIFY).pk))
    job = Job.objects.filter(kind=VERIFY).latest("requested_at")
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert isinstance(job.result, dict)
    assert job.result["divergent"] == 0
    assert job.result["checks"][QUOTAS]["divergent"] == 1
    assert counters(owners[0]) == (1, 4)
    viewer = Client()
    viewer.force_login(make_login(role="viewer"), backend="django.contrib.auth.backends.ModelBackend")
    assert "0 checked, 0 divergent, quotas: 1 divergent" in viewer.get("/admin/").content.decode()


def test_of_many_findings_the_first_are_kept_and_all_are_counted(owners: list[User]) -> None:
    many = [make_user() for _ in range(25)]
    for owner in many:
        make_version(document=make_definition(a="string"), user=owner, is_active=False)
        tamper(owner, total_fields=2)
    [outcome] = checks_run()
    assert (outcome.divergent, len(outcome.examples)) == (25, 20)


def test_only_who_may_control_jobs_repairs(owners: list[User]) -> None:
    tamper(owners[0], total_fields=4)
    with pytest.raises(Denied):
        checks_run(repair_as=Actor.login(make_login(role="viewer")))
    assert counters(owners[0]) == (1, 4)
    assert checks_run(repair_as=SHELL)[0].repaired == 1


def test_two_checks_of_one_name_are_a_mistake() -> None:
    def nothing(actor: Actor | None = None) -> list[Finding]:
        return []

    with pytest.raises(ValueError, match="already registered"):
        verify_check(VerifyCheck(QUOTAS, nothing, nothing))
