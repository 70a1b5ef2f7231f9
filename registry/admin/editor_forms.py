"""What a browser sends from an editor, as one typed value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from registry.admin.editor_rows import Row, Rows
from registry.domain.names import entity_type_problem
from schemaevo.kernel.canonical import Json, Unstorable, decode
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import user_by_name

PLAIN_ROWS_MAX: Final = 50
"""So many rows are typed into fields of their own where no script runs: what they send stays below
DATA_UPLOAD_MAX_NUMBER_FIELDS (1,000). More of them are edited as JSON there."""

_CONTROL = re.compile(r"(field|override)-([0-9]{1,5})-([a-z_0-9]{1,20})")


class Shown(StrEnum):
    """How the document stands on the page."""

    ROWS = "rows"
    JSON = "json"


@dataclass(slots=True)
class Typed:
    """What stands in the editor. `base` is what the author looked at, empty for nothing."""

    base: str
    shown: Shown = Shown.ROWS
    rows: Rows = field(default_factory=Rows)
    text: str = ""
    note: str = ""

    @classmethod
    def from_post(cls, post: QueryDict) -> Typed:
        """What was typed. Rows come as one JSON text where a script runs, else in fields of their own.

        Raises: Unstorable for rows that no browser sends.
        """
        rows = _rows_from_text(post.get("rows", "")) if "rows" in post else _rows_from_controls(post)
        rows.has_own_kinds = post.get("kinds") == "own"
        rows.kind_order = post.get("kind_order", "").replace("\r\n", "\n")
        return cls(
            base=post.get("base", ""),
            shown=Shown.JSON if post.get("shown") == Shown.JSON else Shown.ROWS,
            rows=rows,
            text=post.get("document", ""),
            note=post.get("note", ""),
        )


def _rows_from_text(text: str) -> Rows:
    sent = decode(text)
    if not isinstance(sent, dict):
        raise Unstorable("malformed", "the rows are no object")
    return Rows(fields=_rows(sent.get("fields")), overrides=_rows(sent.get("overrides")))


def _rows(sent: Json) -> list[Row]:
    return [Row.from_mapping(row) for row in sent if isinstance(row, dict)] if isinstance(sent, list) else []


def _rows_from_controls(post: QueryDict) -> Rows:
    found: dict[tuple[str, int], dict[str, str]] = {}
    for key in post:
        if (match := _CONTROL.fullmatch(key)) is not None:
            section, place, part = match.groups()
            found.setdefault((section, int(place)), {})[part] = post.get(key, "")
    in_order = sorted(found.items())
    return Rows(
        fields=[Row.from_mapping(parts) for (section, _place), parts in in_order if section == "field"],
        overrides=[Row.from_mapping(parts) for (section, _place), parts in in_order if section == "override"],
    )


class NoteForm(forms.Form):
    """Why something is saved."""

    note = forms.CharField(
        label=_("Note"),
        help_text=_("Why this is changed; it stands in the audit log."),
        required=False,
        max_length=1_000,
        widget=UnfoldAdminTextInputWidget,
    )


class OwnerForm(forms.Form):
    """An entity type and somebody's name; `found` is the user, once the form is valid."""

    entity_type = forms.CharField(
        label=_("Entity type"),
        help_text=_("Such as invoice: a-z, 0-9 and _."),
        max_length=63,
        widget=UnfoldAdminTextInputWidget,
    )
    owner = forms.CharField(
        label=_("Owner"),
        help_text=_("User name, e-mail or number."),
        max_length=254,
        widget=UnfoldAdminTextInputWidget,
    )
    found: User | None = None

    def clean_entity_type(self) -> str:
        name: str = self.cleaned_data["entity_type"]
        if (problem := entity_type_problem(name)) is not None:
            raise ValidationError(problem)
        return name

    def clean_owner(self) -> str:
        name: str = self.cleaned_data["owner"]
        if name:
            try:
                self.found = user_by_name(name)
            except DomainError as error:
                raise ValidationError(error.message) from error
        return name


class NewSchemaForm(OwnerForm, NoteForm):
    """What the first version of a schema is for; without an owner it is global."""

    field_order = ("entity_type", "owner", "note")

    def __init__(self, *given: Mapping[str, str] | None, **more: Mapping[str, object]) -> None:
        super().__init__(*given, **more)  # type: ignore[arg-type]
        self.fields["owner"].required = False
        self.fields["owner"].help_text = _("User name, e-mail or number; empty for the global schema.")
