"""Quotas through the services: refusals in words, warnings, notices that are mailed, maxima, recount (I4, I12)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, connection
from django.utils import timezone

from registry.models import QuotaGrant, QuotaNotice, SchemaVersion, UserQuota
from registry.providers import fields_without_data
from registry.selectors_quotas import quotas_divergent, quotas_near
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.extensions import extension_remove, extension_save
from registry.services.quotas import (
    EXPIRE,
    MAIL,
    quota_may_pass,
    quota_recount,
    quota_refusals,
    quota_set_maximum,
    quotas_repair,
)
from registry.services.schemas import Registered, schema_register
from registry.services.settling import extensions_settle
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.errors import NotFound
from schemaevo.kernel.jobs import job_request, run_job
from schemaevo.kernel.models import AuditEvent, Job, JobState, User
from tests.factories import (
    SHELL,
    THING,
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
from tests.quotas import counted, counters, fields_named, maxima
from tests.registry.trail import audited, refused

pytestmark = pytest.mark.django_db


def register(user: User, entity_type: str, fields: int = 1) -> Registered:
    return schema_register(
        entity_type=entity_type,
        document={"fields": fields_named(fields)},
        user_id=user.pk,
        actor=SHELL,
    )


def run(kind: str) -> Job:
    """A job of that kind, run to its end as a worker does."""
    job = job_request(kind=kind)
    run_job(str(job.pk))
    job.refresh_from_db()
    return job


# --- refusals -------------------------------------------------------------------------------------------------
def test_a_refusal_names_limit_usage_consumers_and_how_to_ask() -> None:
    owner = make_user(username="ada")
    make_maximum(user=owner, max_schemas=3)
    for entity_type, fields in (("small", 1), ("large", 9), ("middle", 4)):
        register(owner, entity_type, fields)
    context = refused(lambda: register(owner, "more"), "quota_exceeded")
    assert context == {
        "limit": "schemas",
        "usage": 3,
        "wanted": 4,
        "maximum": 3,
        "consumers": [
            {"entity_type": "large", "fields": 9},
            {"entity_type": "middle", "fields": 4},
            {"entity_type": "small", "fields": 1},
        ],
        "owner": "ada",
        "how_to_ask": "request_quota ada --max-schemas 4 --reason … --as LOGIN",
    }
    # The transaction goes on, and nothing of the refused is there.
    assert counters(owner) == counted(owner) == (3, 14)
    assert not SchemaVersion.objects.filter(entity_type="more").exists()


def own_large(owner: User) -> Callable[[], object]:
    return lambda: register(owner, "more", 6)


def activate_larger(owner: User) -> Callable[[], object]:
    make_compatibility(entity_type="t0")
    make_version(document={"fields": fields_named(3)}, entity_type="t0", user=owner)
    larger = schema_register(
        entity_type="t0", document={"fields": fields_named(9)}, user_id=owner.pk, actor=SHELL
    )
    return lambda: schema_activate(version_id=larger.version.pk, actor=SHELL)


def deactivate_smaller(owner: User) -> Callable[[], object]:
    activate_larger(owner)
    return lambda: schema_deactivate(entity_type="t0", user_id=owner.pk, actor=SHELL)


def retire_smaller(owner: User) -> Callable[[], object]:
    activate_larger(owner)
    return lambda: schema_retire(entity_type="t0", user_id=owner.pk, number="1.0.0", actor=SHELL)


def extend_more(owner: User) -> Callable[[], object]:
    make_version(document=make_definition(a="string"))
    return lambda: make_extension(user=owner, document={"additional_fields": fields_named(6)})


@pytest.mark.parametrize(
    "prepared", [own_large, activate_larger, deactivate_smaller, retire_smaller, extend_more]
)
def test_no_service_grows_past_the_maximum_of_fields(
    prepared: Callable[[User], Callable[[], object]],
) -> None:
    owner = make_user()
    make_maximum(user=owner, max_fields=5)
    act = prepared(owner)
    before = counters(owner)
    context = refused(act, "quota_exceeded")
    assert (context["limit"], context["maximum"]) == ("fields", 5)
    assert counters(owner) == counted(owner) == before


def test_another_constraint_is_not_taken_for_a_quota() -> None:
    owner = make_user()
    version = register(owner, "t").version
    with pytest.raises(IntegrityError, match="immutable"), quota_refusals(owner.pk):
        SchemaVersion.objects.filter(pk=version.pk).update(note="else")
    assert counters(owner) == (1, 1)


def test_global_schemas_are_not_limited() -> None:
    make_version(document={"fields": fields_named(300)})
    assert not UserQuota.objects.exists()
    registered = schema_register(entity_type="other", document={"fields": fields_named(300)}, actor=SHELL)
    assert registered.warning == ""


def test_what_is_taken_back_gives_its_quota_back() -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"))
    make_extension(user=owner, document={"additional_fields": fields_named(4)})
    register(owner, "own", 3)
    assert counters(owner) == (2, 7)
    extension_remove(entity_type=THING, user_id=owner.pk, actor=SHELL)
    assert counters(owner) == (1, 3)
    schema_retire(entity_type="own", user_id=owner.pk, actor=SHELL)
    assert counters(owner) == counted(owner) == (0, 0)


# --- warnings and notices -------------------------------------------------------------------------------------
def test_results_carry_a_warning_from_80_per_cent_on() -> None:
    owner = make_user()
    make_maximum(user=owner, max_schemas=100, max_fields=10)
    make_version(document=make_definition(a="string"))
    assert register(owner, "own", 7).warning == ""
    registered = register(owner, "own2", 1)
    assert registered.warning == "The owner uses 8 of 10 fields (80 %); request_quota asks for more."
    assert register(owner, "own2", 1).warning == registered.warning  # it was there already
    assert schema_activate(version_id=registered.version.pk, actor=SHELL).quota_warning == registered.warning
    assert schema_activate(version_id=registered.version.pk, actor=SHELL).quota_warning == registered.warning
    document: Any = {"additional_fields": fields_named(2)}
    extended = extension_save(entity_type=THING, user_id=owner.pk, document=document, actor=SHELL)
    assert "10 of 10 fields (100 %)" in extended.warning
    again = extension_save(entity_type=THING, user_id=owner.pk, document=document, actor=SHELL)
    assert (again.created, again.warning) == (False, extended.warning)
    removed = extension_remove(entity_type=THING, user_id=owner.pk, actor=SHELL)
    assert "8 of 10" in removed.warning


@pytest.mark.django_db(transaction=True)
def test_a_crossing_is_mailed_once_after_the_commit_and_by_the_job(
    settings: Any,
) -> None:
    settings.SCHEMAEVO_QUOTA_MAIL_TO = ["team@example.org", "boss@example.org"]
    owner = make_user(username="ada")
    make_maximum(user=owner, max_schemas=2)
    register(owner, "a")
    assert not Job.objects.filter(kind=MAIL).exists()
    register(owner, "b", 2)
    assert Job.objects.get(kind=MAIL).state == JobState.PENDING
    assert mail.outbox == []
    assert run(MAIL).result == {"mailed": 2}
    assert run(MAIL).result == {"mailed": 0}
    (message,) = mail.outbox
    assert message.to == ["team@example.org", "boss@example.org"]
    assert message.subject == "[schemaevo] one owner comes up to a quota"
    assert "ada used 2 of 2 schemas (100 %)" in message.body
    # Nothing new has come up: nothing is owed.
    register(owner, "b", 3)
    assert not Job.objects.filter(kind=MAIL, state=JobState.PENDING).exists()
    # It falls below, and comes up again.
    schema_retire(entity_type="a", user_id=owner.pk, actor=SHELL)
    register(owner, "c")
    assert run(MAIL).result == {"mailed": 2}
    assert len(mail.outbox) == 2


def test_without_an_address_nothing_is_mailed_and_what_holds_is_mailed_once_there_is_one(
    settings: Any,
) -> None:
    settings.SCHEMAEVO_QUOTA_MAIL_TO = []
    fallen, full = make_user(), make_user()
    for owner in (fallen, full):
        make_maximum(user=owner, max_schemas=1)
        register(owner, "a")
    schema_retire(entity_type="a", user_id=fallen.pk, actor=SHELL)
    assert run(MAIL).result == {"mailed": 0}
    settings.SCHEMAEVO_QUOTA_MAIL_TO = ["team@example.org"]
    assert run(MAIL).result == {"mailed": 2}
    assert QuotaNotice.objects.filter(mailed_at__isnull=True, user=fallen).count() == 2
    assert full.username in mail.outbox[0].body
    assert fallen.username not in mail.outbox[0].body


def test_a_mail_that_fails_is_tried_again(settings: Any) -> None:
    settings.SCHEMAEVO_QUOTA_MAIL_TO = ["team@example.org"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens
    owner = make_user()
    make_maximum(user=owner, max_schemas=1)
    register(owner, "a")
    job = run(MAIL)
    assert (job.state, job.attempts) == (JobState.PENDING, 1)
    assert QuotaNotice.objects.filter(mailed_at__isnull=True).count() == 2


def test_who_is_nearest_stands_first() -> None:
    low, near, over = (make_user() for _ in range(3))
    for owner, maximum in ((low, 10), (near, 4), (over, 3)):
        for number in range(4):
            register(owner, f"t{number}")
        make_maximum(user=owner, max_schemas=maximum)
    assert [(quota.user_id, quota.schemas.percent) for quota in quotas_near(limit=9)] == [
        (over.pk, 133),
        (near.pk, 100),
    ]
    make_maximum(user=low, max_schemas=0)
    assert [quota.user_id for quota in quotas_near(limit=1)] == [low.pk]


# --- maxima ---------------------------------------------------------------------------------------------------
def test_the_newest_grant_that_has_not_ended_is_the_maximum_of_what_it_names() -> None:
    owner = make_user()
    assert maxima(owner) == (10, 200)
    later = timezone.now() + timedelta(days=1)
    with audited() as events:
        make_maximum(user=owner, max_schemas=20)
        make_maximum(user=owner, max_fields=500, until=later)
        quota = quota_set_maximum(user_id=owner.pk, actor=SHELL, note="less", max_schemas=5)
    assert (quota.schemas.maximum, quota.fields.maximum) == maxima(owner) == (5, 500)
    assert [event.action for event in events] == ["quota.maximum"] * 3
    assert events[2].before == {"max_schemas": 20, "max_fields": 500}
    assert events[2].after == {
        "max_schemas": 5,
        "max_fields": 500,
        "grant": QuotaGrant.objects.latest("pk").pk,
        "request": None,
        "until": None,
    }
    with audited() as events:
        make_maximum(user=owner, max_schemas=5)
    assert events == []


def test_a_maximum_below_the_usage_leaves_what_exists() -> None:
    owner = make_user()
    for number in range(3):
        register(owner, f"t{number}", 2)
    make_maximum(user=owner, max_schemas=1)
    assert counters(owner) == counted(owner) == (3, 6)
    refused(lambda: register(owner, "more"), "quota_exceeded")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "maximum_needed"),
        ({"max_schemas": -1}, "maximum_out_of_range"),
        ({"max_fields": 1_000_001}, "maximum_out_of_range"),
        ({"max_schemas": 5, "note": " "}, "note_needed"),
        ({"max_schemas": 5, "note": "\x00"}, "unstorable_json"),
        ({"max_schemas": 5, "until": timezone.now()}, "until_passed"),
        ({"max_schemas": 5, "until": datetime(3000, 1, 1, tzinfo=UTC)}, "until_too_late"),
        ({"max_schemas": 5, "user_id": -1}, "user_not_found"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], code: str) -> None:
    asked = {"user_id": make_user().pk, "actor": SHELL, "note": "why", **given}
    refused(lambda: quota_set_maximum(**asked), code)
    assert not QuotaGrant.objects.exists()


def test_whoever_asked_for_an_owner_cannot_raise_the_maximum_by_hand() -> None:
    owner, asker = make_user(), make_login(role="schema_admin")
    make_quota_request(user=owner, asker=asker)
    actor = Actor.login(asker)
    refused(
        lambda: quota_set_maximum(user_id=owner.pk, actor=actor, note="then so", max_schemas=11),
        "own_request",
    )
    assert quota_set_maximum(user_id=owner.pk, actor=actor, note="less", max_schemas=9).schemas.maximum == 9
    assert (
        quota_set_maximum(user_id=make_user().pk, actor=actor, note="another", max_schemas=11).schemas.maximum
        == 11
    )


def test_a_grant_whose_time_is_over_falls_back_and_the_job_may_run_twice() -> None:
    owner = make_user()
    make_maximum(user=owner, max_schemas=15)
    for number in range(12):
        register(owner, f"t{number}")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quota_grants (user_id, max_schemas, max_fields, until, granted_by_name, note)"
            " VALUES (%s, 30, 300, now() - interval '1 s', 'me', 'a rush'),"
            " (%s, 40, NULL, now() + interval '1 day', 'me', 'another')",
            [owner.pk, owner.pk],
        )
    assert maxima(owner) == (40, 300)
    with audited() as events:
        assert run(EXPIRE).result == {"ended": 1}
        assert run(EXPIRE).result == {"ended": 0}
    assert maxima(owner) == (40, 200)
    [event] = [event for event in events if event.action == "quota.expire"]
    assert (event.actor_name, event.reason) == (f"system:{EXPIRE}", "a rush")
    assert event.before == {"max_schemas": 40, "max_fields": 300}


# --- adoption and undo ----------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_adoption_is_not_refused_above_a_lowered_maximum() -> None:
    owner = make_user()
    make_version(document={"fields": fields_named(5)}, user=owner)
    register(owner, "other", 4)
    make_version(document=make_definition(f0="string", shared="string"))
    make_maximum(user=owner, max_schemas=1, max_fields=2)
    settled = extensions_settle(entity_type=THING, after_user=0, actor=SHELL)
    assert settled.adopted == 1
    # The field that the global schema has too was absorbed.
    assert counters(owner) == counted(owner) == (2, 8)
    assert not AuditEvent.objects.filter(action="quota.pass").exists()


@pytest.mark.django_db(transaction=True)
def test_absorption_above_a_lowered_maximum_gives_back_what_the_global_schema_took_over() -> None:
    owner = make_user()
    make_compatibility()
    make_version(document=make_definition(a="string"))
    make_extension(user=owner, document={"additional_fields": fields_named(6)})
    make_maximum(user=owner, max_schemas=0, max_fields=1)
    make_version(document=make_definition(a="string", f0="string", f1="string"))
    assert extensions_settle(entity_type=THING, after_user=0, actor=SHELL).absorbed == 2
    assert counters(owner) == counted(owner) == (1, 4)
    # A smaller extension takes the place of a larger one, and a larger one does not.
    make_extension(user=owner, document={"additional_fields": fields_named(3, "g")})
    refused(
        lambda: make_extension(user=owner, document={"additional_fields": fields_named(4, "g")}),
        "quota_exceeded",
    )
    assert counters(owner) == counted(owner) == (1, 3)


def test_undo_may_pass_and_is_marked_with_who_did_it() -> None:
    owner, admin = make_user(), make_login()
    make_maximum(user=owner, max_schemas=1)
    register(owner, "a")
    with quota_may_pass(cause="undo", actor=Actor.login(admin)):
        register(owner, "b")
    event = AuditEvent.objects.get(action="quota.pass")
    assert (event.actor, event.actor_name, event.reason) == (admin, admin.username, "undo")
    assert counters(owner) == (2, 2)
    refused(lambda: register(owner, "c"), "quota_exceeded")


def test_after_an_error_nothing_may_pass_any_more() -> None:
    owner = make_user()
    make_maximum(user=owner, max_schemas=0)
    with pytest.raises(NotFound), quota_may_pass(cause="undo", actor=SHELL):
        raise NotFound("nothing", "Nothing to undo.")
    refused(lambda: register(owner, "a"), "quota_exceeded")


# --- recount --------------------------------------------------------------------------------------------------
def test_a_recount_finds_what_went_by_the_triggers_and_puts_it_right() -> None:
    right, wrong, unknown = (make_user() for _ in range(3))
    for owner in (right, wrong, unknown):
        register(owner, "t", 3)
    with connection.cursor() as cursor:
        # Checks that wait for the commit would forbid the next statement.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE user_schema_quotas DISABLE TRIGGER user_schema_quotas_guarded")
        cursor.execute("UPDATE user_schema_quotas SET total_fields = 1 WHERE user_id = %s", [wrong.pk])
        cursor.execute("DELETE FROM user_schema_quotas WHERE user_id = %s", [unknown.pk])
        cursor.execute("ALTER TABLE user_schema_quotas ENABLE TRIGGER user_schema_quotas_guarded")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
    found = list(quotas_divergent())
    assert [(one.user_id, one.total_fields, one.counted_fields) for one in found] == [
        (wrong.pk, 1, 3),
        (unknown.pk, 0, 3),
    ]
    assert quota_recount(user_id=right.pk, actor=SHELL) is None
    with audited() as events:
        assert list(quotas_repair(actor=SHELL)) == found
    assert [event.action for event in events] == ["quota.recount"] * 2
    assert events[0].before == {"schemas": 1, "fields": 1}
    assert events[0].after == {"schemas": 1, "fields": 3}
    assert list(quotas_divergent()) == []
    assert counters(unknown) == counted(unknown) == (1, 3)


# --- what could be given back ---------------------------------------------------------------------------------
def test_fields_that_nobody_ever_sent_could_be_given_back() -> None:
    owner, other = make_user(), make_user()
    make_version(document=make_definition(k="string"))
    make_extension(
        user=owner, document={"additional_fields": {name: {"type": "string"} for name in ("used", "idle")}}
    )
    make_extension(user=other, document={"additional_fields": {"idle": {"type": "string"}}})
    make_run(user=owner, records=[{"k": "1", "used": "x"}, {"k": "2"}])
    make_run(user=other, records=[{"k": "1", "idle": "x"}])
    [found] = fields_without_data(user_id=owner.pk)
    assert (found.entity_type, found.names, found.looked_at, found.is_complete) == (THING, ("idle",), 2, True)
    assert fields_without_data(user_id=other.pk) == []


def test_while_snapshots_wait_nothing_is_said_to_be_without_data() -> None:
    owner = make_user()
    make_version(document=make_definition(k="string"))
    make_run(user=owner, records=[{"k": "1", "new": "x"}])
    make_extension(user=owner, document={"additional_fields": {"new": {"type": "string"}}})
    assert fields_without_data(user_id=owner.pk) == []


def test_of_many_snapshots_only_so_many_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshots.selectors_field_data.LOOKED_AT_MAX", 2)
    owner = make_user()
    make_version(document=make_definition(k="string", idle="string"), user=owner)
    make_run(user=owner, records=[{"k": str(number)} for number in range(5)])
    [found] = fields_without_data(user_id=owner.pk)
    assert (found.looked_at, found.is_complete) == (2, False)
