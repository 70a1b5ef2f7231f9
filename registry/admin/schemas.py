"""Pages of schemas and their versions."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from registry.admin.comparisons import version_comparison_urls
from registry.admin.effective import effective_urls
from registry.admin.filters import InForceFilter, YesOrNoFilter
from registry.admin.previews import MAY_DECIDE, schema_verb_urls, version_verb_urls
from registry.admin.schema_editor import SchemaEditor
from registry.admin.sides import size_badge
from registry.models import Schema, SchemaVersion
from registry.selectors_pages import schemas_with_state
from registry.selectors_timeline import Timeline, schema_timeline
from schemaevo.kernel.pages.base import ReadOnlyAdmin
from schemaevo.kernel.pages.display import NOTHING, amount, badge, code, json_block, moment, row_link
from schemaevo.kernel.pages.filters import EntityTypeFilter, OwnerFilter, PickFilter
from schemaevo.kernel.pages.views_bar import ReadyView


class ScopeFilter(PickFilter):
    title = _("scope")
    parameter_name = "scope"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("global", _("global")), ("own", _("a user's own"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        if self.value() in {"global", "own"}:
            return queryset.filter(user__isnull=self.value() == "global")
        return queryset


class RetiredFilter(YesOrNoFilter):
    title = _("retired")
    parameter_name = "retired"
    condition = Q(retired_at__isnull=False)


def scope(row: Schema | SchemaVersion) -> SafeString:
    """Whose schema it is."""
    return badge(_("global"), "busy") if row.user is None else format_html("{}", row.user)


def _older_to_compare(timeline: Timeline) -> str:
    """What the newest version shown is first offered to be compared with: what is in force, else the one before."""
    older = timeline.entries[1:]
    active = next((entry for entry in older if entry.version.is_active), None)
    chosen = active or (older[0] if older else None)
    return chosen.version.number if chosen else ""


@admin.register(Schema)
class SchemaAdmin(ReadOnlyAdmin):
    """Which entity types are declared, for whom, and by which version."""

    nothing_yet = _(
        "A schema says which fields an entity type has. Write the first one here, or with "
        "register_schema; until then records are stored as they come."
    )
    list_display = ("type_name", "shown_scope", "in_force", "versions", "created")
    list_filter = (EntityTypeFilter, ScopeFilter, OwnerFilter)
    search_fields = ("entity_type__startswith",)
    search_help_text = _("Beginning of an entity type")
    sortable_by = ()
    ordering = ("entity_type", F("user_id").asc(nulls_first=True))
    fieldsets: ClassVar[Any] = ((None, {"fields": (("type_name", "shown_scope"), ("in_force", "created"))}),)
    list_before_template = "admin/registry/editor/new_link.html"
    change_form_outer_before_template = "admin/registry/editor/version_link.html"
    change_form_outer_after_template = "admin/registry/schema/versions.html"

    def get_urls(self) -> list[URLPattern]:
        """The editor, and the pages about schemas that are not a row's own, before the addresses of the rows."""
        return [
            *SchemaEditor.urls(self),
            *effective_urls(self),
            *version_comparison_urls(self),
            *schema_verb_urls(self),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Schema]:
        return schemas_with_state()

    def page_context(self, request: HttpRequest, schema: Schema) -> dict[str, Any]:
        timeline = schema_timeline(schema=schema, below=request.GET.get("below", ""))
        return {
            "timeline": timeline,
            "entries": [(entry, size_badge(entry.size)) for entry in timeline.entries],
            "compare_from": _older_to_compare(timeline),
            "may_decide": request.user.has_perm(MAY_DECIDE),
            "may_audit": request.user.has_perm("kernel.view_auditevent"),
        }

    @admin.display(description=_("entity type"))
    def type_name(self, schema: Schema) -> SafeString:
        return code(schema.entity_type)

    @admin.display(description=_("scope"))
    def shown_scope(self, schema: Schema) -> SafeString:
        return scope(schema)

    @admin.display(description=_("in force"))
    def in_force(self, schema: Any) -> SafeString:
        if schema.active_id is None:
            return badge(_("none"), "warn")
        return row_link("registry_schemaversion", schema.active_id, schema.active_number)

    @admin.display(description=_("versions"))
    def versions(self, schema: Any) -> SafeString:
        return amount(schema.version_count)

    @admin.display(description=_("created"))
    def created(self, schema: Schema) -> SafeString:
        return moment(schema.created_at)


@admin.register(SchemaVersion)
class SchemaVersionAdmin(ReadOnlyAdmin):
    """What a version declares, and the ways to put it in force, take it out, or retire it."""

    nothing_yet = _(
        "Each change of a schema is a version of its own. The first one comes with the first schema."
    )
    begins_at = (_("Schemas"), "admin:registry_schema_changelist")
    list_display = (
        "number",
        "type_name",
        "shown_scope",
        "shown_in_force",
        "fields_declared",
        "created",
        "by",
    )
    list_filter = (EntityTypeFilter, ScopeFilter, OwnerFilter, InForceFilter, RetiredFilter)
    ready_views: ClassVar[tuple[ReadyView, ...]] = (ReadyView(_("In force"), {"in_force": "1"}),)
    search_fields = ("entity_type__startswith",)
    search_help_text = _("Beginning of an entity type")
    list_select_related = ("user", "created_by")
    sortable_by = ()
    ordering = ("entity_type", F("user_id").asc(nulls_first=True), "-major", "-minor", "-patch")
    fieldsets: ClassVar[Any] = (
        (
            None,
            {
                "fields": (
                    ("number", "shown_in_force"),
                    ("type_name", "shown_scope"),
                    ("created", "by"),
                    ("first_in_force", "in_force_since"),
                    ("retired", "note"),
                )
            },
        ),
    )
    change_form_outer_after_template = "admin/registry/schemaversion/definition.html"

    def get_urls(self) -> list[URLPattern]:
        """The decisions about a version, before the addresses of the rows."""
        return [*version_verb_urls(self), *super().get_urls()]

    def page_context(self, request: HttpRequest, version: SchemaVersion) -> dict[str, Any]:
        definition = version.parsed
        was_in_force = SchemaVersion.objects.filter(
            schema_id=version.schema_id, first_activated_at__isnull=False
        )
        return {
            "declared": [
                (field, definition.policy_of(name)) for name, field in sorted(definition.fields.items())
            ],
            "kind_order": definition.kind_order,
            "definition_json": json_block(version.definition),
            "may_decide": request.user.has_perm(MAY_DECIDE),
            "needs_review": version.user_id is None and (version.is_active or was_in_force.exists()),
        }

    @admin.display(description=_("version"))
    def number(self, version: SchemaVersion) -> str:
        return version.number

    @admin.display(description=_("entity type"))
    def type_name(self, version: SchemaVersion) -> SafeString:
        return code(version.entity_type)

    @admin.display(description=_("scope"))
    def shown_scope(self, version: SchemaVersion) -> SafeString:
        return scope(version)

    @admin.display(description=_("state"))
    def shown_in_force(self, version: SchemaVersion) -> SafeString:
        if version.is_active:
            return badge(_("in force"), "good")
        if version.retired_at:
            return badge(_("retired"), "warn")
        return badge(_("was in force")) if version.first_activated_at else badge(_("never in force"))

    @admin.display(description=_("fields"))
    def fields_declared(self, version: SchemaVersion) -> SafeString:
        return amount(len(version.definition["fields"]))

    @admin.display(description=_("registered"))
    def created(self, version: SchemaVersion) -> SafeString:
        return moment(version.created_at)

    @admin.display(description=_("registered by"))
    def by(self, version: SchemaVersion) -> SafeString:
        return format_html("{}", version.created_by) if version.created_by else NOTHING

    @admin.display(description=_("first in force"))
    def first_in_force(self, version: SchemaVersion) -> SafeString:
        return moment(version.first_activated_at)

    @admin.display(description=_("in force since"))
    def in_force_since(self, version: SchemaVersion) -> SafeString:
        return moment(version.activated_at) if version.is_active else NOTHING

    @admin.display(description=_("retired"))
    def retired(self, version: SchemaVersion) -> SafeString:
        return moment(version.retired_at)
