"""A small store with everything on its pages, and somebody to look at it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.test import Client

from fragments.models import DeadLetter, EnhancementMode, IngestRun, RawFragment
from fragments.services.enhancement import enhancement_set
from registry.domain.compatibility import Mode
from registry.models import ExtensionRevision, QuotaRequest, SchemaVersion
from registry.services.compatibility import compatibility_set
from registry.services.extensions import extension_save
from schemaevo.kernel.models import User
from schemaevo.kernel.verification import Extent
from schemaevo.kernel.verification_runs import verification_make
from snapshots.models import EntitySnapshot, Observation, Source
from tests.bulk import make_done
from tests.enhancements import make_given_up, make_undone
from tests.erasing import make_erased
from tests.factories import (
    NOON,
    SHELL,
    THING,
    make_definition,
    make_login,
    make_maximum,
    make_quota_request,
    make_run,
    make_user,
    make_version,
)
from tests.proposals.making import adding, make_draft
from tests.totals import make_totals

#: Stands in every stored value of the store, and in nothing else.
SECRET = "sesame-7f3a"


@dataclass(frozen=True)
class Store:
    owner: User
    version: SchemaVersion
    run: IngestRun
    snapshot: EntitySnapshot
    observation: Observation
    source: Source
    fragment: RawFragment
    letter: DeadLetter
    extension: ExtensionRevision
    request: QuotaRequest


@pytest.fixture
def store(db: None) -> Store:
    """One owner, a schema, two observations of one entity that disagree, a fragment and a dead letter; and an
    extension, a compatibility mode, notices, an upgrade request, a draft of a proposal, and what is left of an undone
    promotion and of a field that auto-enhancement gave up, which change nothing about them."""
    owner = make_user(username="owner-of-it")
    version = make_version(document=make_definition(k="string", colour="string", size="number"))
    make_run(
        records=[{"k": "thing-1", "colour": f"old {SECRET}"}],
        user=owner,
        source="older",
        observed_at=NOON - timedelta(hours=1),
    )
    run = make_run(
        records=[
            {"k": "thing-1", "colour": f"new {SECRET}", "smell": {"is": SECRET}},
            b'{"k": "thing-2", "colour": "' + SECRET.encode(),
        ],
        user=owner,
        source="newer",
    )
    extended = extension_save(
        entity_type=THING,
        user_id=owner.pk,
        document={"field_overrides": {"size": {"description": "in millimetres"}}},
        actor=SHELL,
        note="asked for by the owner",
    )
    compatibility_set(entity_type=THING, mode=Mode.BACKWARD_TRANSITIVE, actor=SHELL)
    # Full for a moment: the notices of it stay.
    make_maximum(user=owner, max_schemas=1)
    make_maximum(user=owner, max_schemas=10)
    request = make_quota_request(user=owner)
    make_draft(edits=adding("weight"))
    verification_make(extent=Extent(), actor=SHELL)
    make_undone(user=owner, field="smell")
    make_erased(user=owner)
    make_done(user=owner)
    make_given_up(user=owner, field="smell")
    enhancement_set(user_id=owner.pk, entity_type=THING, mode=EnhancementMode.OFF, actor=SHELL)
    make_totals()
    return Store(
        owner=owner,
        version=version,
        run=run,
        snapshot=EntitySnapshot.objects.get(entity_key="thing-1"),
        observation=Observation.objects.get(ingest_run_id=run.pk),
        source=Source.objects.get(name="newer"),
        fragment=RawFragment.objects.get(),
        letter=DeadLetter.objects.get(),
        extension=extended.revision,
        request=request,
    )


@pytest.fixture
def client_of(db: None) -> Callable[[str], Client]:
    """A browser in which a login of the role has signed in; `superuser` and `none` are roles too."""

    def sign_in(role: str) -> Client:
        if role == "superuser":
            login = make_login(is_superuser=True)
        else:
            login = make_login(role=None if role == "none" else role)
        client = Client()
        client.force_login(login, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in
