"""Every command acts in the name of the login that it is told, or of whoever has the shell, and of nobody else."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from schemaevo.kernel.actors import Actor
from tests.permissions.commands import COMMANDS, OTHERS, Command
from tests.permissions.scene import Scene, Store, actors_since, everything, newest_event, scene_of
from tests.permissions.table import TABLE, Role, roles_for

pytestmark = pytest.mark.django_db

OUR_APPS = {"schemaevo", "schemaevo.kernel", "registry", "snapshots", "fragments"}
#: They have no name to give.
NAMELESS = frozenset({Role.STRANGER, Role.SHELL})
NAMED = [line for line in COMMANDS if line.row]
SHELLS = [line for line in COMMANDS if not line.row]


def told(*arguments: str) -> tuple[str, int]:
    """The code of the error that a command ends with, and its exit code; nothing and 0 where it did it."""
    out = io.StringIO()
    try:
        call_command(*arguments, "--json", stdout=out, stderr=io.StringIO())
    except CommandError as error:
        return json.loads(out.getvalue() or '{"error": "wrong usage"}')["error"], error.returncode
    return "", 0


def arguments_of(line: Command, scene: Scene) -> tuple[str, ...]:
    arguments = line.call(scene)
    return (*arguments, "--as", scene.login.username) if line.row else arguments


def name_of(line: Command, store: Store) -> str:
    with scene_of(store, Role.SUPERUSER) as scene:
        return line.call(scene)[0]


@pytest.mark.parametrize("number", range(len(NAMED)))
def test_a_command_with_a_login_does_what_the_login_may(store: Store, number: int) -> None:
    line = NAMED[number]
    row = TABLE[line.row]
    answers: dict[Role, tuple[str, int]] = {}
    for role in roles_for(row, but=NAMELESS):
        with scene_of(store, role) as scene:
            line.first(scene)
            before, event = everything(), newest_event()
            answers[role] = told(*arguments_of(line, scene))
            may = role in row.may
            assert (everything() != before) == may, role
            assert actors_since(event) == ({scene.actor.name} if may else set()), role
    assert answers == {role: (row.refusal(role), 1 if row.refusal(role) else 0) for role in answers}


@pytest.mark.parametrize("number", range(len(NAMED)))
def test_a_command_with_a_login_does_nothing_without_one(store: Store, number: int) -> None:
    with scene_of(store, Role.SUPERUSER) as scene:
        NAMED[number].first(scene)
        before = everything()
        for arguments in (NAMED[number].call(scene), (*NAMED[number].call(scene), "--as", "nobody")):
            assert told(*arguments)[1] != 0
        assert everything() == before


@pytest.mark.parametrize("number", range(len(SHELLS)))
def test_the_other_commands_act_as_whoever_has_the_shell(store: Store, number: int) -> None:
    line = SHELLS[number]
    with scene_of(store, Role.SHELL) as scene:
        line.first(scene)
        before, event = everything(), newest_event()
        assert told(*line.call(scene)) == ("", 0)
        assert everything() != before
        assert actors_since(event) == ({Actor.shell().name} if line.audited else set())


def test_every_command_is_tried_or_says_why_not(store: Store) -> None:
    ours = {name: app for name, app in get_commands().items() if app in OUR_APPS}
    tried = {name_of(line, store) for line in COMMANDS}
    assert not tried & OTHERS.keys()
    assert tried | OTHERS.keys() == ours.keys()


def test_whatever_takes_a_login_has_a_row(store: Store) -> None:
    takes_a_login = set()
    for name, app in get_commands().items():
        if app in OUR_APPS:
            parser = load_command_class(str(app), name).create_parser("manage.py", name)
            if any("--as" in option.option_strings for option in parser._actions):
                takes_a_login.add(name)
    assert takes_a_login == {name_of(line, store) for line in NAMED}
