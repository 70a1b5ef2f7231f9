"""verify looks at what other floors store twice, too: quotas against what they count."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command

from registry.services.verify import QUOTAS
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User, VerifyOutcome
from schemaevo.kernel.verification import Extent, Look, VerifyCheck, verify_check
from schemaevo.kernel.verification_runs import VERIFY, verification_make
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
    found = {"checked": 2, "waiting": 0, "divergent": 1, "repaired": 0, "examples": [wrong]}
    assert answer["checks"][QUOTAS] == found
    assert [counters(owner) for owner in owners] == [(1, 3), (1, 9)]
    assert not AuditEvent.objects.filter(action="quota.recount").exists()
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify", stdout=out)
    assert "quotas: 2 compared, 1 divergent, 0 repaired." in out.getvalue()
    assert f"  User {owners[1].pk}: 1 schemas and 9 fields instead of 1 and 3" in out.getvalue()
    assert "quotas: --repair would try to repair 1." in out.getvalue()


def test_repair_recounts_and_the_audit_log_says_so(owners: list[User]) -> None:
    tamper(owners[0], schema_count=5)
    answer, code = run("--repair")
    assert (answer["checks"][QUOTAS]["divergent"], answer["checks"][QUOTAS]["repaired"], code) == (1, 1, 0)
    assert counters(owners[0]) == counted(owners[0]) == (1, 3)
    event = AuditEvent.objects.get(action="quota.recount")
    assert (event.target_id, event.actor_name) == (str(owners[0].pk), Actor.shell().name)
    assert run()[1] == 0


def test_the_periodic_job_keeps_the_finding_and_repairs_nothing(owners: list[User]) -> None:
    run_job(str(job_request(kind=VERIFY).pk))
    assert Job.objects.get(kind=VERIFY).state == JobState.DONE
    tamper(owners[0], total_fields=4)
    run_job(str(job_request(kind=VERIFY).pk))
    job = Job.objects.filter(kind=VERIFY).latest("requested_at")
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert job.result["kinds"]["snapshots"]["divergent"] == 0
    assert job.result["kinds"][QUOTAS]["divergent"] == 1
    assert counters(owners[0]) == (1, 4)
    outcome = VerifyOutcome.objects.get(job_id=job.pk, kind=QUOTAS)
    assert (outcome.divergent, outcome.repaired, outcome.is_repair) == (1, 0, False)


def test_of_many_findings_the_first_are_kept_and_all_are_counted(owners: list[User]) -> None:
    many = [make_user() for _ in range(25)]
    for owner in many:
        make_version(document=make_definition(a="string"), user=owner, is_active=False)
        tamper(owner, total_fields=2)
    tally = dict(verification_make(extent=Extent(), actor=SHELL, kinds=[QUOTAS]).done)[QUOTAS]
    assert (tally.checked, tally.divergent, len(tally.examples)) == (27, 25, 20)
    assert len(VerifyOutcome.objects.get(kind=QUOTAS).examples) == 20


def test_only_who_may_control_jobs_verifies_and_repairs(owners: list[User]) -> None:
    tamper(owners[0], total_fields=4)
    viewer = Actor.login(make_login(role="viewer"))
    for is_repair in (False, True):
        with pytest.raises(Denied):
            verification_make(extent=Extent(), actor=viewer, is_repair=is_repair)
    assert counters(owners[0]) == (1, 4)
    assert not VerifyOutcome.objects.exists()
    operator = Actor.login(make_login(role="operator"))
    assert verification_make(extent=Extent(), actor=operator, is_repair=True).left == 0
    assert counters(owners[0]) == (1, 3)


def test_two_checks_of_one_name_are_a_mistake() -> None:
    def nothing(extent: Extent, place: Json) -> Look:
        return Look(0, [], None)

    with pytest.raises(ValueError, match="already registered"):
        verify_check(VerifyCheck(QUOTAS, "quotas", nothing, lambda extent: 0))
