"""The audit log cannot be edited, whichever way one comes."""

import pytest

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.models import AuditEvent
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db
GUARD = "audit_events_append_only"


@pytest.fixture
def event():
    return audit_record(actor=Actor.shell(), action="a.b", target_type="t", target_id=1, after={"n": 1})


ATTACKS = {
    "update": lambda event: AuditEvent.objects.filter(pk=event.pk).update(reason="harmless"),
    "update to the same": lambda event: execute("UPDATE audit_events SET action = action"),
    "save": lambda event: event.save(),
    "bulk_update": lambda event: AuditEvent.objects.bulk_update([event], ["reason"]),
    "upsert": lambda event: execute(
        "INSERT INTO audit_events (id, actor_name, action, target_type, target_id, reason)"
        " VALUES (%s, '', 'x', 'x', 'x', '') ON CONFLICT (id) DO UPDATE SET action = 'x'",
        [event.pk],
    ),
    "merge": lambda event: execute(
        "MERGE INTO audit_events e USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET reason = 'x'"
    ),
    "delete": lambda event: event.delete(),
    "delete all": lambda event: AuditEvent.objects.all().delete(),
    "raw delete": lambda event: execute("DELETE FROM audit_events"),
    "in a CTE": lambda event: execute(
        "WITH gone AS (DELETE FROM audit_events RETURNING id) SELECT count(*) FROM gone"
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_is_refused_and_the_event_stands(event, attack):
    refused_by(GUARD, lambda: attack(event))

    stands = AuditEvent.objects.get()
    assert (stands.action, stands.reason, stands.after) == ("a.b", "", {"n": 1})


def test_one_more_event_is_welcome(event):
    execute(
        "INSERT INTO audit_events (actor_name, action, target_type, target_id, reason)"
        " VALUES ('psql', 'c.d', 't', '2', '')"
    )

    assert AuditEvent.objects.count() == 2
