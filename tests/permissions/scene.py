"""What every door is tried on: a small store in which each act of the table would change something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.apps import apps
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection, transaction
from django.test import Client

from fragments.models import DeadLetter, EnhancementMode, IngestRun, RawFragment
from fragments.services.enhancement import enhancement_set
from registry.cache import cache_clear
from registry.domain.compatibility import Mode
from registry.models import ExtensionRevision, QuotaRequest, Schema, SchemaVersion
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_runs import verification_make
from snapshots.models import EntitySnapshot, Observation, Source
from tests.admin.addresses import OURS
from tests.bulk import make_done
from tests.enhancements import make_given_up, make_undone
from tests.erasing import make_erased
from tests.factories import (
    NOON,
    SHELL,
    make_compatibility,
    make_definition,
    make_extension,
    make_login,
    make_maximum,
    make_quota_request,
    make_run,
    make_user,
    make_version,
)
from tests.permissions.table import ASKERS, Role
from tests.proposals.making import make_draft
from tests.totals import make_totals

#: Stands in every stored value of the store, and in nothing else.
SECRET = "sesame-41c9"
#: An entity type in which the owner has a schema of their own, and one in which they had it before a global one came.
OWN, LATE = "own_things", "late_things"
PASSWORD = "correct-horse-9"


@dataclass(frozen=True)
class Store:
    """One owner with something of everything."""

    folder: Path
    owner: User
    version: SchemaVersion
    own: SchemaVersion
    own_draft: SchemaVersion
    extension: ExtensionRevision
    run: IngestRun
    snapshot: EntitySnapshot
    observation: Observation
    source: Source
    fragment: RawFragment
    letter: DeadLetter
    event: AuditEvent
    job: Job
    paused_job: Job
    failed_job: Job
    operator: User
    other_login: User

    @property
    def schema(self) -> Schema:
        return self.own.schema


@dataclass(frozen=True)
class Scene:
    """Somebody at a door of the store, and the upgrade request that waits: who asked is them, or another operator."""

    store: Store
    role: Role
    user: User | None
    request: QuotaRequest

    @property
    def actor(self) -> Actor:
        return Actor.shell() if self.user is None else Actor.login(self.user)

    @property
    def login(self) -> User:
        assert self.user is not None
        return self.user

    def browser(self, *, is_strict: bool = False) -> Client:
        """A browser in which they have signed in, as far as they can."""
        client = Client(enforce_csrf_checks=is_strict, raise_request_exception=False)
        if self.user is not None:
            # What `force_login` leaves, without what it does besides: hundreds of roles come to hundreds of doors.
            session = client.session
            session[SESSION_KEY] = self.user.pk
            session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
            session[HASH_SESSION_KEY] = self.user.get_session_auth_hash()
            session.save()
        return client


def make_store(folder: Path) -> Store:
    """See `Store`."""
    owner, operator = make_user(username="owner-of-it"), make_login(role="operator")
    own = make_version(document=make_definition(a="string"), entity_type=OWN, user=owner)
    own_draft = make_version(
        document=make_definition(a="string", b="string"), entity_type=OWN, user=owner, is_active=False
    )
    make_version(document=make_definition(k="string"), entity_type=LATE, user=owner)
    make_version(document=make_definition(k="string"), entity_type=LATE)
    version = make_version(document=make_definition(k="string", colour="string"))
    extension = make_extension(user=owner, document={"additional_fields": {"mine": {"type": "string"}}})
    make_compatibility(mode=Mode.BACKWARD_TRANSITIVE, entity_type=OWN)
    run = make_run(
        records=[
            {"k": "one", "colour": SECRET, "smell": SECRET},
            b'{"k": "two", "colour": "' + SECRET.encode(),
        ],
        user=owner,
    )
    make_draft()
    # Granted, and nearly used up: the owner has notices.
    make_maximum(user=owner, max_schemas=3, max_fields=100)
    verification_make(extent=Extent(), actor=SHELL)
    make_undone(user=owner, field="smell")
    make_given_up(user=owner, field="smell", entity_type=OWN)
    make_erased(user=owner)
    make_done(user=owner)
    enhancement_set(user_id=owner.pk, entity_type=OWN, mode=EnhancementMode.OFF, actor=SHELL)
    make_totals()
    return Store(
        folder=folder,
        owner=owner,
        version=version,
        own=own,
        own_draft=own_draft,
        extension=extension,
        run=run,
        snapshot=EntitySnapshot.objects.get(),
        observation=Observation.objects.get(),
        source=Source.objects.get(),
        fragment=RawFragment.objects.get(),
        letter=DeadLetter.objects.get(),
        event=audit_record(actor=SHELL, action="a.test", target_type="store", target_id="all"),
        job=Job.objects.create(kind="work", target="1", queue="recompute", state=JobState.PENDING),
        paused_job=Job.objects.create(kind="work", target="2", queue="recompute", state=JobState.PAUSED),
        failed_job=Job.objects.create(
            kind="work", target="3", queue="recompute", state=JobState.FAILED, finished_at=NOON
        ),
        operator=operator,
        other_login=make_login(),
    )


@contextmanager
def scene_of(store: Store, role: Role) -> Iterator[Scene]:
    """The role at the store's doors; what is done there is undone afterwards."""
    # Of a transaction that is rolled back the epochs come again.
    cache_clear()
    with transaction.atomic():
        user = _somebody(role, store)
        asker = user if role in ASKERS else store.operator
        yield Scene(store, role, user, make_quota_request(user=store.owner, asker=asker, max_schemas=20))
        transaction.set_rollback(True)


def _somebody(role: Role, store: Store) -> User | None:
    if role in (Role.STRANGER, Role.SHELL):
        return None
    if role == Role.OWNER:
        return make_user()
    if role == Role.RETIRED:
        return make_login(role="schema_admin", is_active=False)
    user = make_login(
        role={
            Role.NONE: None,
            Role.SUPERUSER: None,
            Role.ASKING_SUPERUSER: None,
            Role.ASKING_OPERATOR: "operator",
            Role.ASKING_ADMIN: "schema_admin",
        }.get(role, role.value),
        is_superuser=role in (Role.SUPERUSER, Role.ASKING_SUPERUSER),
    )
    user.set_password(PASSWORD)
    user.save()
    return user


def everything() -> dict[str, str]:
    """What stands in each table of the project, so that any change in any row of any of them is seen."""
    tables = {
        model._meta.db_table
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in OURS | {"auth", "admin"}
    }
    each = " UNION ALL ".join(
        f"SELECT '{table}', md5(coalesce(string_agg(t::text, ';' ORDER BY t::text), '')) FROM {table} AS t"
        for table in sorted(tables)
    )
    with connection.cursor() as cursor:
        cursor.execute(each)
        return dict(cursor.fetchall())


def newest_event() -> int:
    return AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0


def actors_since(event: int) -> set[str]:
    """In whose name the events after that one stand."""
    return set(AuditEvent.objects.filter(id__gt=event).values_list("actor_name", flat=True))
