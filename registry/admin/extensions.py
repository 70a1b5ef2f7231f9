"""Pages of what users add to global schemas, revision by revision. A command writes them."""

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import URLPattern
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from registry.admin.comparisons import revision_comparison_urls
from registry.admin.conflicts import conflicts_urls
from registry.admin.extension_editor import ExtensionEditor
from registry.admin.filters import InForceFilter
from registry.models import ExtensionRevision, RevisionCause
from registry.selectors_extensions import revision_effect
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.pages.display import (
    NOTHING,
    badge,
    code,
    json_block,
    moment,
    names,
    row_link,
    short,
)
from schemaevo.kernel.pages.filters import ChoiceFilter, EntityTypeFilter, OwnerFilter
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin


class CauseFilter(ChoiceFilter):
    title = _("cause")
    parameter_name = "cause"
    column = "cause"
    choices_from = RevisionCause


@admin.register(ExtensionRevision)
class ExtensionRevisionAdmin(KeysetAdmin):
    """Every revision of every extension, what it says, and what of it does not agree with the global schema."""

    keyset = Keyset(("-id",))
    many = _("revisions")
    referred: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("username",), "created_by": ("username",)}
    referred_on_page: ClassVar[dict[str, tuple[str, ...]]] = {
        "cause_version": ("entity_type", "major", "minor", "patch")
    }
    nothing_yet = _(
        "An extension is what one owner adds to a global schema. It is written here, or made by a "
        "promotion; each change is a revision of its own."
    )
    list_display = (
        "type_name",
        "owner",
        "number",
        "shown_in_force",
        "added_fields",
        "overrides",
        "shown_cause",
        "made",
    )
    list_filter = (EntityTypeFilter, OwnerFilter, InForceFilter, CauseFilter)
    search_fields = ("=entity_type",)
    search_help_text = _("Entity type")
    fieldsets: ClassVar[Any] = (
        (
            None,
            {
                "fields": (
                    ("type_name", "owner"),
                    ("number", "shown_in_force"),
                    ("written_for", "shown_cause"),
                    ("made", "by"),
                    "note",
                )
            },
        ),
    )
    list_before_template = "admin/registry/editor/extend_link.html"
    change_form_outer_before_template = "admin/registry/editor/extension_link.html"
    change_form_outer_after_template = "admin/registry/extensionrevision/document.html"

    def get_urls(self) -> list[URLPattern]:
        """The editor, and the pages about extensions that are not a row's own, before the addresses of the rows."""
        return [
            *ExtensionEditor.urls(self),
            *conflicts_urls(self),
            *revision_comparison_urls(self),
            *super().get_urls(),
        ]

    def page_context(self, request: HttpRequest, revision: ExtensionRevision) -> dict[str, Any]:
        said = revision.parsed
        effect = revision_effect(revision=revision) if revision.is_active else None
        return {
            "added": [
                (field, said.declaration(name).policy)
                for name, field in sorted(said.additional_fields.items())
            ],
            "overridden": [
                (name, override.to_json()) for name, override in sorted(said.field_overrides.items())
            ],
            "conflicts": effect.composition.conflicts if effect else (),
            "to_absorb": effect.composition.absorbed if effect else (),
            "waits": revision.is_active and effect is None,
            "absorbed": sorted(revision.absorbed.items()),
            "document_json": json_block(revision.document),
        }

    @admin.display(description=_("entity type"))
    def type_name(self, revision: ExtensionRevision) -> SafeString:
        return code(revision.entity_type)

    @admin.display(description=_("owner"))
    def owner(self, revision: ExtensionRevision) -> SafeString:
        # An owner that is gone leaves its number.
        return short(revision.user.get_username() if revision.user else f"#{revision.user_id}")

    @admin.display(description=_("revision"))
    def number(self, revision: ExtensionRevision) -> str:
        return str(revision.revision)

    @admin.display(description=_("state"))
    def shown_in_force(self, revision: ExtensionRevision) -> SafeString:
        if not revision.is_active:
            return badge(_("was in force"))
        if revision.parsed.is_empty:
            return badge(_("taken back"), "warn")
        return badge(_("in force"), "good")

    @admin.display(description=_("fields"))
    def added_fields(self, revision: ExtensionRevision) -> SafeString:
        return _names(revision.additional_fields)

    @admin.display(description=_("overrides"))
    def overrides(self, revision: ExtensionRevision) -> SafeString:
        return _names(revision.field_overrides)

    @admin.display(description=_("cause"))
    def shown_cause(self, revision: ExtensionRevision) -> SafeString:
        cause = RevisionCause(revision.cause).label
        # A list does not read which version it was: the page of one revision does.
        version = revision._state.fields_cache.get("cause_version")
        if version is None:
            return format_html("{}", cause)
        return format_html("{} ({})", cause, row_link("registry_schemaversion", version.pk, version.number))

    @admin.display(description=_("written for"))
    def written_for(self, revision: ExtensionRevision) -> str | SafeString:
        return revision.base_schema_version or NOTHING

    @admin.display(description=_("made"))
    def made(self, revision: ExtensionRevision) -> SafeString:
        return moment(revision.created_at)

    @admin.display(description=_("made by"))
    def by(self, revision: ExtensionRevision) -> SafeString:
        return format_html("{}", revision.created_by) if revision.created_by else NOTHING


def _names(fields: JsonObject) -> SafeString:
    return names(sorted(fields))
