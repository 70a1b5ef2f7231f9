"""The system checks notice a guard that somebody switched off."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from schemaevo.kernel import checks

pytestmark = pytest.mark.django_db


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_sound_database_has_no_problems():
    assert checks.triggers_are_enabled(["default"]) == []
    assert checks.postgres_is_recent(["default"]) == []


@pytest.mark.parametrize(("table", "trigger"), sorted(checks.TRIGGERS))
@pytest.mark.parametrize(
    "attack",
    [
        "ALTER TABLE {table} DISABLE TRIGGER {trigger}",
        "ALTER TABLE {table} ENABLE REPLICA TRIGGER {trigger}",
        "DROP TRIGGER {trigger} ON {table}",
    ],
)
def test_a_guard_that_does_not_stand_is_an_error(table, trigger, attack):
    sql(attack.format(table=table, trigger=trigger))

    (problem,) = checks.triggers_are_enabled(["default"])

    assert problem.id == "kernel.E002"
    assert f"{trigger} of table {table}" in problem.msg


def test_the_check_command_fails_on_it():
    sql("ALTER TABLE audit_events DISABLE TRIGGER USER")

    with pytest.raises(SystemCheckError, match="audit_events_append_only"):
        call_command("check", databases=["default"])


def test_a_table_that_does_not_exist_yet_is_no_problem(monkeypatch):
    monkeypatch.setattr(checks, "TRIGGERS", frozenset({("not_migrated_yet", "guard")}))

    assert checks.triggers_are_enabled(["default"]) == []


def test_a_guard_that_a_migration_has_yet_to_make_does_not_keep_it_from_that():
    """`migrate` runs the checks before it begins: a store of an older release lacks what it is to make."""
    sql("DELETE FROM django_migrations WHERE app = 'fragments' AND name >= '0009'")
    sql("DROP TRIGGER raw_fragments_aggregated_insert ON raw_fragments")
    assert checks.triggers_are_enabled(["default"]) == []

    sql("ALTER TABLE raw_fragments DISABLE TRIGGER raw_fragments_moves")
    (problem,) = checks.triggers_are_enabled(["default"])
    assert "raw_fragments_moves of table raw_fragments" in problem.msg


def test_no_database_no_question():
    assert checks.triggers_are_enabled(None) == []
    assert checks.postgres_is_recent(None) == []


def test_an_old_server_is_an_error(monkeypatch):
    monkeypatch.setattr(checks, "MINIMUM_POSTGRES", 990000)

    (problem,) = checks.postgres_is_recent(["default"])

    assert problem.id == "kernel.E001"


def test_every_trigger_of_the_database_is_checked():
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal")
        assert set(cursor.fetchall()) == set(checks.TRIGGERS)
