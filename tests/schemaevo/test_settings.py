"""In production, what is missing stops the start; and what is there passes Django's own checks."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
REQUIRED = {
    "SCHEMAEVO_SECRET_KEY": secrets.token_urlsafe(50),
    "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SCHEMAEVO_ALLOWED_HOSTS": "one.example, two.example",
}


def in_production(command: list[str], **changed: str | None) -> subprocess.CompletedProcess[str]:
    asked = {"SCHEMAEVO_ENV": "production", **REQUIRED, **changed}
    given = {name: value for name, value in asked.items() if value is not None}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**kept, **given},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_there_passes_the_checks_of_a_deployment() -> None:
    checked = in_production(["manage.py", "check", "--deploy", "--fail-level", "WARNING"])
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
@pytest.mark.parametrize("name", REQUIRED)
def test_what_is_missing_or_empty_stops_the_start(name: str, value: str | None) -> None:
    started = in_production(["-c", "import schemaevo.settings"], **{name: value})
    assert started.returncode != 0
    assert f"{name} is not set" in started.stderr


def test_an_empty_choice_of_environment_is_not_taken_for_the_lenient_one() -> None:
    started = in_production(["-c", "import schemaevo.settings"], SCHEMAEVO_ENV="")
    assert started.returncode != 0
    assert "SCHEMAEVO_ENV must be local or production" in started.stderr


def test_lists_may_have_spaces_after_their_commas() -> None:
    script = "import schemaevo.settings as s; print(s.ALLOWED_HOSTS)"
    assert in_production(["-c", script]).stdout.strip() == "['one.example', 'two.example']"
