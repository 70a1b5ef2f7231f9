"""What an editor tells about what is typed: every problem at its place, or what saving it would come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.utils import timezone

from registry.admin.editor_rows import Row, Rows
from registry.domain.composition import FieldConflict
from registry.domain.diff import Difference
from registry.selectors_extending import ExtensionPreview
from registry.selectors_outlook import QuotaOutlook
from registry.selectors_registration import RegistrationPreview
from schemaevo.kernel.canonical import JsonObject, Unstorable

#: So many changes and reasons are listed; how many there are is told.
LISTED_MAX: Final = 200

_SECTIONS: Final = {
    "fields": "fields",
    "merge_policies": "fields",
    "additional_fields": "fields",
    "field_overrides": "overrides",
}
_PLAIN_PARTS: Final = frozenset({"type", "required", "description"})
_POLICY_PARTS: Final = frozenset({"strategy", "tie_breaker"})


@dataclass(frozen=True, slots=True)
class PlacedProblem:
    """A problem at its place in the editor: the row of a section, and the part of that row; -1 and empty where it
    belongs to none."""

    message: str
    rule: str
    path: str = ""
    section: str = ""
    row: int = -1
    field: str = ""
    part: str = ""

    def to_json(self) -> JsonObject:
        """The problem for the browser."""
        return {
            "section": self.section,
            "row": self.row,
            "field": self.field,
            "part": self.part,
            "rule": self.rule,
            "message": self.message,
            "path": self.path,
        }


@dataclass(slots=True)
class Review:
    """What saving what is typed would come to, as of a moment.

    `number` is the version or revision that it would be, `size` that of the change against what is in force; `stale`
    is what is there by now instead of the base, where somebody else was faster.
    """

    problems: list[PlacedProblem] = field(default_factory=list)
    problem_count: int = 0
    number: str = ""
    size: str = ""
    is_same: bool = False
    difference: Difference | None = None
    base: str = ""
    mode: str = ""
    reasons: list[JsonObject] = field(default_factory=list)
    quota: QuotaOutlook | None = None
    conflicts: tuple[FieldConflict, ...] = ()
    absorbed: tuple[str, ...] = ()
    stale: str | None = None
    meanwhile: Difference | None = None
    as_of: datetime = field(default_factory=timezone.now)

    @property
    def is_known(self) -> bool:
        """Whether the document could be read, so that more can be told than what is wrong with it."""
        return self.difference is not None

    @property
    def is_compatible(self) -> bool:
        """Whether the mode of the entity type admits it."""
        return self.is_known and not self.reasons

    @property
    def change_count(self) -> int:
        """How many changes the difference has."""
        return len(self.difference) if self.difference is not None else 0

    @property
    def changes(self) -> Sequence[tuple[str, str]]:
        """Words and size of the first changes."""
        return [(change.in_words, change.size) for change in (self.difference or ())][:LISTED_MAX]

    @property
    def meanwhile_words(self) -> list[str]:
        """What somebody else changed, in words."""
        return list(self.meanwhile.in_words if self.meanwhile else ())[:LISTED_MAX]

    @property
    def shown_reasons(self) -> list[JsonObject]:
        """The first reasons."""
        return self.reasons[:LISTED_MAX]

    def general_problems(self) -> list[PlacedProblem]:
        """The problems that belong to no row."""
        return [problem for problem in self.problems if problem.row < 0]

    def to_json(self) -> JsonObject:
        """The review for the browser."""
        return {
            "problems": [problem.to_json() for problem in self.problems],
            "problem_count": self.problem_count,
            "number": self.number,
            "size": self.size,
            "same": self.is_same,
            "difference": [{"words": words, "size": size} for words, size in self.changes],
            "compatible": self.is_compatible,
            "reasons": [*self.shown_reasons],
            "quota": [limit.to_json() for limit in self.quota.limits] if self.quota else None,
            "conflicts": [conflict.to_json() for conflict in self.conflicts],
            "stale": self.stale,
            "as_of": self.as_of.isoformat(),
        }


def review_of_registration(preview: RegistrationPreview, rows: Rows | None) -> Review:
    """What registering comes to; `rows` are those that the document was typed in, if it was."""
    registration = preview.registration
    problems = placed(preview.problems, rows)
    return Review(
        problems=problems,
        problem_count=preview.problem_count + len(problems) - len(preview.problems),
        number=registration.number if registration else "",
        size=registration.size if registration else "",
        is_same=registration is not None and registration.same is not None,
        difference=preview.difference,
        base=preview.base.number if preview.base else "",
        mode=registration.mode.value if registration else "",
        reasons=[reason.to_json() for reason in registration.reasons] if registration else [],
        quota=preview.quota,
    )


def review_of_extension(preview: ExtensionPreview, rows: Rows | None) -> Review:
    """What writing an extension comes to."""
    problems = placed(preview.problems, rows)
    return Review(
        problems=problems,
        problem_count=preview.problem_count + len(problems) - len(preview.problems),
        number=str(preview.revision),
        is_same=preview.is_same,
        difference=preview.difference,
        base=str(preview.ground.revision or ""),
        quota=preview.quota,
        conflicts=preview.conflicts,
        absorbed=preview.absorbed,
    )


def review_of_unreadable(error: Unstorable) -> Review:
    """What is told of a text that is no JSON."""
    problem = PlacedProblem(error.message, error.code, part="document")
    return Review(problems=[problem], problem_count=1)


def placed(problems: Sequence[JsonObject], rows: Rows | None) -> list[PlacedProblem]:
    """Problems of a document at the rows that it was typed in; names that stand twice are among them."""
    if rows is None:
        return [_placed(problem, {}, {}) for problem in problems]
    by_section = {"fields": rows.fields, "overrides": rows.overrides}
    places = {
        (section, row.name): place
        for section, listed in by_section.items()
        # The last one is what the document says.
        for place, row in enumerate(listed)
        if section == "overrides" or not row.is_blank
    }
    twice = [
        PlacedProblem(
            "this name stands above already", "duplicate", section=section, row=place, field=name, part="name"
        )
        for section, place, name in rows.repeated
    ]
    return twice + [_placed(problem, places, by_section) for problem in problems]


def _placed(
    problem: Mapping[str, object], places: Mapping[tuple[str, str], int], rows: Mapping[str, Sequence[Row]]
) -> PlacedProblem:
    path, rule, message = (str(problem[key]) for key in ("path", "rule", "message"))
    keys = [key.replace("~1", "/").replace("~0", "~") for key in path.split("/")[1:]]
    section = _SECTIONS.get(keys[0], "") if keys else ""
    if section and len(keys) > 1:
        name = keys[1]
        row = places.get((section, name), -1)
        inner = ["merge_policy", *keys[2:]] if keys[0] == "merge_policies" else keys[2:]
        part = _part(inner, rows[section][row] if row >= 0 else None)
        return PlacedProblem(message, rule, path, section, row, name, part)
    part = "kind_order" if keys[:1] == ["observation_source_priority"] else ""
    return PlacedProblem(message, rule, path, part=part)


def _part(keys: Sequence[str], row: Row | None) -> str:
    """The part of a row that a path below its field points to."""
    if not keys:
        return "name"
    if keys[0] in _PLAIN_PARTS:
        return keys[0]
    below = keys[1] if len(keys) > 1 else ""
    if keys[0] == "converters":
        # The document lists the places that are filled, one after the other.
        filled = [place for place in (1, 2, 3) if row is not None and getattr(row, f"converter_{place}")]
        place = int(below) if below.isdigit() else 0
        return f"converter_{filled[place] if place < len(filled) else 1}"
    if keys[0] == "constraints":
        return below
    return below if below in _POLICY_PARTS else "strategy"
