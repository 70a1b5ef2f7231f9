"""The mark of an erasure opens the guards for what is its owner's, or its entity's, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import transaction

from fragments.services.erasure import Asked, entity_erase, owner_erase
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.models import AuditEvent, Erasure, User
from snapshots.models import Observation
from tests.erasing import NAME, ONE, Marked, make_marked, run_erasure
from tests.factories import SHELL, THING
from tests.triggers.attacks import execute, refused_by

pytestmark = pytest.mark.django_db

#: Every guarded table with rows of an owner, and the rule that keeps them.
GUARDED = {
    "observations": "observations_append_only",
    "raw_fragments": "raw_fragments_moves",
    "quota_grants": "quota_grants_kept",
    "quota_requests": "quota_requests_kept",
    "user_schema_extensions": "user_schema_extensions_kept",
    "schema_registry": "schema_registry_kept",
    "user_schema_quotas": "user_schema_quotas_kept",
}
#: Rows that stay, and a change that would clear them; the rule that refuses it.
KEPT = {
    "UPDATE audit_events SET reason = ''": "audit_events_append_only",
    "UPDATE schema_proposal_comments SET text = ''": "schema_proposal_comments_kept",
    "UPDATE schema_proposal_trials SET result = '{}' WHERE state = 'done'": "schema_proposal_trials_kept",
    "UPDATE quota_grants SET note = 'else' WHERE user_id <> %s": "quota_grants_immutable",
}


@contextmanager
def marked(mark: object) -> Iterator[None]:
    """What is done inside is done with that mark, and is taken back."""
    with transaction.atomic():
        execute("SELECT set_config('schemaevo.erasing', %s, true)", [str(mark)])
        yield
        transaction.set_rollback(True)


def nothing_goes(user: User, mark: object, *but: str) -> None:
    """With that mark no guarded row of the user can be deleted."""
    for table, rule in GUARDED.items():
        if table not in but:
            delete = f"DELETE FROM {table} WHERE user_id = %s"
            refused_by(rule, lambda delete=delete: _with(mark, delete, user.pk))  # type: ignore[misc]


def _with(mark: object, statement: str, *parameters: object) -> int:
    execute("SELECT set_config('schemaevo.erasing', %s, true)", [str(mark)])
    return execute(statement, parameters)


def owner_asked(of: Marked) -> Asked:
    return owner_erase(user_id=of.owner.pk, reason="they asked", actor=SHELL)


def test_a_mark_without_an_erasure_that_runs_opens_nothing() -> None:
    store = make_marked(entities=1)
    for mark in ("", "1", "999999", "all", "' OR true", "9" * 40):
        nothing_goes(store.owner, mark)
    for change, rule in KEPT.items():
        given = [0] if "%s" in change else []
        refused_by(rule, lambda change=change, given=given: _with(1, change, *given))  # type: ignore[misc]
    asked = owner_asked(store)
    run_erasure()
    # It has ended.
    assert Observation.objects.filter(user=store.other).exists()
    refused_by("observations_append_only", lambda: _with(asked.erasure.pk, "DELETE FROM observations"))
    refused_by("erasures_guarded", lambda: execute("UPDATE erasures SET finished_at = NULL"))
    refused_by("erasures_guarded", lambda: execute("DELETE FROM erasures"))


def test_the_erasure_of_an_owner_opens_nothing_of_another_one() -> None:
    store = make_marked(entities=1)
    asked = owner_asked(store)
    mark = asked.erasure.pk
    refused_by(
        "observations_append_only",
        lambda: _with(mark, "DELETE FROM observations WHERE user_id = %s", store.other.pk),
    )
    refused_by(
        "raw_fragments_moves",
        lambda: _with(mark, "DELETE FROM raw_fragments WHERE user_id = %s", store.other.pk),
    )
    refused_by("quota_grants_kept", lambda: _with(mark, "DELETE FROM quota_grants"))
    refused_by(
        "schema_registry_kept", lambda: _with(mark, "DELETE FROM schema_registry WHERE user_id IS NULL")
    )
    for table in (
        "observations",
        "raw_fragments",
        "quota_grants",
        "quota_requests",
        "user_schema_extensions",
    ):
        with marked(mark):
            assert execute(f"DELETE FROM {table} WHERE user_id = %s", [store.owner.pk]) > 0, table
    # Only clearing, never another owner, another decision, or another time.
    with marked(mark):
        assert (
            execute("UPDATE schema_proposal_comments SET text = '' WHERE strpos(text, %s) > 0", [NAME]) == 1
        )
    refused_by(
        "schema_proposal_comments_kept",
        lambda: _with(mark, "UPDATE schema_proposal_comments SET text = '', written_by_id = NULL"),
    )
    refused_by(
        "schema_proposal_trials_kept",
        lambda: _with(mark, "UPDATE schema_proposal_trials SET result = '{}' WHERE state = 'done'"),
    )


def test_the_erasure_of_an_entity_opens_nothing_of_another_one() -> None:
    store = make_marked(entities=1)
    asked = entity_erase(
        user_id=store.owner.pk, entity_type=THING, entity_key=f"{ONE}-key", reason="wrong", actor=SHELL
    )
    nothing_goes(store.owner, asked.erasure.pk)
    with marked(asked.erasure.pk):
        own = [asked.erasure.entity_id]
        assert execute("DELETE FROM observations WHERE entity_id = %s", own) > 0
        assert execute("DELETE FROM raw_fragments WHERE entity_id = %s", own) > 0


def test_an_event_keeps_what_happened_whatever_the_mark() -> None:
    store = make_marked(entities=1)
    other = audit_record(actor=SHELL, action="a.b", target_type="c", target_id=1, reason="of nobody")
    mark = owner_asked(store).erasure.pk
    own = AuditEvent.objects.filter(action="promotion.begin").latest("pk")
    with marked(mark):
        assert execute("UPDATE audit_events SET reason = '', after = NULL WHERE id = %s", [own.pk]) == 1
    for change in ("at = now()", "action = 'x'", "target_id = '0'", "actor_id = NULL", "id = -id"):
        change_own = f"UPDATE audit_events SET {change} WHERE id = {own.pk}"
        refused_by("audit_events_append_only", lambda change=change_own: _with(mark, change))  # type: ignore[misc]
    refused_by("audit_events_append_only", lambda: _with(mark, "DELETE FROM audit_events"))
    refused_by(
        "audit_events_append_only",
        lambda: _with(mark, "UPDATE audit_events SET reason = '' WHERE id = %s", other.pk),
    )


def test_an_erasure_stays_of_whom_it_was_asked_for() -> None:
    store = make_marked(entities=1)
    erasure = owner_asked(store).erasure
    for change in (f"user_id = {store.other.pk}", "requested_at = now() - interval '1 day'"):
        statement = f"UPDATE erasures SET {change} WHERE id = {erasure.pk}"
        refused_by("erasures_guarded", lambda statement=statement: execute(statement))  # type: ignore[misc]
    refused_by("erasures_guarded", lambda: execute("DELETE FROM erasures"))
    refused_by(
        "erasures_guarded",
        lambda: execute(
            "INSERT INTO erasures (user_id, entity_type, reason, requested_by_name, finished_at, names, targets,"
            " counts) VALUES (%s, '', '', '', now(), '[]', '{}', '{}')",
            [store.other.pk],
        ),
    )
    assert Erasure.objects.get().pk == erasure.pk
