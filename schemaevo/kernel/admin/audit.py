"""Pages of the audit log."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.export_lines import exact_time
from schemaevo.kernel.models import AuditEvent
from schemaevo.kernel.pages.display import NOTHING, json_block, moment
from schemaevo.kernel.pages.exporting import ExportingAdmin
from schemaevo.kernel.pages.filters import ExactFilter, OwnerFilter
from schemaevo.kernel.pages.keyset import Keyset


class ActorFilter(OwnerFilter):
    title = _("who")
    parameter_name = "who"
    column = "actor_id"


class ActionFilter(ExactFilter):
    title = _("what")
    parameter_name = "what"
    column = "action"


class TargetTypeFilter(ExactFilter):
    title = _("kind of target")
    parameter_name = "target_type"
    column = "target_type"


class TargetFilter(ExactFilter):
    title = _("target")
    parameter_name = "target"
    column = "target_id"


@admin.register(AuditEvent)
class AuditEventAdmin(ExportingAdmin):
    """Who did what to what, when, and what it was before and after."""

    keyset = Keyset(("-id",))
    many = _("events")
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"actor": ("username",)}
    nothing_yet = _(
        "Nothing was changed yet. Whoever changes something leaves a line here that nobody can alter."
    )
    list_display = ("when", "who", "action", "target", "reason")
    list_filter = (ActorFilter, ActionFilter, TargetTypeFilter, TargetFilter)
    export_name = "audit"
    export_columns = (
        *("id", "at", "who", "who_id", "action", "target_type", "target", "reason"),
        *("before", "after"),
    )
    export_reads = (
        *("id", "at", "actor", "actor_name", "action", "target_type", "target_id", "reason"),
        *("before", "after"),
    )
    # It holds no values: who sees it may have it.
    export_permission = "kernel.view_auditevent"
    fieldsets = (
        (None, {"fields": (("when", "who"), ("action", "target"), "reason")}),
        (_("The change"), {"fields": ("shown_before", "shown_after")}),
    )

    def export_lines(self, rows: Any) -> Iterable[JsonObject]:
        for event in rows:
            yield {
                "id": event.id,
                "at": exact_time(event.at),
                "who": event.actor_name or None,
                "who_id": event.actor_id,
                "action": event.action,
                "target_type": event.target_type,
                "target": event.target_id,
                "reason": event.reason or None,
                "before": event.before,
                "after": event.after,
            }

    @admin.display(description=_("when"))
    def when(self, event: AuditEvent) -> SafeString:
        return moment(event.at)

    @admin.display(description=_("who"))
    def who(self, event: AuditEvent) -> str:
        return event.actor_name or str(_("the system"))

    @admin.display(description=_("target"))
    def target(self, event: AuditEvent) -> str:
        return f"{event.target_type} {event.target_id}"

    @admin.display(description=_("before"))
    def shown_before(self, event: AuditEvent) -> SafeString:
        return NOTHING if event.before is None else json_block(event.before)

    @admin.display(description=_("after"))
    def shown_after(self, event: AuditEvent) -> SafeString:
        return NOTHING if event.after is None else json_block(event.after)
