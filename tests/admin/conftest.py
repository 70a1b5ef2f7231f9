"""A small store with everything on its pages, and somebody to look at it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.test import Client

from fragments.models import DeadLetter, IngestRun, RawFragment
from registry.models import SchemaVersion
from schemaevo.kernel.models import User
from snapshots.models import EntitySnapshot, Observation, Source
from tests.factories import NOON, make_definition, make_login, make_run, make_user, make_version

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


@pytest.fixture
def store(db: None) -> Store:
    """One owner, a schema, two observations of one entity that disagree, a fragment and a dead letter."""
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
    return Store(
        owner=owner,
        version=version,
        run=run,
        snapshot=EntitySnapshot.objects.get(entity_key="thing-1"),
        observation=Observation.objects.get(ingest_run_id=run.pk),
        source=Source.objects.get(name="newer"),
        fragment=RawFragment.objects.get(),
        letter=DeadLetter.objects.get(),
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
