"""The audit log says who did what, under the name they had then."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.models import AuditEvent, User

pytestmark = pytest.mark.django_db


def test_an_event_keeps_who_what_before_and_after():
    ann = User.objects.create_user("ann")

    audit_record(
        actor=Actor.login(ann),
        action="thing.change",
        target_type="thing",
        target_id=7,
        before={"size": 1},
        after={"size": Decimal("1.50")},
        reason="too small",
    )

    event = AuditEvent.objects.get()
    assert (event.actor, event.actor_name, event.action) == (ann, "ann", "thing.change")
    assert (event.target_type, event.target_id, event.reason) == ("thing", "7", "too small")
    assert (event.before, event.after) == ({"size": 1}, {"size": Decimal("1.5")})
    assert timezone.now() - event.at < timedelta(minutes=5)
    assert str(event) == "thing.change thing 7"


def test_the_name_stays_when_the_login_is_renamed():
    ann = User.objects.create_user("ann")
    audit_record(actor=Actor.login(ann), action="a.b", target_type="t", target_id=1)

    User.objects.update(username="anna")

    assert AuditEvent.objects.get().actor_name == "ann"


def test_what_the_system_does_names_its_part():
    audit_record(actor=Actor.system("jobs"), action="a.b", target_type="t", target_id=1)

    event = AuditEvent.objects.get()
    assert (event.actor, event.actor_name) == (None, "system:jobs")


def test_the_newest_event_is_listed_first():
    for number in (1, 2, 3):
        audit_record(actor=Actor.shell(), action="a.b", target_type="t", target_id=number)

    assert [event.target_id for event in AuditEvent.objects.all()] == ["3", "2", "1"]
