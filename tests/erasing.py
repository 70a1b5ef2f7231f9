"""A store in which an owner is named, and their values stand, wherever the real services put them; and a search of
every column of every table for that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models.functions import Now
from django.test import Client

from fragments.models import BulkVerb, EnhancementMode, RawFragmentAggregate
from fragments.services.dismissals import field_dismiss
from fragments.services.enhancement import enhancement_set
from fragments.services.erasure import ERASE, entity_erase
from fragments.services.field_growth import GROWTH
from fragments.services.ignore_lists import pattern_ignore
from fragments.services.promotions import field_promote, promotion_undo
from registry.models import QuotaRequest
from registry.services.proposals import proposal_comment
from registry.services.quota_requests import quota_request_approve, quota_request_create
from registry.services.quotas import quota_set_maximum
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import Erasure, Job, JobState, SavedView, User
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_runs import verification_make
from snapshots.domain.identity import entity_id
from snapshots.models import Source
from snapshots.services.corrections import Wanted, field_correct
from snapshots.services.retractions import SETTLE_RETRACTION, source_retract
from tests.bulk import make_act, work
from tests.factories import (
    SHELL,
    THING,
    make_extension,
    make_login,
    make_run,
    make_user,
    make_version,
)
from tests.fragments.trials import tried
from tests.proposals.making import adding, make_base, make_draft

#: In every value, field name and key that only the owner has. The entity that is erased alone has its own.
MARK: Final = "zqmark"
ONE: Final = "zqone"
NAME: Final = "Quentin.Zephyr"
MAIL: Final = "q.zephyr@example.org"
FIRST: Final = "Quentinus"
GADGET: Final = "gadget"


@dataclass
class Marked:
    """The owner, somebody with the same fields, and what names the owner anywhere."""

    owner: User
    other: User
    names: list[str] = field(default_factory=lambda: [MARK, ONE, NAME, MAIL, FIRST])


def make_marked(*, entities: int = 3) -> Marked:
    """A store in which one of two owners stands in every table there is."""
    owner = make_user(username=NAME, email=MAIL, first_name=FIRST, is_staff=True)
    other = make_user(username="somebody-else")
    login = make_login(role="schema_admin")
    admin = Actor.login(login)
    make_base(k="string", colour="string", u="string")
    make_version(
        entity_type=GADGET,
        user=owner,
        document={"fields": {"k": {"type": "string"}, f"{MARK}_own": {"type": "string"}}},
    )
    make_extension(
        user=owner,
        document={"additional_fields": {f"{MARK}_ext": {"type": "string", "description": f"{MARK} text"}}},
    )
    _records(owner, other, entities)
    _refusals(owner, other)
    _governed(owner, admin)
    _written(owner, other, admin)
    _viewed(owner, other, admin)
    _signed_in(owner)
    return Marked(owner, other)


def _records(owner: User, other: User, entities: int) -> None:
    for who, mark in ((owner, MARK), (other, "plain")):
        make_run(
            user=who,
            source=f"{mark}-source",
            records=[
                {
                    "k": f"{mark}-key-{number}",
                    "colour": f"{mark}-value",
                    "size": f"{mark}-size-{number}",
                    "smell": f"{mark}-smell",
                    "weight": number,
                    **({f"{mark}_only": f"{mark}-sample"} if who is owner else {}),
                }
                for number in range(entities)
            ],
        )
    # The entity that may go alone, from a source of its own, with a field that no other has.
    make_run(
        user=owner,
        source=f"{ONE}-source",
        records=[
            {"k": f"{ONE}-key", "colour": f"{ONE}-{number}", f"{ONE}_only": f"{ONE}-sample", "size": ONE}
            for number in range(3)
        ],
    )
    _mended(owner)
    job = job_request(kind=GROWTH)
    run_job(str(job.pk))


def _mended(owner: User) -> None:
    """What a person put right, and an import that was taken back."""
    for mark in (MARK, ONE):
        key = f"{MARK}-key-0" if mark == MARK else f"{ONE}-key"
        field_correct(
            entity_id=entity_id(owner.pk, THING, key),
            wanted=Wanted("colour", f"{mark}-corrected"),
            reason=f"{mark} told us so",
            actor=SHELL,
        )
    source = f"{MARK}-gadgets"
    make_run(
        user=owner,
        entity_type=GADGET,
        source=source,
        records=[{"k": f"{MARK}-gadget", f"{MARK}_own": MARK, f"{MARK}_more": MARK}],
    )
    retracted = Source.objects.get(user=owner, name=source)
    source_retract(source_id=retracted.pk, reason=f"{MARK} sent the wrong file", actor=SHELL)
    run_job(str(Job.objects.get(kind=SETTLE_RETRACTION).pk))


def _refusals(owner: User, other: User) -> None:
    """Letters of runs of the owner alone, of runs of many, and of which nobody can tell whose they are."""
    bad = "no time"
    make_run(
        user=owner,
        observed_at_field="at",
        records=[{"k": f"{MARK}-refused", "at": bad}, {"k": f"{ONE}-key", "at": bad, "v": ONE}],
    )
    make_run(
        user_field="u",
        observed_at_field="at",
        records=[
            {"u": NAME, "k": f"{MARK}-letter", "at": bad},
            {"u": NAME, "k": f"{ONE}-key", "at": bad, "v": ONE},
            {"u": other.username, "k": "plain-letter", "at": bad},
            b'{"u": "%b", "k": "%b-broken", "v": "%b' % (NAME.encode(), MARK.encode(), MARK.encode()),
            b'{"u": "%b", "k": "%b-key", "v": "%b' % (NAME.encode(), ONE.encode(), ONE.encode()),
            b'{"u": "somebody-else", "k": "plain-broken',
        ],
    )


def _governed(owner: User, admin: Actor) -> None:
    enhancement_set(user_id=owner.pk, entity_type=THING, mode=EnhancementMode.OFF, actor=admin)
    field_dismiss(
        entity_type=THING, name=f"{MARK}_only", user_id=owner.pk, actor=admin, reason=f"{MARK} says no"
    )
    pattern_ignore(
        pattern=f"{MARK}_*", user_id=owner.pk, actor=admin, entity_type=THING, reason=f"{MARK} wants it"
    )
    # All of it is skipped: the first rows stand in the act by the names of their fields.
    act = make_act(
        BulkVerb.RESTORE, {"owner": NAME, "q": f"{MARK}_only"}, reason=f"as {NAME} and {ONE}-key want"
    )
    assert work(act).refusals
    work(make_act(BulkVerb.RESTORE, {}, reason="all"))
    for name, is_undone in (("weight", False), ("smell", True)):
        promoted = field_promote(
            user_id=owner.pk,
            entity_type=THING,
            field=name,
            declaration={"type": "number" if name == "weight" else "string"},
            actor=admin,
            note=f"{MARK} asked for it",
        )
        if is_undone:
            promotion_undo(promotion_id=promoted.promotion.pk, actor=admin, note=f"not for {MARK}")
    _run_all()
    request = quota_request_create(
        user_id=owner.pk,
        actor=Actor.login(make_login(role="operator")),
        reason=f"{MARK} grows",
        max_schemas=20,
        max_fields=None,
    )
    quota_request_approve(request_id=request.pk, actor=admin, note=f"{MARK} may")
    assert QuotaRequest.objects.get(pk=request.pk).state == "approved"
    quota_set_maximum(user_id=owner.pk, actor=admin, note=f"{MARK} less", max_fields=2)
    trial = tried(make_draft(edits=adding("size")))
    assert any(sample["owner"] == owner.pk for sample in trial.result["values"])


def _written(owner: User, other: User, admin: Actor) -> None:
    """What people wrote of the owner elsewhere, and what ledgers keep."""
    proposal = make_draft(edits=adding("taste"))
    proposal_comment(proposal_id=proposal.pk, actor=admin, text=f"Ask {NAME} at {MAIL}, or {ONE}-key.")
    quota_set_maximum(user_id=other.pk, actor=admin, note=f"as {NAME} has, or {ONE}-key", max_fields=300)
    audit_record(
        actor=Actor.login(owner), action="a.test", target_type="thing", target_id=1, reason=f"by {NAME}"
    )
    for key, mark in ((f"{MARK}-key-0", MARK), (f"{ONE}-key", ONE)):
        audit_record(
            actor=SHELL,
            action="snapshot.test",
            target_type="snapshot",
            target_id=entity_id(owner.pk, THING, key),
            after={"field": f"{mark}_only"},
            reason=f"{mark}: wrong",
        )
    RawFragmentAggregate.objects.filter(user=owner, fragment_key=f"{MARK}_only").update(sample_count=99)
    verification_make(extent=Extent(), actor=SHELL)
    RawFragmentAggregate.objects.filter(user=owner, fragment_key=f"{MARK}_only").update(
        sample_count=owner_fragments(owner, f"{MARK}_only")
    )
    Job.objects.create(
        kind="recompute_snapshots",
        target=THING,
        queue="recompute",
        state=JobState.FAILED,
        error=f"DataError: {MARK} and {ONE} are no numbers",
    )
    LogEntry.objects.create(
        user=User.objects.get(pk=owner.pk),
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(other.pk),
        object_repr=other.username,
        action_flag=2,
    )
    LogEntry.objects.create(
        user=make_login(),
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(owner.pk),
        object_repr=NAME,
        action_flag=2,
        change_message=f"{NAME} at {ONE}-key",
    )


def _viewed(owner: User, other: User, admin: Actor) -> None:
    """How people narrowed lists, by whatever names somebody there."""
    login = admin.require_login()
    for login_of_it, name, query in (
        (login, "by name", {"owner": NAME}),
        (login, "by mail", {"q": MAIL}),
        (login, f"of {FIRST}", {"type": THING}),
        (login, "by key", {"q": f"{MARK}-key-0"}),
        (login, "by the one key", {"key": f"{ONE}-key"}),
        (owner, "mine", {"q": MARK}),
        (login, "of another", {"owner": other.username}),
    ):
        SavedView.objects.create(
            login=login_of_it, list_name="snapshots_entitysnapshot", name=name, query=query, is_shared=True
        )


def owner_fragments(owner: User, name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM raw_fragments WHERE user_id = %s AND fragment_key = %s", [owner.pk, name]
        )
        return int(cursor.fetchone()[0])


def _signed_in(owner: User) -> None:
    client = Client()
    client.force_login(User.objects.get(pk=owner.pk), backend="django.contrib.auth.backends.ModelBackend")
    Client().post("/login/", {"username": NAME, "password": "wrong"})


def _run_all() -> None:
    """Every job that is owed has run."""
    while job := Job.objects.filter(state=JobState.PENDING).order_by("requested_at").first():
        run_job(str(job.pk))


def make_erased(*, user: User, entity_type: str = THING) -> Erasure:
    """An entity of the user that was erased long ago."""
    erasure = Erasure.objects.create(
        user=user,
        entity_type=entity_type,
        entity_id=uuid4(),
        reason="it was wrong",
        requested_by_name="tests",
        counts={"observations": 3, "entity_snapshots": 1},
    )
    Erasure.objects.filter(pk=erasure.pk).update(finished_at=Now())
    return erasure


def make_erased_entity(*, user: User, entity_type: str, entity_key: str) -> None:
    """One entity is erased; nothing of it is left."""
    asked = entity_erase(
        user_id=user.pk,
        entity_type=entity_type,
        entity_key=entity_key,
        reason="they asked for it",
        actor=SHELL,
    )
    run_job(str(asked.job.pk))
    asked.job.refresh_from_db()
    assert asked.job.state == JobState.DONE, asked.job.error


def run_erasure() -> Job:
    """The job that erases has run to its end."""
    job = Job.objects.filter(kind=ERASE).latest("requested_at")
    while job.state == JobState.PENDING:
        run_job(str(job.pk))
        job.refresh_from_db()
        assert not job.error, job.error
    return job


def tables() -> dict[str, dict[str, str]]:
    """Every table, and of each column the type."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.table_name, c.column_name, c.data_type
              FROM information_schema.columns AS c
              JOIN information_schema.tables AS t USING (table_schema, table_name)
             WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'
            """
        )
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in cursor.fetchall():
            found.setdefault(table, {})[column] = kind
    return found


def places_of(*names: str) -> list[str]:
    """Where any of these texts stands: every column of every table, as text, and bytes as what they spell."""
    found = []
    with connection.cursor() as cursor:
        for table, columns in sorted(tables().items()):
            for column, kind in columns.items():
                text = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
                for name in names:
                    cursor.execute(
                        f'SELECT count(*), min({text}) FROM "{table}" WHERE strpos(lower({text}), %s) > 0',
                        [name.lower()],
                    )
                    count, example = cursor.fetchone()
                    if count:
                        found.append(f"{table}.{column} holds {name} {count} times: {example[:200]}")
    return found


def content_of(user: User) -> dict[str, Any]:
    """What is stored of one owner, row by row."""
    rows: dict[str, Any] = {}
    with connection.cursor() as cursor:
        for table, columns in sorted(tables().items()):
            if "user_id" in columns and not table.startswith(("django_", "users_")):
                cursor.execute(
                    f'SELECT to_jsonb(t)::text FROM "{table}" AS t WHERE user_id = %s ORDER BY 1', [user.pk]
                )
                rows[table] = [row for (row,) in cursor.fetchall()]
    return rows
