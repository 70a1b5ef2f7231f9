"""The owners of exported observations: they are here by name and id, or are made so."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Max
from django.test import override_settings

from fragments.models import DeadLetter
from schemaevo.kernel.canonical import canonical_bytes
from schemaevo.kernel.errors import LockTimeout
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import owners_restore
from tests.content import stored_content
from tests.factories import (
    make_definition,
    make_file,
    make_run,
    make_user,
    make_version,
)
from tests.fragments.exports import (
    Line,
    exported_lines,
    forget,
    id_numbered,
    import_export,
    make_import,
)
from tests.threads import Aside
from tests.waiting import wait_for


@pytest.mark.django_db
def test_an_owner_has_the_name_and_the_id_of_the_line() -> None:
    ada, bob = make_user(username="ada"), make_user(username="bob")
    free = bob.pk + 1000
    make_run(user=ada, records=[{"k": "x"}])
    (line,) = exported_lines()
    forget()
    lines: list[Line] = [
        line,
        {**line, "user": "bob"},
        {**line, "user": "cyd"},
        {**line, "user_id": free},
        {**line, "user": "dan", "user_id": free},
        {**line, "user": "cyd", "user_id": free},
        {**line, "user": "ﬁ", "user_id": free + 1},
        {**line, "user": " x", "user_id": free + 2},
    ]
    run = make_import(lines=lines, create_users=False)
    refused = [(letter.line_number, letter.code) for letter in run.dead_letters.order_by("line_number")]
    assert refused == [
        (2, "user_has_other_id"),
        (3, "user_id_taken"),
        (4, "user_has_other_id"),
        *((number, "unknown_user") for number in (5, 6, 7, 8)),
    ]
    assert run.observation_count == 1
    message = run.dead_letters.get(line_number=2).message
    assert str(bob.pk) in message
    assert "'bob'" in message

    forget()
    run = make_import(
        lines=[{**line, "id": id_numbered(n)} for n, line in enumerate(lines)], create_users=True
    )
    refused = [(letter.line_number, letter.code) for letter in run.dead_letters.order_by("line_number")]
    assert refused[3:] == [(6, "user_id_taken"), (7, "invalid_user"), (8, "invalid_user")]
    assert User.objects.get(username="dan").pk == free
    assert not User.objects.get(username="dan").has_usable_password()
    assert make_user().pk > free


@pytest.mark.django_db
def test_a_dry_run_foresees_what_becomes_of_owners_and_lines(tmp_path: Path) -> None:
    make_version(document=make_definition(a="number"))
    ada = make_user(username="ada")
    make_run(user=ada, records=[{"k": "x", "a": 1, "b": 2}, {"k": "x", "a": "w", "b": 2}])
    one, two = exported_lines()
    forget()
    make_import(lines=[one])
    new = {"user": "new", "user_id": ada.pk + 50}
    lines: list[Any] = [
        one,
        two,
        two,
        {**one, **new, "id": id_numbered(1)},
        {**one, "user": "other", "user_id": ada.pk + 50},
        {**two, **new, "id": id_numbered(2)},
        {**two, **new, "id": one["id"]},
        {**one, "user": "bob"},
        b"[]",
    ]
    path = make_file(path=tmp_path / "x", records=[])
    path.write_bytes(b"\n".join(x if isinstance(x, bytes) else canonical_bytes(x) for x in lines))
    for arguments in ((), ("--create-users",)):
        before, users = stored_content(), User.objects.count()
        foreseen = import_export(path, *arguments, "--batch-size", 3, "--dry-run")
        assert (stored_content(), User.objects.count()) == (before, users)
        summary = import_export(path, *arguments, "--batch-size", 2)
        for name in ("records", "observations", "duplicates", "fragments", "rejected"):
            assert (name, foreseen[name]) == (name, summary[name])
        assert summary["records"] == summary["observations"] + summary["duplicates"] + summary["rejected"]
        codes = DeadLetter.objects.filter(run_id=summary["run"]).values_list("code", flat=True)
        assert foreseen["by_code"] == {code: list(codes).count(code) for code in codes}
    assert foreseen["by_field"] == {"a": {"type_mismatch": 1}, "b": {"unknown_field": 2}}


def test_an_id_that_another_makes_meanwhile_is_left_to_them(transactional_db: None) -> None:
    taken = (User.objects.aggregate(last=Max("pk"))["last"] or 0) + 100
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('users', 'id'), %s)", [taken - 1])

    def restore() -> None:
        with transaction.atomic():
            owners_restore({"restored": taken, "besides": taken + 1})

    with ExitStack() as asides:
        with transaction.atomic():
            made = make_user(username="made")
            assert made.pk == taken
            future = asides.enter_context(Aside(restore))
            wait_for(waiting_for_the_table, "the restoring transaction to wait")
        future.result()
    assert User.objects.get(pk=taken).username == "made"
    assert User.objects.get(username="besides").pk == taken + 1
    assert not User.objects.filter(username="restored").exists()


def test_who_makes_an_owner_meanwhile_gets_another_id(transactional_db: None) -> None:
    next_id = make_user().pk + 1
    with ExitStack() as asides:
        with transaction.atomic():
            owners_restore({"restored": next_id})
            future = asides.enter_context(Aside(lambda: make_user(username="made").pk))
            wait_for(waiting_for_the_table, "the other to wait")
        assert User.objects.get(username="restored").pk == next_id
        assert future.result() != next_id


@override_settings(SCHEMAEVO_LOCK_TIMEOUT_S=0.05)
def test_restoring_owners_does_not_wait_for_ever(transactional_db: None) -> None:

    def restore() -> None:
        with pytest.raises(LockTimeout), transaction.atomic():
            owners_restore({"restored": 1})

    with transaction.atomic():
        make_user()
        with Aside(restore) as future:
            future.result()


def waiting_for_the_table() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted")
        return bool(cursor.fetchone()[0])
