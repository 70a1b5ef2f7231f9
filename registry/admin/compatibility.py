"""How far the versions of each entity type have to agree, to look at. A command sets it."""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from registry.domain.compatibility import Direction, Mode
from registry.models import SchemaCompatibility
from schemaevo.kernel.pages.display import badge, code
from schemaevo.kernel.pages.filters import EntityTypeFilter, PickFilter
from schemaevo.kernel.pages.keyset import Keyset, KeysetAdmin

_DEMANDS: Final[dict[tuple[Direction, ...], Any]] = {
    (): _("nothing: every change is taken"),
    (Direction.BACKWARD,): _("the new version reads what older ones stored"),
    (Direction.FORWARD,): _("older versions read what the new one stores"),
    (Direction.BACKWARD, Direction.FORWARD): _("each version reads what the other stores"),
}


class ModeFilter(PickFilter):
    title = _("compatibility")
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(mode.value, mode.value) for mode in Mode]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        chosen = self.value()
        return queryset.filter(mode=chosen) if chosen in set(Mode) else queryset


@admin.register(SchemaCompatibility)
class SchemaCompatibilityAdmin(KeysetAdmin):
    """The entity types whose mode was set; all others have the default one."""

    keyset = Keyset(("entity_type",))
    many = _("entity types")
    nothing_yet = _(
        "Every entity type is BACKWARD unless somebody says otherwise: set_compatibility TYPE MODE sets another "
        "mode, which then stands here."
    )
    list_display = ("type_name", "shown_mode", "demands", "compared_with")
    list_filter = (EntityTypeFilter, ModeFilter)
    search_fields = ("entity_type__startswith",)
    search_help_text = _("Beginning of an entity type")
    fieldsets: ClassVar[Any] = (
        (None, {"fields": (("type_name", "shown_mode"), ("demands", "compared_with"))}),
    )

    @admin.display(description=_("entity type"))
    def type_name(self, row: SchemaCompatibility) -> SafeString:
        return code(row.entity_type)

    @admin.display(description=_("compatibility"))
    def shown_mode(self, row: SchemaCompatibility) -> SafeString:
        return badge(row.mode, "plain" if Mode(row.mode).directions else "warn")

    @admin.display(description=_("demands"))
    def demands(self, row: SchemaCompatibility) -> str:
        return str(_DEMANDS[Mode(row.mode).directions])

    @admin.display(description=_("compared with"))
    def compared_with(self, row: SchemaCompatibility) -> str:
        if not Mode(row.mode).directions:
            return str(_("no other version"))
        if Mode(row.mode).is_transitive:
            return str(_("every version that was ever in force"))
        return str(_("the version in force"))
