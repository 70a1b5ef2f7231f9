"""Acts in bulk in tests: asked for by the parameters of a list, and done by their jobs."""

from __future__ import annotations

from typing import Any

from fragments.models import VERBS_OF, BulkAct, BulkList, BulkState, BulkVerb, LifecycleState
from fragments.selectors_bulk import ACT
from fragments.selectors_narrowed import RowFilter
from fragments.services.bulk_acts import bulk_act_begin
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobState, User
from tests.factories import NOON, SHELL, THING, make_definition, make_run, make_version
from tests.lifecycle import put

LIST_OF = {verb: listed for listed, verbs in VERBS_OF.items() for verb in verbs}


def make_filter(verb: BulkVerb, **given: str) -> RowFilter:
    """The filter that these parameters of the verb's list say."""
    return RowFilter.read(LIST_OF[verb], given)


def make_act(verb: BulkVerb, given: dict[str, str] | None = None, **more: Any) -> BulkAct:
    """An act that was asked for, and whose job is owed."""
    wanted: dict[str, Any] = {
        "actor": SHELL,
        "reason": "a test wants it",
        "is_everything_meant": True,
        **more,
    }
    return bulk_act_begin(filtered=make_filter(verb, **(given or {})), verb=verb, **wanted)


def make_done(*, user: User) -> BulkAct:
    """An act on what that user has, which ended long ago."""
    return BulkAct.objects.create(
        verb=BulkVerb.DISMISS,
        listed=BulkList.FIELDS,
        filter={"owner": user.pk},
        reason="they are noise",
        state=BulkState.DONE,
        bound_id=9,
        last_id=9,
        asked_count=3,
        matched_count=3,
        done_count=2,
        skipped={"dismissed": 1},
        refusals=[
            {
                "id": 1,
                "owner": user.pk,
                "entity_type": THING,
                "field": "size",
                "code": "dismissed",
                "message": "",
            }
        ],
        requested_by_name="tests",
        finished_at=NOON,
    )


def work(act: BulkAct) -> BulkAct:
    """Its job has run, as often as it is owed."""
    while job := Job.objects.filter(kind=ACT, target=str(act.pk), state=JobState.PENDING).first():
        run_job(str(job.pk))
        job.refresh_from_db()
        assert not job.error, job.error
    act.refresh_from_db()
    return act


def stock(*, user: User, entities: int = 3, **fields: Any) -> None:
    """So many records of a type with a schema, each with these undeclared fields."""
    records = [
        {"k": f"k{n}", **{name: (n if value is ... else value) for name, value in fields.items()}}
        for n in range(entities)
    ]
    make_run(user=user, records=records)


def declare() -> None:
    """Of the things of everybody nothing but their key is declared."""
    make_version(document=make_definition(k="string"))


def put_field(name: str, state: LifecycleState) -> None:
    """All fragments of that field are in that state."""
    put(state, fragment_key=name)


__all__ = ["BulkList", "declare", "make_act", "make_done", "make_filter", "put_field", "stock", "work"]
