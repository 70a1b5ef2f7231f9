"""The services through which something is done in somebody's name: each with its row of the table, and one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils import timezone

from fragments.models import (
    BulkAct,
    BulkVerb,
    EnhancementMode,
    LifecycleState,
    Promotion,
    RawFragmentAggregate,
)
from fragments.selectors_exports import observations_with_fragments
from fragments.selectors_patterns import Candidate
from fragments.services.aggregates_rebuild import aggregates_rebuild_inline, aggregates_rebuild_request
from fragments.services.aggregates_verify import aggregates_verify_repair
from fragments.services.bulk_acts import bulk_act_begin, bulk_act_cancel, bulk_act_resume
from fragments.services.dismissals import field_dismiss, field_recall, field_snooze
from fragments.services.dry_run import ingest_foresee
from fragments.services.enhancement import enhancement_set, enhancement_turn
from fragments.services.erasure import entity_erase, owner_erase
from fragments.services.field_converters import field_converters_add
from fragments.services.ignore_lists import pattern_ignore, pattern_recall
from fragments.services.ingest import Input, ingest
from fragments.services.lifecycle import CLEANUP, fragments_archive, fragments_restore
from fragments.services.lifecycle_runs import lifecycle_inline
from fragments.services.patterns import candidates_propose
from fragments.services.promotions import field_promote, promotion_undo
from fragments.services.records import IngestOptions
from registry.domain.compatibility import Mode
from registry.domain.definition import Declaration
from registry.models import Proposal, QuotaGrant
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.compatibility import compatibility_set
from registry.services.extensions import (
    extension_add_fields,
    extension_remove,
    extension_remove_fields,
    extension_save,
)
from registry.services.proposal_apply import proposal_apply, proposal_undo
from registry.services.proposal_reviews import proposal_approve, proposal_reject, proposal_request_changes
from registry.services.proposal_trials import trial_request
from registry.services.proposal_upkeep import proposals_expire
from registry.services.proposals import (
    proposal_comment,
    proposal_draft,
    proposal_edit,
    proposal_rebase,
    proposal_submit,
    proposal_withdraw,
)
from registry.services.proposals_found import Found, proposal_faded, proposal_found
from registry.services.quota_requests import (
    Decision,
    quota_request_approve,
    quota_request_create,
    quota_request_reject,
    quota_request_withdraw,
    quota_requests_decide,
)
from registry.services.quotas import (
    quota_grants_expire,
    quota_recount,
    quota_set_maximum,
    quotas_repair,
)
from registry.services.restoring import extensions_restore
from registry.services.schemas import schema_register, schema_update
from registry.services.settling import extensions_settle
from registry.services.verify import quotas_verify_repair
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.export_formats import ExportFormat
from schemaevo.kernel.export_runs import Door, Export, export_stream
from schemaevo.kernel.job_control import job_cancel, job_pause, job_resume, job_retry
from schemaevo.kernel.models import Job, JobState, SavedView
from schemaevo.kernel.pause import store_pause, store_resume
from schemaevo.kernel.retention import ledger_trim, ledgers_registered
from schemaevo.kernel.saved_queries import Listed
from schemaevo.kernel.saved_views import view_delete, view_rename, view_save, view_share, view_unshare
from schemaevo.kernel.verification import Extent, Finding
from schemaevo.kernel.verification_runs import verification_make
from snapshots.models import EntitySnapshot
from snapshots.selectors_exports import OBSERVATION_COLUMNS
from snapshots.services.corrections import Wanted, correction_foresee, field_correct
from snapshots.services.recomputation import recomputation_inline, recomputation_request
from snapshots.services.retractions import retraction_undo, source_retract
from snapshots.services.verify import Divergence, snapshot_repair, snapshots_verify_repair
from tests.bulk import make_act
from tests.factories import NOON, SHELL, THING, make_definition, make_lines, make_run, make_user
from tests.lifecycle import put
from tests.permissions.proposals import expiring, in_review, proposal_of, stale, written
from tests.permissions.scene import LATE, OWN, Scene
from tests.proposals.approved import make_approved, schema_admin
from tests.quotas import tamper


@dataclass(frozen=True)
class Service:
    """One call of a service, which changes something where it is allowed. `first` is done before, by nobody."""

    row: str
    service: Callable[..., object]
    call: Callable[[Scene], object]
    first: Callable[[Scene], object] = lambda scene: None
    writes: bool = True
    #: Ingest leaves a run in its name instead, and what only looks leaves nothing.
    audited: bool = True
    said: str = ""

    def __str__(self) -> str:
        return f"{self.service.__name__} {self.said}".strip()


def line(row: str, service: Callable[..., object], call: Callable[[Scene], object], **more: Any) -> Service:
    return Service(row, service, call, **more)


def records() -> Input:
    return Input(make_lines(records=[{"k": "new", "colour": "x"}]), "stream", default_observed_at=NOON)


def decide_all(scene: Scene, decision: Decision) -> None:
    [outcome] = quota_requests_decide(
        request_ids=[scene.request.pk], decision=decision, actor=scene.actor, note="all"
    )
    if outcome.refusal is not None:
        raise outcome.refusal


def diverge(scene: Scene) -> None:
    """The owner's counters are wrong."""
    tamper(scene.store.owner, total_fields=77)


def falsify(scene: Scene) -> None:
    """The snapshot says what nobody observed."""
    EntitySnapshot.objects.filter(pk=scene.store.snapshot.pk).update(observation_count=77)


def retracted(scene: Scene) -> None:
    """The owner's source takes no part."""
    source_retract(source_id=scene.store.source.pk, reason="the wrong file", actor=SHELL)


def falsified_aggregate(scene: Scene) -> Finding:
    """An aggregate counts what is not there, as `verify` tells it."""
    RawFragmentAggregate.objects.update(sample_count=77)
    field = scene.store.fragment.fragment_key
    return Finding("", {"user_id": scene.store.owner.pk, "entity_type": THING, "field": field})


def eligible(scene: Scene) -> None:
    """A field of the owner is eligible, and is promoted by itself."""
    sizes = [{"k": f"k{n}", "colour": "x", "size": n} for n in range(10)]
    make_run(records=sizes, user=scene.store.owner)
    enhancement_set(user_id=scene.store.owner.pk, entity_type=THING, mode=EnhancementMode.AUTO, actor=SHELL)


def in_bulk(verb: BulkVerb, scene: Scene) -> object:
    """Everything of the owner is acted on by who is there."""
    return make_act(verb, {"owner": scene.store.owner.username}, actor=scene.actor)


def archiving(scene: Scene) -> None:
    """What the owner has is to be archived, and nobody has begun with it."""
    make_act(BulkVerb.ARCHIVE, {"owner": scene.store.owner.username})


def newest_act(scene: Scene) -> int:
    return int(BulkAct.objects.latest("pk").pk)


def promote(scene: Scene, actor: Actor) -> None:
    """The owner's undeclared field is promoted."""
    field_promote(
        user_id=scene.store.owner.pk,
        entity_type=THING,
        field=scene.store.fragment.fragment_key,
        declaration={"type": "string"},
        actor=actor,
    )


def mismatched(scene: Scene) -> None:
    """A value of a field of the owner's extension waits, since it does not fit; of a source of its own, that nobody
    retracts."""
    make_run(records=[{"k": "one", "mine": 5}], user=scene.store.owner, source="misfits")


def approved(scene: Scene) -> Proposal:
    """A proposal that others wrote and approved."""
    return make_approved(edits=[{"op": "add_field", "field": "shared", "declaration": {"type": "string"}}])


def absorbed_and_undone(scene: Scene) -> None:
    """What the owner's extension declared was absorbed by a proposal that is undone by now."""
    extension_add_fields(
        entity_type=THING,
        user_id=scene.store.owner.pk,
        declarations=[Declaration.from_json("shared", {"type": "string"})],
        actor=SHELL,
    )
    proposal = approved(scene)
    proposal_apply(proposal_id=proposal.pk, actor=schema_admin())
    extensions_settle(entity_type=THING, after_user=0, actor=SHELL)
    proposal_undo(proposal_id=proposal.pk, actor=schema_admin())


def grant_that_is_over(scene: Scene) -> None:
    """The guards take a grant whose end has passed; it is the next that ends."""
    QuotaGrant.objects.create(
        user=scene.store.owner,
        max_fields=300,
        until=timezone.now() - timedelta(seconds=1),
        granted_by_name="me",
    )


def old_ledger(scene: Scene) -> None:
    Job.objects.create(
        kind="work", queue="recompute", requested_at=NOON, state=JobState.DONE, finished_at=NOON
    )


def trim(scene: Scene) -> None:
    [jobs] = [ledger for ledger in ledgers_registered() if ledger.name == "jobs"]
    ledger_trim(ledger=jobs, cutoff=timezone.now(), actor=scene.actor)


def own(scene: Scene) -> dict[str, Any]:
    return {"entity_type": OWN, "user_id": scene.store.owner.pk, "actor": scene.actor}


def extended(scene: Scene) -> dict[str, Any]:
    return {"entity_type": THING, "user_id": scene.store.owner.pk, "actor": scene.actor}


def refused_field(scene: Scene) -> dict[str, Any]:
    return {**extended(scene), "name": scene.store.fragment.fragment_key}


def ignored(scene: Scene) -> dict[str, Any]:
    return {"pattern": "X-*", "user_id": scene.store.owner.pk, "actor": scene.actor}


def decided(scene: Scene) -> dict[str, Any]:
    return {"request_id": scene.request.pk, "actor": scene.actor}


def proposed(scene: Scene) -> dict[str, Any]:
    return {"proposal_id": proposal_of(scene).pk, "actor": scene.actor}


def reviewed(scene: Scene) -> dict[str, Any]:
    return {**proposed(scene), "content_hash": proposal_of(scene).content_hash, "note": "so"}


def found(scene: Scene, *, is_eligible: bool = True) -> dict[str, Any]:
    """What an analysis found of the owner's field."""
    return {
        "entity_type": THING,
        "subject": scene.store.fragment.fragment_key,
        "evidence": {"pattern": "field", "eligible": is_eligible, "users": 10},
    }


def drafted(scene: Scene, actor: Actor) -> Found:
    """There is a draft about it."""
    return proposal_found(
        **found(scene),
        title="Add it",
        reason="many have it",
        edits=[{**ADDED, "field": scene.store.fragment.fragment_key}],
        actor=actor,
    )


def candidate(scene: Scene) -> Candidate:
    told = found(scene)
    edits: list[Json] = [{**ADDED, "field": told["subject"]}]
    return Candidate(told["subject"], "Add it", "many have it", edits, told["evidence"])


def view_of(scene: Scene, *, is_shared: bool = False) -> SavedView:
    """A view that they have saved, or that somebody else has where they cannot."""
    return SavedView.objects.create(
        login=scene.user or scene.store.other_login,
        list_name="kernel_job",
        name="Failed",
        query={"state": "failed"},
        is_shared=is_shared,
    )


def viewed(scene: Scene) -> dict[str, Any]:
    return {"view_id": SavedView.objects.latest("pk").pk, "actor": scene.actor}


def narrowed(scene: Scene) -> dict[str, Any]:
    """The list of jobs, as somebody narrowed it."""
    listed = Listed("kernel_job", "kernel.view_job", frozenset({"state"}))
    return {"listed": listed, "name": "Failed", "query": {"state": "failed"}, "actor": scene.actor}


ADDED: JsonObject = {"op": "add_field", "field": "z", "declaration": {"type": "string"}}


SERVICES = [
    line("save views", view_save, lambda s: view_save(**narrowed(s)), audited=False),
    line(
        "share views",
        view_save,
        lambda s: view_save(**narrowed(s), is_shared=True),
        said="for others as well",
    ),
    line("share views", view_share, lambda s: view_share(**viewed(s)), first=view_of),
    line(
        "change views",
        view_unshare,
        lambda s: view_unshare(**viewed(s)),
        first=lambda s: view_of(s, is_shared=True),
    ),
    line(
        "change views",
        view_rename,
        lambda s: view_rename(**viewed(s), name="Broken"),
        first=view_of,
        audited=False,
    ),
    line("change views", view_delete, lambda s: view_delete(**viewed(s)), first=view_of, audited=False),
    line(
        "erase",
        owner_erase,
        lambda s: owner_erase(user_id=s.store.owner.pk, reason="asked", actor=s.actor),
    ),
    line(
        "erase",
        entity_erase,
        lambda s: entity_erase(
            user_id=s.store.owner.pk,
            entity_type=THING,
            entity_key=s.store.snapshot.entity_key,
            reason="wrong",
            actor=s.actor,
        ),
    ),
    line(
        "register schemas",
        schema_register,
        lambda s: schema_register(**own(s), document=make_definition(a="string", z="number")),
    ),
    line("register schemas", schema_update, lambda s: schema_update(**own(s), base="1.1.0", edits=[ADDED])),
    line(
        "activate schemas",
        schema_activate,
        lambda s: schema_activate(version_id=s.store.own_draft.pk, actor=s.actor),
    ),
    line("activate schemas", schema_deactivate, lambda s: schema_deactivate(**own(s))),
    line("activate schemas", schema_retire, lambda s: schema_retire(**own(s))),
    line(
        "set compatibility",
        compatibility_set,
        lambda s: compatibility_set(entity_type=OWN, mode=Mode.FULL, actor=s.actor),
    ),
    line(
        "extend schemas",
        extension_save,
        lambda s: extension_save(**extended(s), document={"additional_fields": {"z": {"type": "string"}}}),
    ),
    line(
        "extend schemas",
        extension_add_fields,
        lambda s: extension_add_fields(
            **extended(s), declarations=[Declaration.from_json("z", {"type": "string"})]
        ),
    ),
    line(
        "extend schemas",
        extension_remove_fields,
        lambda s: extension_remove_fields(**extended(s), names=["mine"]),
    ),
    line("extend schemas", extension_remove, lambda s: extension_remove(**extended(s))),
    line(
        "extend schemas",
        extensions_settle,
        lambda s: extensions_settle(entity_type=LATE, after_user=0, actor=s.actor),
    ),
    # --- patterns ---
    line("draft what is found", proposal_found, lambda s: drafted(s, s.actor)),
    line(
        "draft what is found",
        proposal_faded,
        lambda s: proposal_faded(**found(s, is_eligible=False), actor=s.actor),
        first=lambda s: drafted(s, SHELL),
    ),
    line(
        "draft what is found",
        candidates_propose,
        lambda s: candidates_propose(entity_type=THING, candidates=[candidate(s)], actor=s.actor),
    ),
    line(
        "draft proposals",
        trial_request,
        lambda s: trial_request(proposal_id=Proposal.objects.latest("pk").pk, actor=s.actor),
        first=written,
    ),
    # --- quotas ---
    line(
        "ask for quota",
        quota_request_create,
        lambda s: quota_request_create(
            user_id=make_user().pk, actor=s.actor, reason="they grow", max_schemas=20
        ),
    ),
    line(
        "withdraw",
        quota_request_withdraw,
        lambda s: quota_request_withdraw(**decided(s)),
    ),
    line("decide requests", quota_request_approve, lambda s: quota_request_approve(**decided(s))),
    line(
        "decide requests",
        quota_request_approve,
        lambda s: quota_request_approve(
            **decided(s), max_schemas=11, until=timezone.now() + timedelta(days=1)
        ),
        said="with less, until a time",
    ),
    line("decide requests", quota_request_reject, lambda s: quota_request_reject(**decided(s), note="no")),
    line(
        "decide requests",
        quota_requests_decide,
        lambda s: decide_all(s, "approve"),
        said="approving",
    ),
    line("decide requests", quota_requests_decide, lambda s: decide_all(s, "reject"), said="rejecting"),
    line(
        "raise maxima",
        quota_set_maximum,
        lambda s: quota_set_maximum(user_id=s.store.owner.pk, actor=s.actor, note="by hand", max_schemas=20),
        said="raising",
    ),
    line(
        "lower maxima",
        quota_set_maximum,
        lambda s: quota_set_maximum(user_id=s.store.owner.pk, actor=s.actor, note="less", max_schemas=1),
        said="lowering",
    ),
    line(
        "lower maxima",
        quota_grants_expire,
        lambda s: quota_grants_expire(actor=s.actor),
        first=grant_that_is_over,
    ),
    line(
        "control jobs",
        quota_recount,
        lambda s: quota_recount(user_id=s.store.owner.pk, actor=s.actor),
        first=diverge,
    ),
    line("control jobs", quotas_repair, lambda s: list(quotas_repair(actor=s.actor)), first=diverge),
    line(
        "control jobs",
        quotas_verify_repair,
        lambda s: quotas_verify_repair(s.actor, Finding("", {"user_id": s.store.owner.pk})),
        first=diverge,
    ),
    # --- records ---
    line(
        "ingest",
        ingest,
        lambda s: ingest(
            source=records(),
            options=IngestOptions(entity_type=THING, key_field="k", user_id=s.store.owner.pk),
            actor=s.actor,
        ),
        audited=False,
    ),
    line(
        "ingest",
        ingest_foresee,
        lambda s: ingest_foresee(
            source=records(),
            options=IngestOptions(entity_type=THING, key_field="k", user_id=s.store.owner.pk),
            actor=s.actor,
        ),
        writes=False,
        audited=False,
    ),
    line(
        "retract sources",
        source_retract,
        lambda s: source_retract(source_id=s.store.source.pk, reason="the wrong file", actor=s.actor),
    ),
    line(
        "retract sources",
        retraction_undo,
        lambda s: retraction_undo(source_id=s.store.source.pk, actor=s.actor),
        first=retracted,
    ),
    line(
        "correct values",
        field_correct,
        lambda s: field_correct(
            entity_id=str(s.store.snapshot.pk),
            wanted=Wanted("colour", "x"),
            reason="a mistake",
            actor=s.actor,
        ),
    ),
    line(
        "correct values",
        correction_foresee,
        lambda s: correction_foresee(
            entity_id=str(s.store.snapshot.pk), wanted=Wanted("colour", "x"), actor=s.actor
        ),
        writes=False,
        audited=False,
    ),
    line(
        "control jobs",
        snapshot_repair,
        lambda s: snapshot_repair(
            divergence=Divergence(str(s.store.snapshot.pk), THING, s.store.owner.pk, ("values",)),
            actor=s.actor,
        ),
        first=falsify,
    ),
    line(
        "control jobs",
        snapshots_verify_repair,
        lambda s: snapshots_verify_repair(
            s.actor,
            Divergence(str(s.store.snapshot.pk), THING, s.store.owner.pk, ("values",)).finding,
        ),
        first=falsify,
    ),
    line(
        "control jobs",
        verification_make,
        lambda s: verification_make(extent=Extent(), actor=s.actor),
        audited=False,
        said="without repair",
    ),
    line(
        "control jobs",
        verification_make,
        lambda s: verification_make(extent=Extent(), actor=s.actor, is_repair=True),
        first=falsify,
        said="with repair",
    ),
    line(
        "control jobs",
        verification_make,
        lambda s: verification_make(extent=Extent(), actor=s.actor, is_repair=True, is_dry_run=True),
        first=falsify,
        writes=False,
        audited=False,
        said="dry",
    ),
    line(
        "control jobs",
        recomputation_request,
        lambda s: recomputation_request(entity_type=THING, user_id=None, actor=s.actor),
    ),
    line(
        "control jobs",
        recomputation_inline,
        lambda s: recomputation_inline(
            entity_type=THING, user_id=s.store.owner.pk, actor=s.actor, is_refresh=True
        ),
    ),
    # --- fragments ---
    line(
        "control jobs",
        lifecycle_inline,
        lambda s: lifecycle_inline(moves=CLEANUP, name="cleanup", actor=s.actor),
        first=lambda s: put(LifecycleState.PROMOTED),
    ),
    line(
        "control jobs",
        aggregates_verify_repair,
        lambda s: aggregates_verify_repair(s.actor, falsified_aggregate(s)),
    ),
    line("control jobs", aggregates_rebuild_request, lambda s: aggregates_rebuild_request(actor=s.actor)),
    line(
        "control jobs",
        aggregates_rebuild_inline,
        lambda s: aggregates_rebuild_inline(actor=s.actor),
        first=falsified_aggregate,
    ),
    line(
        "restore fragments",
        fragments_restore,
        lambda s: fragments_restore(user_id=s.store.owner.pk, entity_type=THING, actor=s.actor),
        first=lambda s: put(LifecycleState.PENDING_DELETION),
    ),
    *(
        line(
            row,
            bulk_act_begin,
            partial(in_bulk, verb),
            said=verb.value,
        )
        for row, verb in (
            ("archive fragments", BulkVerb.ARCHIVE),
            ("restore fragments", BulkVerb.RESTORE),
            ("promote fields", BulkVerb.PROMOTE),
            ("dismiss fields", BulkVerb.DISMISS),
        )
    ),
    line(
        "archive fragments",
        bulk_act_cancel,
        lambda s: bulk_act_cancel(act_id=newest_act(s), actor=s.actor),
        first=archiving,
    ),
    line(
        "archive fragments",
        bulk_act_resume,
        lambda s: bulk_act_resume(act_id=newest_act(s), actor=s.actor),
        first=archiving,
    ),
    line(
        "archive fragments",
        fragments_archive,
        lambda s: fragments_archive(
            user_id=s.store.owner.pk,
            entity_type=THING,
            fragment_key=s.store.fragment.fragment_key,
            actor=s.actor,
        ),
    ),
    line(
        "set enhancement",
        enhancement_set,
        lambda s: enhancement_set(
            user_id=s.store.owner.pk, entity_type=THING, mode=EnhancementMode.OFF, actor=s.actor
        ),
    ),
    line(
        "set enhancement",
        enhancement_turn,
        lambda s: enhancement_turn(user_id=s.store.owner.pk, entity_type=THING, actor=s.actor),
        first=eligible,
    ),
    line(
        "apply proposals",
        proposal_apply,
        lambda s: proposal_apply(proposal_id=Proposal.objects.latest("pk").pk, actor=s.actor),
        first=approved,
    ),
    line(
        "apply proposals",
        proposal_undo,
        lambda s: proposal_undo(proposal_id=Proposal.objects.latest("pk").pk, actor=s.actor),
        first=lambda s: proposal_apply(proposal_id=approved(s).pk, actor=schema_admin()),
    ),
    line(
        "extend schemas",
        extensions_restore,
        lambda s: extensions_restore(
            proposal_id=Proposal.objects.latest("pk").pk, after_user=0, actor=s.actor
        ),
        first=absorbed_and_undone,
    ),
    line("promote fields", field_promote, lambda s: promote(s, s.actor)),
    line(
        "extend schemas",
        field_converters_add,
        lambda s: field_converters_add(**extended(s), field="mine", converters=["number_to_string"]),
    ),
    line(
        "promote fields",
        promotion_undo,
        lambda s: promotion_undo(promotion_id=Promotion.objects.latest("pk").pk, actor=s.actor),
        first=lambda s: promote(s, SHELL),
    ),
    line("dismiss fields", field_dismiss, lambda s: field_dismiss(**refused_field(s))),
    line(
        "dismiss fields",
        field_snooze,
        lambda s: field_snooze(**refused_field(s), until=timezone.now() + timedelta(days=1)),
    ),
    line(
        "dismiss fields",
        field_recall,
        lambda s: field_recall(**refused_field(s)),
        first=lambda s: field_dismiss(**{**refused_field(s), "actor": SHELL}),
    ),
    line(
        "ignore fields",
        field_dismiss,
        lambda s: field_dismiss(**{**refused_field(s), "user_id": None}),
        said="over all users",
    ),
    line(
        "ignore fields",
        field_snooze,
        lambda s: field_snooze(
            **{**refused_field(s), "user_id": None}, until=timezone.now() + timedelta(days=1)
        ),
        said="over all users",
    ),
    line(
        "ignore fields",
        field_recall,
        lambda s: field_recall(**{**refused_field(s), "user_id": None}),
        first=lambda s: field_dismiss(**{**refused_field(s), "user_id": None, "actor": SHELL}),
        said="over all users",
    ),
    line("ignore fields", pattern_ignore, lambda s: pattern_ignore(**ignored(s))),
    line(
        "ignore fields",
        pattern_recall,
        lambda s: pattern_recall(**ignored(s)),
        first=lambda s: pattern_ignore(**{**ignored(s), "actor": SHELL}),
    ),
    # --- proposals ---
    line(
        "draft proposals",
        proposal_draft,
        lambda s: proposal_draft(entity_type=THING, title="More", edits=[ADDED], actor=s.actor),
    ),
    line(
        "draft proposals", proposal_edit, lambda s: proposal_edit(**proposed(s), edits=[ADDED]), first=written
    ),
    line("draft proposals", proposal_submit, lambda s: proposal_submit(**proposed(s)), first=written),
    line("draft proposals", proposal_rebase, lambda s: proposal_rebase(**proposed(s)), first=stale),
    line(
        "draft proposals",
        proposal_comment,
        lambda s: proposal_comment(**proposed(s), text="so"),
        first=written,
    ),
    line(
        "withdraw proposals",
        proposal_withdraw,
        lambda s: proposal_withdraw(**proposed(s)),
        first=written,
    ),
    line("approve proposals", proposal_approve, lambda s: proposal_approve(**reviewed(s)), first=in_review),
    line(
        "decide proposals",
        proposal_request_changes,
        lambda s: proposal_request_changes(**reviewed(s)),
        first=in_review,
    ),
    line("decide proposals", proposal_reject, lambda s: proposal_reject(**reviewed(s)), first=in_review),
    line("end proposals", proposals_expire, lambda s: proposals_expire(actor=s.actor), first=expiring),
    # --- what leaves ---
    line(
        "see values",
        export_stream,
        lambda s: export_stream(
            actor=s.actor,
            permission="snapshots.see_values",
            export=Export("observations", THING, {}, ExportFormat.CSV, Door.PAGE),
            lines=lambda: observations_with_fragments(entity_type=THING),
            columns=OBSERVATION_COLUMNS,
        ),
        # It leaves its trace when it is read.
        writes=False,
        audited=False,
    ),
    # --- jobs ---
    line("control jobs", job_pause, lambda s: job_pause(job_id=s.store.job.pk, actor=s.actor)),
    line("control jobs", job_cancel, lambda s: job_cancel(job_id=s.store.job.pk, actor=s.actor)),
    line("control jobs", job_resume, lambda s: job_resume(job_id=s.store.paused_job.pk, actor=s.actor)),
    line("control jobs", job_retry, lambda s: job_retry(job_id=s.store.failed_job.pk, actor=s.actor)),
    line("control jobs", ledger_trim, trim, first=old_ledger),
    line("pause everything", store_pause, lambda s: store_pause(actor=s.actor, reason="lunch")),
    line(
        "pause everything",
        store_resume,
        lambda s: store_resume(actor=s.actor),
        first=lambda s: store_pause(actor=SHELL),
    ),
]

#: What takes an actor and asks them for nothing, and why that is right.
UNGUARDED = {
    "fragments.services.bulk_acts.act_finish": "the end of an act, by its job",
    "fragments.services.bulk_pieces.piece_act": "a part of an act, by its job, which asks before",
    "fragments.services.own_schemas.own_put_in_force": "part of promoting, undoing, converting, whose services ask",
    "schemaevo.kernel.audit.audit_record": "writes down what a service has allowed",
    "schemaevo.kernel.export_runs.export_audited": "writes down what export_stream, or a command, has allowed",
    "schemaevo.kernel.logins.password_watched": "writes down what the admin has allowed",
    "schemaevo.kernel.logins.superuser_reset": "the way back in: only the command reset_admin calls it",
    "schemaevo.kernel.demo_logins.demo_logins_ensure": "only load_demo calls it, and not in production",
    "schemaevo.kernel.demo_logins.demo_passwords_reset": "only up and reset_admin call it, and not in production",
    "registry.services.activation.version_put_in_force": "part of activating, applying, undoing, under their lock",
    "registry.services.activation.version_take_out_of_force": "part of deactivating and undoing, under their lock",
    "registry.services.schemas.version_register": "part of registering, applying and restoring, under their lock",
    "registry.services.activation.versions_retire": "part of schema_retire and of settling, under their lock",
    "registry.services.extensions.revision_write": "part of saving and of settling, under their lock",
    "registry.services.proposal_moves.proposal_move": "part of every act about a proposal, under its lock",
    "registry.services.proposal_upkeep.proposals_outdate": "part of changing what is in force, whose services ask",
    "registry.services.quotas.grant_write": "part of deciding and of setting maxima, under their lock",
    "registry.services.quotas.quota_may_pass": "part of adoption and undo, whose services ask",
}
