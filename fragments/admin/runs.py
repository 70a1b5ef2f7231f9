"""Pages of ingest runs and of what they refused."""

from collections.abc import Iterable
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from fragments.models import DeadLetter, IngestRun, IngestState
from fragments.selectors_exports import LETTER_COLUMNS, letter_lines
from fragments.selectors_runs import runs_left_open
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.narrowing import number_or_none
from schemaevo.kernel.pages.display import (
    amount,
    badge,
    code,
    hidden,
    json_block,
    link,
    moment,
    row_link,
)
from schemaevo.kernel.pages.exporting import ExportingAdmin
from schemaevo.kernel.pages.filters import (
    ChoiceFilter,
    EntityTypeFilter,
    ExactFilter,
    NumberFilter,
    PickFilter,
)
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin
from schemaevo.kernel.pages.rights import may_see_values
from schemaevo.kernel.pages.views_bar import ReadyView

RUN_TONES = {
    IngestState.RUNNING: "busy",
    IngestState.DONE: "good",
    IngestState.FAILED: "bad",
    IngestState.INTERRUPTED: "bad",
}
#: How many rejected records the page of a run shows itself.
REJECTED_SHOWN = 20


class RunStateFilter(ChoiceFilter):
    title = _("state")
    parameter_name = "state"
    column = "state"
    choices_from = IngestState


class RunNameFilter(ExactFilter):
    title = _("file or stream")
    parameter_name = "name"
    column = "name"


class LeftOpenFilter(PickFilter):
    """What somebody has to run again, as the first page counts it."""

    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("open", _("did not get through, and was not run again"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if not self.value():
            return queryset
        is_known = self.value() == "open"
        return queryset.filter(pk__in=runs_left_open().values("pk")) if is_known else queryset.none()


@admin.register(IngestRun)
class IngestRunAdmin(KeysetAdmin):
    """Every import: what it read, what came of it, what it refused."""

    keyset = Keyset(("-id",))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"started_by": ("username",)}
    nothing_yet = _(
        "Nothing was ingested yet: manage.py ingest FILE --entity-type TYPE --user NAME "
        "--key-field FIELD makes the first run."
    )
    list_display = (
        "run",
        "entity_type",
        "shown_state",
        "records",
        "observations",
        "duplicates",
        "fragments",
        "rejected",
        "started",
    )
    list_filter = (EntityTypeFilter, RunStateFilter, LeftOpenFilter, RunNameFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (
        ReadyView(_("To be run again"), {"outcome": "open"}),
        ReadyView(_("Running"), {"state": "running"}),
    )
    search_fields = ("=id",)
    search_help_text = _("Number of a run")
    fieldsets: ClassVar[Any] = (
        (
            None,
            {
                "fields": (
                    ("name", "shown_state"),
                    ("entity_type", "by"),
                    ("started", "finished"),
                    ("last_heard_of",),
                    ("records", "observations"),
                    ("duplicates", "fragments"),
                    ("rejected", "default_time"),
                )
            },
        ),
        (_("How it was asked for"), {"fields": ("shown_options", "content_hash")}),
    )
    change_form_outer_after_template = "admin/fragments/ingestrun/rejected.html"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip().removeprefix("#")
        if not term:
            return queryset, False
        number = number_or_none(term)
        return queryset.none() if number is None else queryset.filter(pk=number), False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and obj.retracted_count:
            (title, first), *others = fieldsets
            fieldsets = ((title, {**first, "fields": (*first["fields"], ("of_retracted",))}), *others)
        if obj is None or not obj.error:
            return fieldsets
        # An error may quote the value that it failed on; who was interrupted said nothing.
        is_harmless = obj.state == IngestState.INTERRUPTED
        shown = "shown_error" if is_harmless or may_see_values(request) else "hidden_error"
        return (*fieldsets, (_("What went wrong"), {"fields": (shown,)}))

    def page_context(self, request: HttpRequest, run: IngestRun) -> dict[str, Any]:
        if not request.user.has_perm("fragments.view_deadletter"):
            return {}
        letters = run.dead_letters.order_by("line_number").defer("raw")
        return {
            "rejected": list(letters[:REJECTED_SHOWN]),
            "rejected_count": run.rejected_count,
            "rejected_url": _list_url("fragments_deadletter", run=run.pk),
            "may_see_values": may_see_values(request),
        }

    @admin.display(description=_("run"))
    def run(self, run: IngestRun) -> str:
        return str(run)

    @admin.display(description=_("state"))
    def shown_state(self, run: IngestRun) -> SafeString:
        return badge(run.get_state_display(), RUN_TONES[IngestState(run.state)])

    @admin.display(description=_("records"))
    def records(self, run: IngestRun) -> SafeString:
        return amount(run.record_count)

    @admin.display(description=_("observations"))
    def observations(self, run: IngestRun) -> SafeString:
        if not run.observation_count:
            return amount(0)
        # The time bounds let the list walk its index over this run alone.
        bounds = {"received_from": run.started_at.isoformat()}
        if run.finished_at:
            bounds["received_to"] = run.finished_at.isoformat()
        return link(_list_url("snapshots_observation", run=run.pk, **bounds), amount(run.observation_count))

    @admin.display(description=_("duplicates"))
    def duplicates(self, run: IngestRun) -> SafeString:
        return amount(run.duplicate_count)

    @admin.display(description=_("fragments"))
    def fragments(self, run: IngestRun) -> SafeString:
        return amount(run.fragment_count)

    @admin.display(description=_("rejected"))
    def rejected(self, run: IngestRun) -> SafeString:
        if not run.rejected_count:
            return amount(0)
        return link(_list_url("fragments_deadletter", run=run.pk), amount(run.rejected_count))

    @admin.display(description=_("of a retracted source"))
    def of_retracted(self, run: IngestRun) -> SafeString:
        return amount(run.retracted_count)

    @admin.display(description=_("started"))
    def started(self, run: IngestRun) -> SafeString:
        return moment(run.started_at)

    @admin.display(description=_("finished"))
    def finished(self, run: IngestRun) -> SafeString:
        return moment(run.finished_at)

    @admin.display(description=_("last heard of"))
    def last_heard_of(self, run: IngestRun) -> SafeString:
        return moment(run.alive_at)

    @admin.display(description=_("started by"))
    def by(self, run: IngestRun) -> str:
        return str(run.started_by) if run.started_by else str(_("the shell"))

    @admin.display(description=_("time of records without one"))
    def default_time(self, run: IngestRun) -> SafeString:
        return moment(run.default_observed_at)

    @admin.display(description=_("options"))
    def shown_options(self, run: IngestRun) -> SafeString:
        return json_block(run.options)

    @admin.display(description=_("error"))
    def shown_error(self, run: IngestRun) -> SafeString:
        return format_html('<pre class="se-json" tabindex="0">{}</pre>', run.error)

    @admin.display(description=_("error"))
    def hidden_error(self, run: IngestRun) -> SafeString:
        return hidden()


def _list_url(view: str, **narrowed: Any) -> str:
    return f"{reverse(f'admin:{view}_changelist')}?{urlencode(narrowed)}"


class LetterRunFilter(NumberFilter):
    title = _("ingest run")
    parameter_name = "run"
    column = "run_id"


class LetterCodeFilter(ExactFilter):
    title = _("reason")
    parameter_name = "reason"
    column = "code"


@admin.register(DeadLetter)
class DeadLetterAdmin(ExportingAdmin):
    """What was refused, where it stood and why. The record and the message may hold values."""

    keyset = Keyset(("-id",))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"run": ("name",)}
    nothing_yet = _(
        "No record was refused. One that cannot be read or stored is kept here with its line and "
        "the reason, and the rest of its run goes on."
    )
    begins_at = (_("Ingest runs"), "admin:fragments_ingestrun_changelist")
    list_display = ("line", "reason", "shown_message", "shown_run", "refused")
    list_filter = (LetterRunFilter, LetterCodeFilter)
    export_name = "dead-letters"
    export_columns = LETTER_COLUMNS
    export_reads = ("id", "run", "line_number", "code", "message", "raw", "created_at")
    export_referred: ClassVar[dict[str, tuple[str, ...]]] = {"run": ("name", "entity_type")}
    export_note = _("Bytes of a record that are no text stand as \\x and two digits.")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": (("shown_run", "line"), ("reason", "refused"), "shown_message")}),
        (_("The record as it came"), {"fields": ("shown_raw",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A record may be large; only its own page reads it, and only for those who may.
        queryset = super().get_queryset(request).defer("raw")
        return queryset if may_see_values(request) else queryset.defer("raw", "message")

    def get_list_display(self, request: HttpRequest) -> tuple[str, ...]:
        shown = tuple(self.list_display)
        return shown if may_see_values(request) else tuple(name for name in shown if name != "shown_message")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if may_see_values(request):
            return self.fieldsets
        return (
            (None, {"fields": (("shown_run", "line"), ("reason", "refused"))}),
            (_("The record as it came"), {"fields": ("hidden_raw",)}),
        )

    def export_lines(self, rows: Any) -> Iterable[JsonObject]:
        return letter_lines(rows)

    @admin.display(description=_("line"))
    def line(self, letter: DeadLetter) -> SafeString:
        return amount(letter.line_number)

    @admin.display(description=_("reason"))
    def reason(self, letter: DeadLetter) -> SafeString:
        return code(letter.code)

    @admin.display(description=_("message"))
    def shown_message(self, letter: DeadLetter) -> SafeString:
        return format_html('<span class="se-text">{}</span>', letter.message)

    @admin.display(description=_("ingest run"))
    def shown_run(self, letter: DeadLetter) -> SafeString:
        return row_link("fragments_ingestrun", letter.run_id, letter.run or f"#{letter.run_id}")

    @admin.display(description=_("refused"))
    def refused(self, letter: DeadLetter) -> SafeString:
        return moment(letter.created_at)

    @admin.display(description=_("record"))
    def shown_raw(self, letter: DeadLetter) -> SafeString:
        # Refused bytes are often no text at all; what cannot be read is shown as escapes.
        text = bytes(letter.raw).decode("utf-8", errors="backslashreplace")
        return format_html('<pre class="se-json" tabindex="0">{}</pre>', text)

    @admin.display(description=_("record"))
    def hidden_raw(self, letter: DeadLetter) -> SafeString:
        return hidden()
