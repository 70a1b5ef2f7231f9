"""The Dockerfile, read as a builder reads it: stages of steps."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Step:
    """One instruction: its word, and what follows on one line."""

    word: str
    text: str


@dataclass
class Stage:
    """What stands between one FROM and the next."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)


def read_dockerfile(path: Path = PROJECT / "Dockerfile") -> list[Stage]:
    """The stages in their order; the last one is the image."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stages: list[Stage] = []
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base.strip(), name.strip() or "image"))
        else:
            stages[-1].steps.append(Step(word, rest.strip()))
    return stages


def last_of(stage: Stage, word: str) -> str:
    """What follows the last instruction of that word, which is the one that counts."""
    return [step.text for step in stage.steps if step.word == word][-1]
