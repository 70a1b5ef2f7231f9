"""Every action in every state does what the table says, through every door, and a refusal changes nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from registry.domain.proposal import MOVES, Action, State
from tests.proposals.doors import Commands, Pages, Services
from tests.proposals.table import BY_SYSTEM, CELLS, Cell, Door
from tests.proposals.walking import walk

pytestmark = pytest.mark.django_db

SERVICES, COMMANDS, PAGES = Services(), Commands(Path()), Pages()


def cells(door: Door) -> list[Cell]:
    """The part of the table that the door leads to."""
    return [cell for cell in CELLS if cell.action in door.actions]


@pytest.mark.parametrize("cell", cells(SERVICES), ids=str)
def test_a_service_does_what_the_table_says(cell: Cell) -> None:
    walk(SERVICES, cell)


@pytest.mark.parametrize("cell", cells(COMMANDS), ids=str)
def test_a_command_does_what_the_table_says(cell: Cell, tmp_path: Path) -> None:
    walk(Commands(tmp_path), cell)


@pytest.mark.parametrize("cell", cells(PAGES), ids=str)
def test_a_page_does_what_the_table_says(cell: Cell) -> None:
    walk(PAGES, cell)


def test_the_table_is_whole_and_agrees_with_the_one_of_the_domain() -> None:
    # The system alone notes a failure; to try means to try undoing, of what is applied.
    named = set(Action) - {Action.FAIL, Action.TRY_UNDO}
    assert Counter((cell.action, cell.state) for cell in CELLS) == Counter(
        (action, state) for action in named for state in State
    )
    moves = {
        (cell.action, cell.state): cell.after for cell in CELLS if cell.code is None and not cell.is_nothing
    }
    assert moves == {
        (Action.TRY if action is Action.TRY_UNDO else action, state): after
        for action, found in MOVES.items()
        if action is not Action.FAIL
        for state, after in found.items()
    }


def test_every_action_is_walked_through_services_and_all_that_people_do_through_commands_and_pages() -> None:
    assert SERVICES.actions == {cell.action for cell in CELLS}
    assert COMMANDS.actions == PAGES.actions == SERVICES.actions - BY_SYSTEM
