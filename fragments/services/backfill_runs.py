"""Going through all fields of which fragments wait, or are to wait again: by a job, from wherever it was stopped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import NamedTuple

from django.db.models import F, Max, QuerySet, Value
from django.db.models.functions import Now

from fragments.models import RawFragmentAggregate
from fragments.models_promotions import Promotion, PromotionState
from fragments.selectors_promotion_jobs import PROMOTE as PROMOTE
from fragments.services import backfill
from fragments.services.backfill import (
    Chunk,
    Spot,
    fields_concerned,
    fields_waiting,
    fragments_promote,
    fragments_take_back,
    spots_promoted,
    spots_waiting,
)
from registry.domain.targets import of_target
from registry.services.proposal_effects import (
    fields_to_take_back,
    newest_effect,
    promoted_count,
    promoted_note,
    taken_back_count,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.jobs import Lease
from snapshots.services.waiting import OWNERS_AT_ONCE, owners_after


class Way(IntEnum):
    """Which way the fragments of a field go. Of one user those that go back come first."""

    BACK = 0
    FORTH = 1


class Step(NamedTuple):
    """One field of one user, and which way its fragments go; steps are made in the order of these."""

    user_id: int
    way: Way
    field: str


@dataclass(frozen=True, slots=True)
class _Course:
    """How far a run has got, kept as the cursor of its job: within `step`, up to `spot`; with none the step is done.
    What the step settles are the promotions up to `last`, the newest when it began; what the run settles are the
    effects of proposals up to `effect`, the newest when that began."""

    step: Step | None = None
    spot: Spot | None = None
    last: int = 0
    effect: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def at(self, step: Step) -> _Course:
        """The course at the beginning of a step, or, where it is in it, as it is."""
        return self if self.step == step else replace(self, step=step, spot=None, last=0)

    def is_past(self, step: Step) -> bool:
        """Whether nothing of the step is left to do."""
        return self.step is not None and (step < self.step or (step == self.step and self.spot is None))

    def after(self, chunk: Chunk, spot: Spot | None, last: int) -> _Course:
        """The course once a chunk of its step is done, up to that spot, or with none all of it."""
        counts = dict(self.counts)
        for name, count in _counts_of(chunk).items():
            counts[name] = counts.get(name, 0) + count
        return replace(self, spot=spot, last=last, counts=counts)

    def to_json(self) -> Json:
        """The course as a cursor."""
        return {
            "step": None if self.step is None else [*self.step],
            "spot": None if self.spot is None else [*self.spot],
            "last": self.last,
            "effect": self.effect,
            "counts": {**self.counts},
        }

    @classmethod
    def from_json(cls, cursor: Json) -> _Course | None:
        """The course that a cursor names; None where there is none, or one of another release."""
        match cursor:
            case {
                "step": [int(user_id), int(way), str(name)],
                "spot": spot,
                "last": int(last),
                "effect": int(effect),
                "counts": dict(counts),
            }:
                pass
            case _:
                return None
        place: Spot | None = None
        match spot:
            case [str(entity_id), int(fragment_id)]:
                place = Spot(entity_id, fragment_id)
        known = {name: count for name, count in counts.items() if isinstance(count, int)}
        return cls(Step(user_id, Way(way), name), place, last, effect, known)


def promote_run(lease: Lease) -> JsonObject:
    """Of every declared field of the target the fragments that fit are observations, and those of undone promotions
    wait again. Gives the counts, which the audit log keeps."""
    entity_type, only_owner = of_target(lease.target)
    course = _Course.from_json(lease.cursor)
    if course is None:
        course = _Course(effect=newest_effect(entity_type=entity_type))
        if only_owner is not None:
            lease.set_total(_expected(entity_type, only_owner))
    for step in _steps(lease, entity_type, only_owner, course):
        course = course.at(step)
        for spots, is_last in _pieces(entity_type, step, course.spot):
            with lease.batch() as batch:
                act = fragments_take_back if step.way is Way.BACK else fragments_promote
                chunk = act(entity_type=entity_type, user_id=step.user_id, field=step.field, spots=spots)
                last = course.last if course.spot else _newest(entity_type, step)
                _settle(entity_type, step, chunk, last, is_first=course.spot is None, is_last=is_last)
                _count_for_proposals(entity_type, step.field, chunk)
                course = course.after(chunk, None if is_last else spots[-1], last)
                batch.done(sum(_counts_of(chunk).values()))
                batch.cursor = course.to_json()
    if only_owner is None:
        with lease.batch():
            promoted_note(entity_type=entity_type, up_to=course.effect)
    return {**course.counts}


def _count_for_proposals(entity_type: str, field: str, chunk: Chunk) -> None:
    if chunk.promoted:
        promoted_count(
            entity_type=entity_type, field=field, promoted=chunk.promoted, converted=chunk.converted
        )
    if chunk.taken_back:
        taken_back_count(entity_type=entity_type, field=field, taken_back=chunk.taken_back)


def _steps(lease: Lease, entity_type: str, only_owner: int | None, course: _Course) -> Iterator[Step]:
    """What is to do from there on, a page of owners after the other."""
    begun = course.step
    undone = fields_to_take_back(entity_type=entity_type)
    after = begun.user_id - 1 if begun else 0
    while owners := _owners(entity_type, only_owner, after):
        live = Promotion.objects.filter(
            entity_type=entity_type,
            user__in=owners,
            state__in=[PromotionState.RUNNING, PromotionState.UNDOING],
        )
        steps = {
            Step(user_id, Way.BACK if state == PromotionState.UNDOING else Way.FORTH, name)
            for user_id, name, state in live.values_list("user_id", "fragment_key", "state")
        }
        if undone:
            concerned = fields_concerned(entity_type, owners, undone)
            steps |= {Step(user_id, Way.BACK, name) for user_id, name in concerned}
        steps |= {Step(user_id, Way.FORTH, name) for user_id, name in fields_waiting(entity_type, owners)}
        if begun is not None and begun.user_id in owners:
            # Where a run was stopped in the midst of a step, nothing may be left of what asked for it.
            steps.add(begun)
        yield from sorted(step for step in steps if not course.is_past(step))
        after = owners[-1]
        lease.renew()


def _owners(entity_type: str, only_owner: int | None, after: int) -> list[int]:
    if only_owner is None:
        return owners_after(entity_type, after, OWNERS_AT_ONCE)
    return [only_owner] if after < only_owner else []


def _pieces(entity_type: str, step: Step, after: Spot | None) -> Iterator[tuple[list[Spot], bool]]:
    """The fragments of the field from there on, chunk by chunk, and whether it is the last, which may be empty."""
    look = spots_promoted if step.way is Way.BACK else spots_waiting
    is_last = False
    while not is_last:
        page = look(entity_type=entity_type, user_id=step.user_id, field=step.field, after=after)
        is_last = len(page) < backfill.PAGE_FRAGMENTS
        size = backfill.CHUNK_FRAGMENTS
        pieces = [page[start : start + size] for start in range(0, len(page), size)] or [[]]
        for piece in pieces:
            yield piece, is_last and piece is pieces[-1]
        after = page[-1] if page else after


def _newest(entity_type: str, step: Step) -> int:
    """The newest promotion of the field. Only the newest can be undone, so up to it all that is being undone was so
    when the step began."""
    found = _promotions(entity_type, step).aggregate(newest=Max("pk"))
    return found["newest"] or 0


def _settle(entity_type: str, step: Step, chunk: Chunk, last: int, *, is_first: bool, is_last: bool) -> None:
    """The promotions of the field that are concerned count what was done, and are over where nothing is left."""
    if not last:
        return
    state, end, finished_at = _ENDS[step.way]
    concerned = _promotions(entity_type, step).filter(pk__lte=last, state=state)
    if step.way is Way.FORTH:
        # A pass that begins anew looks at all that did not fit again.
        misfit = Value(chunk.misfit) if is_first else F("misfit_count") + chunk.misfit
        concerned.update(promoted_count=F("promoted_count") + chunk.promoted, misfit_count=misfit)
    if is_last:
        ended = list(concerned.order_by("pk"))
        concerned.update(state=end, **{finished_at: Now()})
        for promotion in ended:
            audit_record(
                actor=Actor.system("promotion"),
                action=f"promotion.{end.value}",
                target_type="promotion",
                target_id=promotion.pk,
                before={"state": state.value},
                after={
                    "state": end.value,
                    "entity_type": entity_type,
                    "owner": step.user_id,
                    "field": step.field,
                    "promoted": promotion.promoted_count,
                    "misfit": promotion.misfit_count,
                },
            )


_ENDS = {
    Way.BACK: (PromotionState.UNDOING, PromotionState.UNDONE, "undone_at"),
    Way.FORTH: (PromotionState.RUNNING, PromotionState.DONE, "finished_at"),
}


def _promotions(entity_type: str, step: Step) -> QuerySet[Promotion]:
    return Promotion.objects.filter(user_id=step.user_id, entity_type=entity_type, fragment_key=step.field)


def _expected(entity_type: str, user_id: int) -> int:
    """About how many fragments are to be looked at, by their aggregates."""
    names = [name for _, name in fields_waiting(entity_type, [user_id])]
    found = RawFragmentAggregate.objects.filter(
        user_id=user_id, entity_type=entity_type, fragment_key__in=names
    ).values_list("sample_count", flat=True)
    return max(0, sum(found))


def _counts_of(chunk: Chunk) -> dict[str, int]:
    counts = {"promoted": chunk.promoted, "misfit": chunk.misfit, "taken_back": chunk.taken_back}
    return {name: count for name, count in counts.items() if count}
