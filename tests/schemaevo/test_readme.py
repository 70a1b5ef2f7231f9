"""What the README tells a newcomer to type works, and answers as it says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.db import connection

from fragments.models import DeadLetter, RawFragment
from schemaevo.kernel.commands import ServiceCommand
from snapshots.models import Observation

PROJECT = Path(__file__).resolve().parents[2]
OWN_APPS = {"schemaevo", "schemaevo.kernel", "registry", "snapshots", "fragments"}


def own_records() -> str:
    """The section of the README that feeds records and lists the commands."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    return text.partition("\n## Your own records\n")[2].partition("\n## ")[0]


def code(language: str) -> str:
    """The one block of this language in that section."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", own_records(), flags=re.DOTALL)
    return str(block)


def same_every_time(answer: str) -> str:
    """Without what differs from run to run: its number and how long it took."""
    return re.sub(
        r"^Run \d+: (\d+) records in [\d.]+ s", r"Run N: \1 records in T s", answer, flags=re.MULTILINE
    )


@pytest.mark.django_db(transaction=True)
def test_a_newcomers_own_records_come_out_as_the_readme_shows(tmp_path: Path) -> None:
    # The folder of a clone, as far as the block uses it; its Python is the one that runs the tests.
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "manage.py").symlink_to(PROJECT / "manage.py")
    server, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    environment = {**os.environ, "DATABASE_URL": f"{server}/{connection.settings_dict['NAME']}"}
    environment["DJANGO_SETTINGS_MODULE"] = "schemaevo.settings"

    def typed(text: str) -> str:
        done = subprocess.run(
            ["sh", "-e", "-c", text],
            cwd=tmp_path,
            env=environment,
            check=False,
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert same_every_time(typed(code("sh"))) == same_every_time(code("text"))
    fragments = RawFragment.objects.order_by("fragment_key").values_list("fragment_key", "value")
    assert list(fragments) == [("colour", "blue"), ("total", "12.50")]
    assert [(letter.line_number, letter.code) for letter in DeadLetter.objects.all()] == [(3, "missing_key")]

    # Typed again, nothing is stored twice.
    assert "2 duplicates, 0 fragments" in typed(code("sh"))
    assert Observation.objects.count() == 2


def test_the_readme_lists_the_commands_there_are_and_says_which_speak_json() -> None:
    own = {name: load_command_class(app, name) for name, app in get_commands().items() if app in OWN_APPS}
    cells = [line.split("|")[1] for line in own_records().splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)", " ".join(cells))) == {*own, "check"}
    found = re.search(r"All but (.*?) and Django's own `check` take `--json`", own_records(), flags=re.DOTALL)
    assert found is not None
    silent = {name for name, command in own.items() if not isinstance(command, ServiceCommand)}
    assert set(re.findall(r"`(\w+)`", found[1])) == silent
