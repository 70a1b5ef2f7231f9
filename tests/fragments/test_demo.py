"""The guided demo leaves what it promises, whatever it was killed in, and is done once."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from fragments.demo import past, play, quotas
from fragments.demo.records import EXCERPT, PACKAGE
from fragments.demo.repositories import OWNER, REPOSITORY
from fragments.demo.schemas import CONTESTED, DROPPED, PROPOSED
from fragments.models import (
    DeadLetter,
    Enhancement,
    EnhancementSetting,
    FieldDismissal,
    FieldGrowth,
    IgnoredPattern,
    IngestRun,
    Promotion,
    PromotionCause,
    PromotionState,
)
from fragments.selectors_recommendations import recommendations_over_users
from registry.models import (
    Proposal,
    ProposalComment,
    ProposalEffect,
    ProposalState,
    QuotaGrant,
    QuotaLimit,
    QuotaRequest,
    RequestState,
    SchemaVersion,
)
from registry.selectors import version_in_force
from registry.selectors_conflicts import conflicts_page
from registry.selectors_quotas import quota_of
from registry.selectors_trials import trial_of
from schemaevo.kernel.figures import today
from schemaevo.kernel.models import DailyFigure, Job, JobLogLine, JobState, User, VerifyOutcome
from snapshots.models import Observation
from tests.content import stored_content

pytestmark = pytest.mark.django_db(transaction=True)

#: Undeclared fields that hundreds of owners have.
COMMON = {
    "Multi-Arch",
    "Suggests",
    "Recommends",
    "Replaces",
    "Provides",
    "Conflicts",
    "Breaks",
    "Pre-Depends",
}


class Killed(BaseException):
    """The demo dies here."""


@pytest.fixture
def excerpt(tmp_path: Path) -> Path:
    """A tenth of the demo's records: a few of each owner and rare field, and all of owners with many fields."""
    manifest = json.loads((EXCERPT / "manifest.json").read_text())
    shutil.copy(EXCERPT / manifest["schema"], tmp_path)
    declared = json.loads((EXCERPT / manifest["schema"]).read_text())["definition"]["fields"]
    read = [
        gzip.decompress((EXCERPT / source["file"]).read_bytes()).splitlines()
        for source in manifest["sources"]
    ]
    fields: dict[str, set[str]] = defaultdict(set)
    for record in map(json.loads, chain(*read)):
        fields[record["Maintainer"]] |= record.keys() - declared
    varied = sorted(fields, key=lambda owner: (-len(fields[owner]), owner))[:5]
    seen: Counter[tuple[str, str]] = Counter()
    for source, lines in zip(manifest["sources"], read, strict=True):
        kept = []
        for line in lines:
            record = json.loads(line)
            pairs = [(record["Maintainer"], name) for name in record.keys() - declared - COMMON]
            if record["Maintainer"] in varied or any(seen[pair] < 3 for pair in pairs):
                kept.append(line + b"\n")
                seen.update(pairs)
        (tmp_path / source["file"]).write_bytes(gzip.compress(b"".join(kept)))
        source["sha256"] = hashlib.sha256(b"".join(kept)).hexdigest()
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return tmp_path


def load(excerpt: Path) -> str:
    out = io.StringIO()
    call_command("load_demo", data=excerpt, stdout=out)
    return out.getvalue()


def ledgers() -> dict[str, Any]:
    """How many rows there are of what the demo leaves beside content."""
    kinds = (Job, IngestRun, VerifyOutcome, Proposal, ProposalComment, QuotaRequest, Promotion, SchemaVersion)
    return {kind.__name__: kind.objects.count() for kind in kinds} | {"logins": User.objects.count()}


def test_the_demo_leaves_what_it_promises_and_looks_like_weeks_of_work(excerpt: Path) -> None:
    load(excerpt)
    assert_is_as_promised()
    weeks_ago = timezone.now() - timedelta(days=14)
    assert Job.objects.filter(requested_at__lt=weeks_ago).exists()
    assert VerifyOutcome.objects.filter(finished_at__lt=weeks_ago).exists()
    # The first page knows of all that.
    counted = DailyFigure.objects.get(figure="observations", day=today()).value
    assert counted == Observation.objects.count()
    assert FieldGrowth.objects.filter(entity_type=PACKAGE).exists()
    assert DailyFigure.objects.filter(
        figure="recomputed", day__lt=today() - timedelta(days=5), value__gt=0
    ).exists()


def test_a_demo_that_was_killed_in_many_of_its_steps_is_the_same_in_the_end(
    excerpt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, moves = past.Doings.move_back, iter(range(1_000))

    def dies_now_and_then(self: past.Doings, by: timedelta) -> None:
        # Everything of the step is done but that it is noted: the worst moment.
        if next(moves) % 3 == 1:
            raise Killed
        real(self, by)

    monkeypatch.setattr(past.Doings, "move_back", dies_now_and_then)
    for _attempt in range(100):
        try:
            load(excerpt)
        except Killed:
            continue
        break
    monkeypatch.undo()
    assert_is_as_promised()
    before = stored_content(), ledgers()
    assert "already" in load(excerpt)
    assert (stored_content(), ledgers()) == before


def assert_is_as_promised() -> None:
    assert_schemas()
    assert_quotas()
    assert_recommendations()
    assert_proposals()
    assert_ledgers()


def assert_schemas() -> None:
    versions = SchemaVersion.objects.filter(entity_type=PACKAGE, user=None).order_by("pk")
    assert [version.number for version in versions] == ["1.0.0", "1.1.0", "1.2.0", "2.0.0"]
    present = version_in_force(entity_type=PACKAGE, user_id=None)
    assert present is not None
    assert present.number == "2.0.0"
    assert {CONTESTED, PROPOSED} <= present.parsed.fields.keys()
    assert DROPPED not in present.parsed.fields
    (owner,) = conflicts_page(entity_type=PACKAGE).owners
    assert CONTESTED in str(owner)
    own = version_in_force(entity_type=REPOSITORY, user_id=User.objects.get(username=OWNER).pk)
    assert own is not None


def assert_quotas() -> None:
    shares = [
        quota_of(user_id=user_id).use_of(QuotaLimit.FIELDS).percent
        for user_id in QuotaGrant.objects.order_by("user").values_list("user", flat=True).distinct()
    ]
    # The fourth is the owner who was given more, and has declared nothing yet.
    assert sorted(shares) == [0, 60, 85, 100]
    asked = Counter(QuotaRequest.objects.values_list("state", flat=True))
    assert asked == {RequestState.PENDING: 1, RequestState.APPROVED: 1, RequestState.REJECTED: 1}


def assert_recommendations() -> None:
    for entity_type in (PACKAGE, REPOSITORY):
        page = recommendations_over_users(entity_type=entity_type, limit=100)
        assert any(one.is_eligible for one in page.recommendations), entity_type
    assert IgnoredPattern.objects.count() == 1
    assert FieldDismissal.objects.filter(user=None, until=None).count() == 1
    assert FieldDismissal.objects.filter(user=None, until__isnull=False).count() == 1
    by_cause = Counter(Promotion.objects.values_list("cause", "state"))
    assert by_cause[(PromotionCause.LOGIN, PromotionState.DONE)] == 1
    assert by_cause[(PromotionCause.LOGIN, PromotionState.UNDONE)] == 1
    assert by_cause[(PromotionCause.ENHANCEMENT, PromotionState.DONE)] == quotas.FULL
    assert EnhancementSetting.objects.count() == 2
    assert Enhancement.objects.exists()


def assert_proposals() -> None:
    states = Counter(Proposal.objects.values_list("state", flat=True))
    assert states.keys() == {
        ProposalState.APPLIED,
        ProposalState.IN_REVIEW,
        ProposalState.CHANGES_REQUESTED,
        ProposalState.DRAFT,
    }
    assert (states["applied"], states["in_review"], states["changes_requested"]) == (1, 1, 1)
    waiting = Proposal.objects.get(state=ProposalState.IN_REVIEW)
    assert trial_of(waiting) is not None
    assert ProposalComment.objects.filter(proposal=waiting).count() == 2
    effect = ProposalEffect.objects.get()
    assert (effect.absorbed, effect.promoted > 50) == (1, True)


def assert_ledgers() -> None:
    jobs = Counter(Job.objects.values_list("state", flat=True))
    assert jobs.keys() == {JobState.DONE, JobState.PAUSED}
    assert jobs[JobState.PAUSED] == 1
    assert Job.objects.filter(kind="refresh_snapshots", state=JobState.DONE).exists()
    assert VerifyOutcome.objects.values("verification").distinct().count() >= 5
    assert not VerifyOutcome.objects.filter(divergent__gt=0).exists()
    assert DeadLetter.objects.filter(run__entity_type=REPOSITORY).count() == 5
    # However far it is moved, nothing ends before it began.
    for job in Job.objects.filter(state=JobState.DONE):
        assert job.started_at is not None
        assert job.finished_at is not None
        assert job.requested_at <= job.started_at <= job.finished_at
        assert all(
            job.requested_at <= line.at <= job.finished_at + timedelta(seconds=5)
            for line in JobLogLine.objects.filter(job=job)
        )


def test_in_production_there_are_the_records_and_nobody_who_plays(excerpt: Path, settings: Any) -> None:
    settings.IS_LOCAL = False
    load(excerpt)
    assert IngestRun.objects.count() == 2
    assert not User.objects.filter(is_staff=True).exists()
    assert not Proposal.objects.exists()
    assert "already" in load(excerpt)


def test_what_the_log_calls_done_is_every_step_once() -> None:
    names = [step.name for step in play.steps(io.StringIO())]
    assert len(names) == len(set(names))
    assert sorted((step.ago for step in play.steps(io.StringIO())), reverse=True) == [
        step.ago for step in play.steps(io.StringIO())
    ]
