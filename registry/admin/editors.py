"""What the editors of schemas and of extensions share: one page that is typed in, checked and saved.

Every answer to a POST but a saved one is the same page again, with what was typed. `go` says what was asked for:
save, check, another view, another row, or a base that somebody else has made meanwhile.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registry.admin.editor_forms import PLAIN_ROWS_MAX, Shown, Typed
from registry.admin.editor_reviews import Review, review_of_unreadable
from registry.admin.editor_rows import Row, Rows, suits
from registry.domain.converters import CONVERTERS
from registry.domain.problems import InvalidDocument
from registry.domain.vocabulary import DEFAULT_KIND_ORDER, FieldType, Strategy, TieBreaker
from registry.errors import StaleBase
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject, Unstorable, decode
from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.pages.base import StoreAdmin
from schemaevo.kernel.pages.display import pretty
from schemaevo.kernel.pages.rights import actor_of
from schemaevo.kernel.pages.verbs import form_refused, verb_page

Subject = TypeVar("Subject")

#: What every row is offered.
CHOICES: Final[dict[str, Any]] = {
    "types": [field_type.value for field_type in FieldType],
    "strategies": [strategy.value for strategy in Strategy if strategy is not Strategy.LAST_WRITE],
    "default_strategy": Strategy.LAST_WRITE.value,
    "tie_breakers": [TieBreaker.SOURCE_PRIORITY.value],
    "default_tie_breaker": TieBreaker.OBSERVED_AT.value,
    "converters": [(function, spec.source.value, spec.target.value) for function, spec in CONVERTERS.items()],
    "suits": suits(),
    "default_kinds": ", ".join(DEFAULT_KIND_ORDER),
}

_REFUSED: Final = {"invalid_entity_type": "entity_type"}


class Editor(ABC, Generic[Subject]):
    """The page on which one kind of document is edited. A subject says whose, of what type, from which base."""

    permission: ClassVar[str]
    template: ClassVar[str]

    def __init__(self, model_admin: StoreAdmin) -> None:
        self.model_admin = model_admin

    # --- what each kind says for itself -----------------------------------------------------------------
    @abstractmethod
    def begun(self, subject: Subject) -> Typed:
        """What the page begins with."""

    @abstractmethod
    def document(self, subject: Subject, typed: Typed) -> Json:
        """The document that is typed. Raises: Unstorable for a text that is no JSON."""

    @abstractmethod
    def rows_of(self, subject: Subject, document: Json) -> Rows | None:
        """The document as rows; None where rows cannot hold it. Raises: InvalidDocument."""

    @abstractmethod
    def review(self, subject: Subject, typed: Typed, document: Json) -> Review:
        """What saving would come to."""

    @abstractmethod
    def save(self, request: HttpRequest, subject: Subject, document: Json, typed: Typed) -> HttpResponse:
        """The document is saved, and the answer leads to it. Raises: DomainError."""

    @abstractmethod
    def rebased(self, subject: Subject, typed: Typed) -> tuple[Typed, tuple[str, ...]]:
        """What is typed on top of what is there now, and the places that both have changed. Raises:
        InvalidDocument; Unstorable."""

    @abstractmethod
    def newest_base(self, subject: Subject) -> str:
        """What an edit has to begin from now."""

    @abstractmethod
    def page_context(self, request: HttpRequest, subject: Subject, typed: Typed) -> dict[str, Any]:
        """What the page needs beyond what all editors show: `title`, `check_url`, `back_url` among it."""

    def go_on_url(self, subject: Subject) -> str:
        """Where what is typed goes on from what somebody else has made; empty for this page itself."""
        return ""

    # --- the page ---------------------------------------------------------------------------------------
    def authorise(self, request: HttpRequest) -> Actor:
        """Raises: PermissionDenied."""
        if not request.user.has_perm(self.permission):
            raise PermissionDenied
        return actor_of(request)

    def respond(self, request: HttpRequest, subject: Subject, form: Form) -> HttpResponseBase:
        """The page, or what was asked of it."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "POST"])
        if request.method != "POST":
            return self._page(request, subject, form, self.begun(subject))
        is_complete = form.is_valid()
        try:
            typed = Typed.from_post(request.POST)
        except Unstorable as error:
            form_refused(form, error)
            return self._page(request, subject, form, self.begun(subject))
        go = request.POST.get("go", "check")
        if go == "save" and is_complete:
            return self._saved(request, subject, form, typed)
        try:
            typed = self._gone(request, subject, typed, go)
        except (InvalidDocument, Unstorable):
            # What is wrong stands on the page, at its place.
            messages.error(
                request, _("Mend first what is wrong: as it is, it can only be shown in this way.")
            )
        return self._page(request, subject, form, typed)

    def check(
        self, request: HttpRequest, named: Callable[[], Subject], form: Form | None = None
    ) -> HttpResponseBase:
        """What saving would come to, as JSON. Writes nothing."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        self.authorise(request)
        subject = named()
        try:
            typed = Typed.from_post(request.POST)
        except Unstorable as error:
            review = review_of_unreadable(error)
        else:
            review = self._review(subject, typed)
        context = {"review": review, "go_on_url": self.go_on_url(subject)}
        html = render_to_string("admin/registry/editor/review.html", context, request)
        answer: JsonObject = {**review.to_json(), "html": html}
        if form is not None and not form.is_valid():
            answer["form"] = {name: [str(line) for line in lines] for name, lines in form.errors.items()}
        return JsonResponse(answer)

    def _saved(self, request: HttpRequest, subject: Subject, form: Form, typed: Typed) -> HttpResponseBase:
        try:
            if typed.shown is Shown.ROWS and any(typed.rows.repeated):
                raise _Unsaved
            return self.save(request, subject, self.document(subject, typed), typed)
        except (InvalidDocument, Unstorable, StaleBase, _Unsaved):
            messages.error(request, _("Nothing was saved; what was typed stands here as it was."))
        except DomainError as error:
            form_refused(
                form, error, **{code: name for code, name in _REFUSED.items() if name in form.fields}
            )
        return self._page(request, subject, form, typed)

    def _gone(self, request: HttpRequest, subject: Subject, typed: Typed, go: str) -> Typed:
        """What stands on the page after one of its buttons. Raises: InvalidDocument; Unstorable."""
        verb, _colon, rest = go.partition(":")
        match verb:
            case "json" if typed.shown is Shown.ROWS:
                if any(typed.rows.repeated):
                    raise Unstorable("malformed", "a name stands twice")
                typed.text = pretty(self.document(subject, typed))
                typed.shown = Shown.JSON
            case "rows" if typed.shown is Shown.JSON:
                rows = self.rows_of(subject, self.document(subject, typed))
                if rows is None:
                    messages.warning(request, _("This document holds what rows cannot show."))
                else:
                    typed.rows, typed.shown = rows, Shown.ROWS
            case "add":
                typed.rows.fields.append(Row(type=FieldType.STRING.value))
            case "override":
                typed.rows.overrides.append(Row(name=rest))
            case "remove":
                section, _colon, place = rest.partition(":")
                listed = typed.rows.overrides if section == "override" else typed.rows.fields
                if (row := number_or_none(place)) is not None and row < len(listed):
                    del listed[row]
            case "keep":
                typed.base = self.newest_base(subject)
            case "rebase":
                typed, clashes = self.rebased(subject, typed)
                _tell_rebased(request, clashes)
        return typed

    def _review(self, subject: Subject, typed: Typed) -> Review:
        try:
            return self.review(subject, typed, self.document(subject, typed))
        except Unstorable as error:
            return review_of_unreadable(error)

    def _page(self, request: HttpRequest, subject: Subject, form: Form, typed: Typed) -> HttpResponse:
        review = self._review(subject, typed)
        problems = _by_place(review)
        own = self.page_context(request, subject, typed)
        shared: Mapping[str, Row] = own.get("shared_rows", {})
        return verb_page(
            self.model_admin,
            request,
            self.template,
            form=form,
            typed=typed,
            is_json=typed.shown is Shown.JSON,
            choices=CHOICES,
            field_rows=_shown_rows(typed.rows.fields, "fields", problems, {}),
            override_rows=_shown_rows(typed.rows.overrides, "overrides", problems, shared),
            is_plain=len(typed.rows.fields) + len(typed.rows.overrides) <= PLAIN_ROWS_MAX,
            plain_max=PLAIN_ROWS_MAX,
            rows_data=typed.rows.to_json(),
            problems_data=[problem.to_json() for problem in review.problems],
            review=review,
            go_on_url=self.go_on_url(subject),
            **own,
        )


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row as the page shows it: what is typed, what is wrong with its parts, and of an override the global field."""

    row: Row
    problems: Mapping[str, Sequence[str]]
    shared: Row | None


class _Unsaved(Exception):
    """What is typed is no document that a service could be asked to save."""


def _shown_rows(
    rows: list[Row],
    section: str,
    problems: Mapping[tuple[str, int], Mapping[str, Sequence[str]]],
    shared: Mapping[str, Row],
) -> list[ShownRow]:
    return [
        ShownRow(row, problems.get((section, place), {}), shared.get(row.name))
        for place, row in enumerate(rows)
    ]


def _by_place(review: Review) -> dict[tuple[str, int], dict[str, list[str]]]:
    found: dict[tuple[str, int], dict[str, list[str]]] = {}
    for problem in review.problems:
        if problem.row >= 0:
            parts = found.setdefault((problem.section, problem.row), {})
            parts.setdefault(problem.part, []).append(problem.message)
    return found


def _tell_rebased(request: HttpRequest, clashes: tuple[str, ...]) -> None:
    messages.info(request, _("What you changed stands on what is there now. Nothing is saved yet."))
    if clashes:
        told = ngettext(
            "Somebody else changed this as well; here it is as you typed it: %(places)s",
            "Somebody else changed these as well; here they are as you typed them: %(places)s",
            len(clashes),
        )
        messages.warning(request, told % {"places": ", ".join(clashes[:20])})


def decoded(typed: Typed) -> Json:
    """The document of the JSON view. Raises: Unstorable."""
    return decode(typed.text)
