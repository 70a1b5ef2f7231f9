"""Lists that can be exported: what the present filter and search match, in the list's order, as a file."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import urlencode

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _now
from psycopg.errors import QueryCanceled

from schemaevo.kernel.canonical import Json, JsonObject, is_storable_text
from schemaevo.kernel.errors import Denied
from schemaevo.kernel.export_formats import ExportFormat
from schemaevo.kernel.export_runs import Door, Export, export_stream
from schemaevo.kernel.figures import today
from schemaevo.kernel.pages.display import duration
from schemaevo.kernel.pages.estimates import Amount, found_counted
from schemaevo.kernel.pages.filters import EntityTypeFilter, ExactFilter, OwnerFilter, user_named
from schemaevo.kernel.pages.keyset import KeysetAdmin, KeysetChangeList, page_limit
from schemaevo.kernel.pages.rights import SEE_VALUES, actor_of
from schemaevo.kernel.pages.verbs import verb_page
from schemaevo.kernel.streams import FETCH_SIZE, rows_streamed

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
    from django.utils.functional import _StrPromise

#: Observations of the demo, the widest rows there are, go at 1,000 a second on one core of two that are busy.
ROWS_PER_S = 1_000
#: What can be an entity type; anything else may be typed into the filter.
ENTITY_TYPE = re.compile(r"[a-z][a-z0-9_]{0,62}")
#: So much of what was typed into a filter is kept in the audit log.
TOLD_MAX = 200


class ExportingAdmin(KeysetAdmin):
    """A list with a button that leads to a page which says what would be exported, and gives it.

    Subclasses say which columns a file has and how a row becomes a line with all of them.
    """

    #: What files are called.
    export_name: ClassVar[str]
    #: The columns of CSV in their order; a line has these keys, and no others.
    export_columns: ClassVar[tuple[str, ...]]
    #: The columns of the table that lines are made of: no other is read.
    export_reads: ClassVar[tuple[str, ...]]
    #: As `referred`, for lines.
    export_referred: ClassVar[dict[str, tuple[str, ...]]] = {}
    #: Who may see the list needs this as well.
    export_permission: ClassVar[str] = SEE_VALUES
    #: What more there is to know about a file.
    export_note: ClassVar[str | _StrPromise] = ""

    def export_lines(self, rows: Sequence[Any]) -> Iterable[JsonObject]:
        """The line of each of these rows, which have what `export_referred` names; at most FETCH_SIZE of them."""
        raise NotImplementedError

    def export_rows(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the listed rows that a file has: all, unless some would be taken for what they are not."""
        return rows

    def may_export(self, request: HttpRequest) -> bool:
        """Whether this login gets the rows that the list shows it as a file."""
        return self.has_view_permission(request) and request.user.has_perm(self.export_permission)

    def get_urls(self) -> list[URLPattern]:
        """The page of the export, before the addresses of the rows."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [
            path("export/", self.admin_site.admin_view(self.export_view), name=name),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, with the way to its export for who may."""
        if not self.may_export(request):
            return super().changelist_view(request, extra_context)
        exported = {"export_url": self._address("export", request)}
        return super().changelist_view(request, {**exported, **(extra_context or {})})

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """What would be exported, and in which forms; on POST the file."""
        if request.method not in {"GET", "HEAD", "POST"}:
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        if not self.may_export(request):
            raise PermissionDenied
        try:
            listed = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse(self._view("changelist")))
        asked = request.POST.get("format")
        if asked in set(ExportFormat):
            return self._file(request, listed, ExportFormat(asked))
        amount = self._amount(listed)
        return verb_page(
            self,
            request,
            "admin/export.html",
            title=_now("Export %(what)s") % {"what": self.many or self.opts.verbose_name_plural},
            narrowed=_in_words(listed),
            amount=amount,
            takes=None if amount is None else duration(amount.value / ROWS_PER_S),
            note=self.export_note,
            list_url=self._address("changelist", request),
        )

    def _file(
        self, request: HttpRequest, listed: ChangeList, export_format: ExportFormat
    ) -> StreamingHttpResponse:
        entity_type = _entity_type(listed)
        export = Export(
            table=self.opts.db_table,
            entity_type=entity_type,
            filters=_told(listed),
            export_format=export_format,
            door=Door.PAGE,
        )
        try:
            data = export_stream(
                actor=actor_of(request),
                permission=self.export_permission,
                export=export,
                lines=lambda: self._lines(listed),
                columns=self.export_columns,
            )
        except Denied as error:
            raise PermissionDenied from error
        answer = StreamingHttpResponse(data, content_type=export_format.media_type)
        named = "-".join(part for part in (self.export_name, entity_type, today().isoformat()) if part)
        answer["Content-Disposition"] = f'attachment; filename="{named}.{export_format.value}"'
        return answer

    def _lines(self, listed: ChangeList) -> Generator[JsonObject, None, None]:
        rows = (
            self.export_rows(listed.queryset)
            .order_by(*cast(KeysetChangeList, listed).keyset.order)
            .defer(None)
            .only(*self.export_reads)
        )
        with rows_streamed(rows) as found:
            while chunk := list(islice(found, FETCH_SIZE)):
                self._attach(chunk, self.export_referred)
                yield from self.export_lines(chunk)

    def _amount(self, listed: ChangeList) -> Amount | None:
        """About how many rows; None where that cannot be told in short."""
        known: Amount | None = listed.paginator.total
        if known is not None:
            return known
        try:
            with page_limit():
                return found_counted(listed.queryset)
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled):
                raise
            return None

    def _address(self, view: str, request: HttpRequest) -> str:
        """That view of the list, as the list is narrowed now."""
        query = [(name, value) for name, value in request.GET.items() if name != PAGE_VAR and value]
        return reverse(self._view(view)) + (f"?{urlencode(query)}" if query else "")

    def _view(self, view: str) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}"


def _given(listed: ChangeList) -> list[tuple[Any, str]]:
    """The filters that narrow the list, each with what was typed or picked."""
    specs: Sequence[Any] = listed.filter_specs
    found = [(spec, (spec.value() or "").strip()) for spec in specs]
    return [(spec, text) for spec, text in found if text]


def _in_words(listed: ChangeList) -> list[tuple[str, str]]:
    """By what the list is narrowed, for people."""
    words = [
        (str(capfirst(spec.title)), str(dict(spec.lookup_choices).get(text, text)))
        for spec, text in _given(listed)
    ]
    return [*words, *([(_now("Search"), listed.query)] if listed.query else [])]


def _told(listed: ChangeList) -> JsonObject:
    """The same for the audit log: owners by number, and nothing that may stand in a record."""
    told: JsonObject = {spec.parameter_name: _kept(spec, text) for spec, text in _given(listed)}
    return {**told, **({SEARCH_VAR: "…"} if listed.query else {})}


def _kept(spec: Any, text: str) -> Json:
    if isinstance(spec, OwnerFilter):
        return user_named(text)
    if isinstance(spec, ExactFilter) and not spec.may_be_told:
        return "…"
    return text[:TOLD_MAX] if is_storable_text(text) else "…"


def _entity_type(listed: ChangeList) -> str:
    """The one type of which the list is; empty where it may be of several."""
    for spec, text in _given(listed):
        if isinstance(spec, EntityTypeFilter) and ENTITY_TYPE.fullmatch(text):
            return text
    return ""
