"""Running commands as a shell does: what they answer, say and refuse."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from schemaevo.kernel.canonical import Json


@dataclass(frozen=True)
class Refusal:
    """A command that ended with an error: its exit code, what people read, and the JSON object."""

    exit_code: int
    text: str
    answer: dict[str, Any]

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Path and rule of each problem, or reason, in order."""
        context = self.answer["context"]
        return [(one["path"], one["rule"]) for one in context.get("problems", context.get("reasons", []))]


def run(*arguments: str) -> dict[str, Any]:
    """Runs a command with --json; gives the object, which is all that stands on stdout."""
    out = io.StringIO()
    call_command(*arguments, "--json", stdout=out, stderr=io.StringIO())
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def said(*arguments: str) -> str:
    """What people read."""
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def refused(*arguments: str) -> CommandError:
    """The error that a command ends with."""
    with pytest.raises(CommandError) as refusal:
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
    return refusal.value


def refusal(*arguments: str) -> Refusal:
    """The error that a command ends with, as people and as machines get it."""
    out = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command(*arguments, "--json", stdout=out, stderr=io.StringIO())
    return Refusal(error.value.returncode, str(error.value), json.loads(out.getvalue()))


def written(path: Path, content: Json | bytes) -> str:
    """A file of that content, its keys in the order given, named as a command takes it."""
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)
