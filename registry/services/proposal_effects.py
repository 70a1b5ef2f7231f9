"""What applying a proposal, and undoing it, does field by field: counted by the very jobs that do it.

Whoever absorbs, gives back, promotes or takes back counts it in the transaction that does so. Without a proposal whose
effect is still being counted that is one look into a small index.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models import F, Max
from django.db.models.functions import Now

from registry.domain.edit_documents import parse_edits
from registry.domain.edits import ResetKindOrder, SetKindOrder
from registry.domain.targets import job_target
from registry.models import Proposal, ProposalAct, ProposalEffect
from schemaevo.kernel.models import LIVE_JOB_STATES, Job


def effects_begin(*, proposal: Proposal, act: ProposalAct) -> None:
    """What becomes of every field that the proposal speaks of is counted from now on, for this proposal alone."""
    fields = fields_of(proposal)
    open_ones = ProposalEffect.objects.filter(entity_type=proposal.entity_type, field__in=fields)
    open_ones.filter(settled_at__isnull=True).update(settled_at=Now())
    open_ones.filter(promoted_at__isnull=True).update(promoted_at=Now())
    ProposalEffect.objects.bulk_create(
        ProposalEffect(proposal=proposal, act=act, entity_type=proposal.entity_type, field=field)
        for field in fields
    )


def fields_of(proposal: Proposal) -> list[str]:
    """The names that its edits speak of, each once."""
    edits = parse_edits(proposal.edits)
    return sorted({edit.field for edit in edits if not isinstance(edit, (SetKindOrder, ResetKindOrder))})


def newest_effect(*, entity_type: str) -> int:
    """The newest effect of the type, 0 without one: a pass that begins now is about none that comes later."""
    newest = ProposalEffect.objects.filter(entity_type=entity_type).aggregate(newest=Max("pk"))["newest"]
    return newest or 0


def settled_note(*, entity_type: str, up_to: int) -> None:
    """A pass that began when `up_to` was the newest effect has absorbed what the global schema absorbs."""
    ProposalEffect.objects.filter(
        entity_type=entity_type, act=ProposalAct.APPLY, settled_at__isnull=True, pk__lte=up_to
    ).update(settled_at=Now())


def fields_to_take_back(*, entity_type: str) -> list[str]:
    """The fields of undone proposals of which fragments are to wait again, once every owner has theirs back: which do
    follows from what is declared then."""
    found = ProposalEffect.objects.filter(
        entity_type=entity_type, act=ProposalAct.UNDO, promoted_at__isnull=True, settled_at__isnull=False
    )
    return sorted(set(found.values_list("field", flat=True)))


def promoted_note(*, entity_type: str, up_to: int) -> None:
    """A pass that began when `up_to` was the newest effect went through all fragments."""
    found = ProposalEffect.objects.filter(entity_type=entity_type, promoted_at__isnull=True, pk__lte=up_to)
    # Before every owner had their fields back, a pass did nothing for an undo.
    found.exclude(act=ProposalAct.UNDO, settled_at__isnull=True).update(promoted_at=Now())


def absorbed_count(*, entity_type: str, names: Collection[str]) -> None:
    """One owner gave these fields up for those of the global schema."""
    _count(entity_type, ProposalAct.APPLY, {name: {"absorbed": 1} for name in names}, until="settled_at")


def given_back_count(*, entity_type: str, names: Collection[str]) -> None:
    """One owner got these fields back."""
    _count(entity_type, ProposalAct.UNDO, {name: {"given_back": 1} for name in names}, until="settled_at")


def promoted_count(*, entity_type: str, field: str, promoted: int, converted: int) -> None:
    """So many fragments of the field became observations, so many of them converted."""
    counts = {"promoted": promoted, "converted": converted}
    _count(entity_type, ProposalAct.APPLY, {field: counts}, until="promoted_at")


def taken_back_count(*, entity_type: str, field: str, taken_back: int) -> None:
    """So many fragments of the field wait again."""
    _count(entity_type, ProposalAct.UNDO, {field: {"taken_back": taken_back}}, until="promoted_at")


def jobs_owed(entity_type: str) -> list[str]:
    """The ids of the jobs about the whole type that are owed, or run, in the order they were asked for."""
    live = Job.objects.filter(target=job_target(entity_type, None), state__in=LIVE_JOB_STATES)
    return [str(job_id) for job_id in live.order_by("requested_at", "pk").values_list("pk", flat=True)]


def _count(
    entity_type: str, act: ProposalAct, counts: Mapping[str, Mapping[str, int]], *, until: str
) -> None:
    for field, more in sorted(counts.items()):
        grown = {name: F(name) + count for name, count in more.items() if count}
        if grown:
            ProposalEffect.objects.filter(
                entity_type=entity_type, act=act, field=field, **{f"{until}__isnull": True}
            ).update(**grown)
