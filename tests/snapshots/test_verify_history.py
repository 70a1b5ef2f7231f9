"""Every verification leaves whole rows of history or none, by job and by command; repairs are told apart."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from fragments.services.aggregates_verify import AGGREGATES
from registry.services.verify import QUOTAS
from schemaevo.kernel import leases, verification, verification_samples
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User, VerifyOutcome
from schemaevo.kernel.references import REFERENCES
from schemaevo.kernel.retention import ledgers_overdue
from schemaevo.kernel.verification import Extent, Tally, verify_checks
from schemaevo.kernel.verification_figures import kinds_verified, share_verified
from schemaevo.kernel.verification_runs import VERIFY, Verification, verification_make, verify_run
from snapshots.models import EntitySnapshot
from snapshots.services.verify import SNAPSHOTS
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_observation,
    make_recorded,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db

KINDS = [AGGREGATES, QUOTAS, REFERENCES, SNAPSHOTS]


@pytest.fixture
def owner() -> User:
    """The owner of five entities, under a schema."""
    owner = make_user()
    make_version(document=make_definition(a="number"))
    make_recorded(observations=[make_observation(user=owner, key=f"e{n}", fields={"a": n}) for n in range(5)])
    return owner


def falsify(*keys: str) -> set[str]:
    """The snapshots say what nobody observed; gives their ids."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE entity_snapshots SET values = '{\"a\": 987654}' WHERE entity_key = ANY(%s) RETURNING id::text",
            [list(keys)],
        )
        return {identity for (identity,) in cursor.fetchall()}


def verify(*arguments: str) -> tuple[dict[str, Any], int]:
    out = io.StringIO()
    try:
        call_command("verify", "--json", *arguments, stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        return json.loads(out.getvalue()), int(end.code or 0)
    return json.loads(out.getvalue()), 0


def the(kind: str) -> VerifyOutcome:
    """The newest outcome of the kind."""
    return VerifyOutcome.objects.filter(kind=kind).latest("id")


# --- the command ----------------------------------------------------------------------------------------
def test_the_command_leaves_a_row_for_each_kind(owner: User) -> None:
    wrong = falsify("e1", "e3")
    answer, code = verify("--all")
    rows = VerifyOutcome.objects.order_by("kind")
    assert [row.kind for row in rows] == KINDS
    assert {str(row.verification) for row in rows} == {answer["verification"]}
    assert code == 1
    found = the(SNAPSHOTS)
    assert (found.checked, found.divergent, found.repaired, found.left) == (5, 2, 0, 2)
    assert {example["entity"] for example in found.examples} == wrong
    assert "987654" not in json.dumps(found.examples)
    assert (found.scope, found.target, found.actor_name) == ("all", "", Actor.shell().name)
    assert found.job_id is None
    assert not found.is_repair
    assert found.began_at <= found.finished_at
    assert found.seconds >= 0


def test_repair_is_an_act_of_its_own_in_the_audit_log(owner: User) -> None:
    falsify("e1", "e3")
    answer, code = verify("--all", "--repair")
    assert (code, answer["divergent"], answer["repaired"]) == (0, 2, 2)
    found = the(SNAPSHOTS)
    assert (found.is_repair, found.divergent, found.repaired, found.left) == (True, 2, 2, 0)
    event = AuditEvent.objects.get(action="verification.repair")
    assert (event.actor_name, event.target_id) == (Actor.shell().name, answer["verification"])
    assert sorted(event.after["kinds"]) == KINDS
    assert event.after["kinds"][SNAPSHOTS] == {"checked": 5, "waiting": 0, "divergent": 2, "repaired": 2}
    assert AuditEvent.objects.filter(action="snapshot.repair").count() == 2
    assert verify("--all")[1] == 0
    assert AuditEvent.objects.filter(action="verification.repair").count() == 1


def test_a_dry_run_writes_nothing_and_says_what_would_be_repaired(owner: User) -> None:
    falsify("e1")
    events = AuditEvent.objects.count()
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("verify", "--all", "--repair", "--dry-run", stdout=out)
    assert end.value.code == 1
    assert "snapshots: would try to repair 1." in out.getvalue()
    assert EntitySnapshot.objects.get(entity_key="e1").values == {"a": 987654}
    assert not VerifyOutcome.objects.exists()
    assert AuditEvent.objects.count() == events


def test_one_kind_alone_is_verified_and_repaired(owner: User) -> None:
    falsify("e1")
    answer, code = verify("--kind", QUOTAS, "--repair")
    assert (code, list(answer["checks"]), answer["checked"]) == (0, [QUOTAS], 0)
    assert VerifyOutcome.objects.get().kind == QUOTAS
    assert EntitySnapshot.objects.get(entity_key="e1").values == {"a": 987654}


def test_one_owners_part_of_a_type_is_verified_alone(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshots.services.refresh.CHUNK_ENTITIES", 2)
    other = make_user()
    make_recorded(observations=[make_observation(user=other, key=f"o{n}", fields={"a": n}) for n in range(3)])
    falsify("e1", "o1")
    assert verify("--entity-type", THING)[0]["checked"] == 8
    answer, code = verify("--entity-type", THING, "--user", other.username, "--repair")
    assert (code, answer["checked"], answer["repaired"]) == (0, 3, 1)
    assert (the(SNAPSHOTS).target, the(SNAPSHOTS).scope) == (f"{THING}:{other.pk}", "all")
    assert EntitySnapshot.objects.get(entity_key="e1").values == {"a": 987654}
    assert verify("--entity-type", THING, "--user", make_user().username)[0]["checked"] == 0
    assert verify("--entity-type", "nothing_of_it")[0]["checked"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "me"), "--user needs --entity-type"),
        (("--kind", "weather"), "Nothing of the kind weather"),
        (("--entity-type", THING, "--kind", QUOTAS), "Of quotas all is compared"),
        (("--entity-type", THING, "--user", "nobody"), "nobody"),
        (("--all", "--sample", "3"), "not allowed with"),
    ],
)
def test_wrong_usage_is_told_and_nothing_is_verified(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refusal:
        call_command("verify", *arguments)
    assert refusal.value.returncode in {1, 2} if said == "not allowed with" else refusal.value.returncode == 2
    assert not VerifyOutcome.objects.exists()


# --- the job --------------------------------------------------------------------------------------------
def test_a_job_that_dies_half_way_leaves_no_half_row_and_goes_on_from_there(
    owner: User, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Two snapshots a look, and the worker dies after the second look at snapshots."""
    monkeypatch.setattr(verification_samples, "ROWS_PER_LOOK", 2)
    falsify("e0", "e1", "e2", "e3", "e4")
    job = job_request(kind=VERIFY)
    lease = leases.claim(job.pk)
    assert lease is not None
    check = verify_checks()[SNAPSHOTS]
    looks: list[int] = []

    def dying(extent: Extent, place: Any) -> Any:
        if len(looks) == 2:
            raise KeyboardInterrupt
        looks.append(1)
        return check.look(extent, place)

    with monkeypatch.context() as patched:
        patched.setitem(verification._checks, SNAPSHOTS, replace(check, look=dying))
        with pytest.raises(KeyboardInterrupt):
            verify_run(lease)

    assert {row.kind for row in VerifyOutcome.objects.all()} == {AGGREGATES, QUOTAS, REFERENCES}
    job.refresh_from_db()
    begun = Verification.from_json(job.cursor)
    assert begun is not None
    assert (begun.tally.checked, begun.tally.divergent) == (4, 4)

    Job.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED_WITH_ERRORS, job.error
    found = the(SNAPSHOTS)
    assert (found.checked, found.divergent, len(found.examples)) == (5, 5, 5)
    assert VerifyOutcome.objects.count() == len(KINDS)
    assert VerifyOutcome.objects.values("verification").distinct().count() == 1
    assert found.job_id == job.pk
    assert job.done_count == job.total_count


def test_a_job_cancelled_half_way_leaves_what_was_whole(owner: User, settings: Any) -> None:
    settings.SCHEMAEVO_RUN_BUDGET_S = 0
    job = job_request(kind=VERIFY)
    # Aggregates are looked at from two sides.
    for _ in range(2):
        run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.PENDING
    assert [row.kind for row in VerifyOutcome.objects.all()] == [AGGREGATES]


def test_a_job_asked_for_again_while_it_ran_is_two_verifications(owner: User) -> None:
    job = job_request(kind=VERIFY)
    lease = leases.claim(job.pk)
    assert lease is not None
    job_request(kind=VERIFY)
    assert not lease.finish(verify_run(lease))
    lease.begin_again()
    assert lease.finish(verify_run(lease))
    assert VerifyOutcome.objects.filter(kind=SNAPSHOTS).values("verification").distinct().count() == 2


def test_a_kind_that_is_verified_no_more_is_passed_over_by_a_job_that_goes_on(owner: User) -> None:
    job = job_request(kind=VERIFY)
    begun = Verification(uuid4(), timezone.now(), Extent(10), (REFERENCES,), None, Tally())
    cursor = begun.to_json()
    cursor["kinds"] = ["forgotten", REFERENCES]
    cursor["place"] = {"after": "x"}
    Job.objects.filter(pk=job.pk).update(cursor=cursor, wanted_seen=1)
    run_job(str(job.pk))
    job.refresh_from_db()
    assert job.state == JobState.DONE, job.error
    assert [(row.kind, row.verification) for row in VerifyOutcome.objects.all()] == [(REFERENCES, begun.id)]


def test_the_periodic_job_never_repairs(owner: User) -> None:
    falsify("e1")
    job = job_request(kind=VERIFY)
    run_job(str(job.pk))
    assert EntitySnapshot.objects.get(entity_key="e1").values == {"a": 987654}
    assert (the(SNAPSHOTS).divergent, the(SNAPSHOTS).is_repair) == (1, False)
    assert not AuditEvent.objects.filter(action__contains="repair").exists()


# --- the row --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "wrong",
    [
        {"repaired": 3},
        {"divergent": 6},
        {"checked": -1, "divergent": -1},
        {"is_repair": False, "repaired": 1},
    ],
)
def test_counts_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    counts = {"checked": 5, "divergent": 2, "repaired": 1, "is_repair": True, **wrong}
    with pytest.raises(IntegrityError), transaction.atomic():
        make_outcome(**counts)


def test_a_kind_has_one_row_in_a_verification() -> None:
    first = make_outcome()
    with pytest.raises(IntegrityError, match="verify_outcomes_kind_uq"), transaction.atomic():
        make_outcome(verification=first.verification)


def make_outcome(*, days: float = 0, **columns: Any) -> VerifyOutcome:
    """A verification so many days ago."""
    then = timezone.now() - timedelta(days=days)
    said = {
        "verification": uuid4(),
        "kind": SNAPSHOTS,
        "actor_name": "system:verify_snapshots",
        "scope": "sample",
        "checked": 100,
        "divergent": 0,
        "seconds": 1.0,
        "began_at": then,
        "finished_at": then,
    }
    return VerifyOutcome.objects.create(**{**said, **columns})


def test_old_rows_go_and_the_newest_of_each_kind_stays(settings: Any) -> None:
    settings.SCHEMAEVO_RETENTION_DAYS_VERIFY = 10
    make_outcome(days=30)
    newest = make_outcome(days=20)
    quotas = [make_outcome(days=days, kind=QUOTAS) for days in (11, 9)]
    assert ledgers_overdue()["verify_outcomes"] == 2
    call_command("trim_ledgers", stdout=io.StringIO())
    assert set(VerifyOutcome.objects.all()) == {newest, quotas[1]}


# --- figures --------------------------------------------------------------------------------------------
def figures(kind: str) -> Any:
    return next(one for one in kinds_verified() if one.kind == kind)


def test_figures_are_of_seven_and_of_thirty_days() -> None:
    make_outcome(days=40, divergent=50)
    make_outcome(days=20, divergent=5)
    newest = make_outcome(days=1, divergent=1)
    found = figures(SNAPSHOTS)
    assert (found.week.checked, found.week.divergent) == (100, 1)
    assert (found.month.checked, found.month.divergent) == (200, 6)
    assert found.outcome_id == newest.pk
    assert (found.week.in_words, found.month.in_words) == ("1\u202f%", "3\u202f%")
    assert [one.kind for one in kinds_verified()] == KINDS
    assert figures(QUOTAS).outcome_id is None


def test_what_diverged_is_settled_only_by_looking_at_all_of_it() -> None:
    make_outcome(divergent=2)
    assert not figures(SNAPSHOTS).is_settled
    make_outcome()
    assert not figures(SNAPSHOTS).is_settled
    make_outcome(scope="all", target="thing:7")
    assert not figures(SNAPSHOTS).is_settled
    make_outcome(scope="all", is_repair=True, divergent=3, repaired=2)
    assert not figures(SNAPSHOTS).is_settled
    make_outcome(scope="all", is_repair=True, divergent=1, repaired=1)
    assert figures(SNAPSHOTS).is_settled
    make_outcome(divergent=1)
    assert not figures(SNAPSHOTS).is_settled
    make_outcome(scope="all")
    assert figures(SNAPSHOTS).is_settled
    assert figures(QUOTAS).is_settled


def test_the_share_that_was_verified_counts_no_snapshot_for_two() -> None:
    assert share_verified(kind=SNAPSHOTS, count=200) == 0
    make_outcome(checked=100)
    assert share_verified(kind=SNAPSHOTS, count=200) == pytest.approx(0.5)
    make_outcome(checked=100)
    assert share_verified(kind=SNAPSHOTS, count=200) == pytest.approx(0.75)
    make_outcome(checked=200, days=8)
    make_outcome(checked=200, kind=QUOTAS)
    assert share_verified(kind=SNAPSHOTS, count=200) == pytest.approx(0.75)
    make_outcome(checked=300)
    assert share_verified(kind=SNAPSHOTS, count=200) == pytest.approx(1)
    assert share_verified(kind=SNAPSHOTS, count=0) == 0


def test_the_figures_follow_from_what_was_really_done(owner: User) -> None:
    falsify("e1")
    verification_make(extent=Extent(3), actor=SHELL)
    verification_make(extent=Extent(), actor=SHELL)
    assert not figures(SNAPSHOTS).is_settled
    assert share_verified(kind=SNAPSHOTS, count=5) == pytest.approx(1)
    verification_make(extent=Extent(), actor=SHELL, is_repair=True)
    assert figures(SNAPSHOTS).is_settled
