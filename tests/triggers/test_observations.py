"""Observations cannot be edited or taken away, whichever way one comes."""

import uuid

import pytest
from django.utils import timezone

from snapshots.models import Observation, ObservationOrigin
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db
GUARD = "observations_append_only"


def make_observation(**columns):
    return Observation.objects.create(
        **{
            "id": uuid.uuid4(),
            "user_id": 1,
            "entity_type": "package",
            "entity_id": uuid.uuid4(),
            "source_id": uuid.uuid4(),
            "observed_at": timezone.now(),
            "priority": 100,
            "specificity": 1.0,
            "kind": None,
            "origin": ObservationOrigin.INGEST,
            "content_id": uuid.uuid4(),
            "fields": {"name": "curl"},
            **columns,
        }
    )


@pytest.fixture
def observation():
    return make_observation()


ATTACKS = {
    "update": lambda seen: Observation.objects.filter(pk=seen.pk).update(priority=1000),
    "update to the same": lambda seen: execute("UPDATE observations SET priority = priority"),
    "save": lambda seen: seen.save(),
    "one value": lambda seen: execute(
        "UPDATE observations SET fields = jsonb_set(fields, '{name}', '\"wget\"')"
    ),
    "upsert": lambda seen: execute(
        "INSERT INTO observations SELECT * FROM observations ON CONFLICT (id) DO UPDATE SET priority = 1"
    ),
    "delete": lambda seen: Observation.objects.all().delete(),
    "raw delete": lambda seen: execute("DELETE FROM observations WHERE id = %s", [seen.pk]),
    "merge": lambda seen: execute(
        "MERGE INTO observations o USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE"
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_refused_and_the_observation_stands(observation, attack):
    refused_by(GUARD, lambda: attack(observation))

    stands = Observation.objects.get()
    assert (stands.priority, stands.fields) == (100, {"name": "curl"})


def test_one_more_observation_and_one_that_is_known_already_are_welcome(observation):
    make_observation()
    execute("INSERT INTO observations SELECT * FROM observations ON CONFLICT (id) DO NOTHING")

    assert Observation.objects.count() == 2
