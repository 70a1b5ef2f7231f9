"""Pages of observations."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.pages.display import (
    NOTHING,
    badge,
    hidden,
    json_block,
    moment,
    names,
    row_link,
    short,
)
from schemaevo.kernel.pages.exporting import ExportingAdmin
from schemaevo.kernel.pages.filters import (
    ChoiceFilter,
    EntityTypeFilter,
    ExactFilter,
    IdFilter,
    NumberFilter,
    OwnerFilter,
    TimeFilter,
    user_named,
    uuid_or_none,
)
from schemaevo.kernel.pages.keyset import Keyset
from schemaevo.kernel.pages.rights import may_see_values
from snapshots.models import EntitySnapshot, Observation, ObservationOrigin, Source
from snapshots.selectors_exports import OBSERVATION_COLUMNS, observation_lines
from snapshots.selectors_retractions import of_retracted_source, sources_retracted


def owner_name(row: Any) -> SafeString:
    """The owner of a row; its number where the user is gone."""
    return short(row.user.get_username() if row.user else f"#{row.user_id}")


#: Of an owner with more sources all observations are gone through, newest first: there are many, and one comes soon.
SOURCES_MAX = 1_000


class ObservedOwnerFilter(OwnerFilter):
    """The owner, by their sources: observations have an index by source, and one by owner would make every ingest
    dearer. An observation is of a source of its owner."""

    def narrowed(self, queryset: QuerySet[Any], value: int) -> QuerySet[Any]:
        found = super().narrowed(queryset, value)
        sources = list(Source.objects.filter(user_id=value).values_list("pk", flat=True)[: SOURCES_MAX + 1])
        return found if len(sources) > SOURCES_MAX else found.filter(source_id__in=sources)


class KindFilter(ExactFilter):
    title = _("kind")
    parameter_name = "kind"
    column = "kind"


class OriginFilter(ChoiceFilter):
    title = _("origin")
    parameter_name = "origin"
    column = "origin"
    choices_from = ObservationOrigin


class EntityFilter(IdFilter):
    title = _("id of the entity")
    parameter_name = "entity"
    column = "entity_id"


class ObservedSourceFilter(IdFilter):
    title = _("id of the source")
    parameter_name = "source"
    column = "source_id"


class RunFilter(NumberFilter):
    title = _("ingest run")
    parameter_name = "run"
    column = "ingest_run_id"


class ReceivedFromFilter(TimeFilter):
    title = _("received from")
    parameter_name = "received_from"
    column = "recorded_at"


class ReceivedToFilter(TimeFilter):
    title = _("received up to")
    parameter_name = "received_to"
    column = "recorded_at"
    lookup = "lte"


@admin.register(Observation)
class ObservationAdmin(ExportingAdmin):
    """Every statement as it came, newest first."""

    # Both down, as the index is read backwards; ids within one moment have no order of their own.
    keyset = Keyset(("-recorded_at", "-id"))
    referred: ClassVar[dict[str, tuple[str, ...]]] = {
        "user": ("username",),
        "entity": ("entity_key", "entity_type"),
    }
    referred_on_page: ClassVar[dict[str, tuple[str, ...]]] = {
        "source": ("name", "content_hash"),
        "schema_version": ("entity_type", "major", "minor", "patch"),
    }
    nothing_yet = _("Every accepted record becomes an observation. The first ingest brings the first ones.")
    begins_at = (_("Ingest runs"), "admin:fragments_ingestrun_changelist")
    list_display = (
        "received",
        "entity_shown",
        "entity_type",
        "owner",
        "observed",
        "kind_listed",
        "fields_named",
    )
    list_display_links = ("received",)
    list_filter = (
        ObservedOwnerFilter,
        EntityTypeFilter,
        EntityFilter,
        ObservedSourceFilter,
        RunFilter,
        KindFilter,
        OriginFilter,
        ReceivedFromFilter,
        ReceivedToFilter,
    )
    search_fields = ("=id",)
    search_help_text = _("Entity key, or an id")
    export_name = "observations"
    export_columns = OBSERVATION_COLUMNS
    export_reads = (
        *("id", "content_id", "entity_type", "user", "entity", "observed_at", "source", "priority"),
        *("specificity", "kind", "origin", "ranks_as", "schema_version", "fields", "recorded_at"),
    )
    export_referred: ClassVar[dict[str, tuple[str, ...]]] = {
        "user": ("username",),
        "entity": ("entity_key",),
        "source": ("name", "content_hash"),
        "schema_version": ("major", "minor", "patch"),
    }
    export_note = _(
        "A file of one entity type can be ingested again, with --format observations. What takes no part, since its"
        " source is retracted, is left out."
    )
    fieldsets: ClassVar[Any] = (
        (
            None,
            {
                "fields": (
                    ("entity_shown", "entity_type"),
                    ("owner", "source_shown"),
                    ("observed", "received"),
                    ("kind_shown", "origin_shown"),
                    ("priority", "specificity"),
                    ("version_shown", "run_shown"),
                    ("id", "ranks_as"),
                )
            },
        ),
        (_("Fields"), {"fields": ("fields_shown",)}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if may_see_values(request):
            return fieldsets
        return (*fieldsets[:-1], (fieldsets[-1][0], {"fields": ("fields_named", "fields_hidden")}))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(entity_search(request, search_term, ids=("id", "entity_id"))), False

    def attach(self, rows: Any) -> None:
        super().attach(rows)
        retracted = sources_retracted({str(row.source_id) for row in rows}) if rows else ()
        for row in rows:
            row.is_retracted = str(row.source_id) in retracted

    def export_rows(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.exclude(of_retracted_source())

    def export_lines(self, rows: Any) -> Iterable[JsonObject]:
        return observation_lines(rows)

    @admin.display(description=_("received"))
    def received(self, observation: Observation) -> SafeString:
        return moment(observation.recorded_at)

    @admin.display(description=_("observed"))
    def observed(self, observation: Observation) -> SafeString:
        return moment(observation.observed_at)

    @admin.display(description=_("entity"))
    def entity_shown(self, observation: Observation) -> SafeString:
        entity = observation.entity
        key = entity.entity_key if entity else observation.entity_id
        return row_link("snapshots_entitysnapshot", observation.entity_id, short(key))

    @admin.display(description=_("owner"))
    def owner(self, observation: Observation) -> SafeString:
        return owner_name(observation)

    @admin.display(description=_("source"))
    def source_shown(self, observation: Observation) -> SafeString:
        source = observation.source
        shown = row_link("snapshots_source", observation.source_id, source or observation.source_id)
        return format_html("{} {}", shown, retracted_badge()) if is_retracted(observation) else shown

    @admin.display(description=_("kind"))
    def kind_shown(self, observation: Observation) -> SafeString:
        return format_html("{}", observation.kind) if observation.kind else NOTHING

    @admin.display(description=_("kind"))
    def kind_listed(self, observation: Observation) -> SafeString:
        shown = self.kind_shown(observation)
        return format_html("{} {}", shown, retracted_badge()) if is_retracted(observation) else shown

    @admin.display(description=_("origin"))
    def origin_shown(self, observation: Observation) -> str:
        return observation.get_origin_display()

    @admin.display(description=_("schema version"))
    def version_shown(self, observation: Observation) -> SafeString:
        return version_link(observation)

    @admin.display(description=_("ingest run"))
    def run_shown(self, observation: Observation) -> SafeString:
        return format_html("#{}", observation.ingest_run_id) if observation.ingest_run_id else NOTHING

    @admin.display(description=_("fields"))
    def fields_named(self, observation: Observation) -> SafeString:
        return names(sorted(observation.fields))

    @admin.display(description=_("values"))
    def fields_shown(self, observation: Observation) -> SafeString:
        return json_block(observation.fields)

    @admin.display(description=_("values"))
    def fields_hidden(self, observation: Observation) -> SafeString:
        return hidden()


def is_retracted(observation: Observation) -> bool:
    """Whether a row that the admin has read takes no part."""
    return bool(getattr(observation, "is_retracted", False))


def retracted_badge() -> SafeString:
    """What stands beside something that takes no part, since its source is retracted."""
    return badge(_("retracted"), "warn")


def version_link(row: Any) -> SafeString:
    """A link to the schema version that a row was written under."""
    version = row.schema_version
    if version is None:
        return NOTHING if row.schema_version_id is None else format_html("#{}", row.schema_version_id)
    return row_link("registry_schemaversion", version.pk, version)


def entity_search(request: HttpRequest, term: str, *, ids: tuple[str, ...]) -> Q:
    """The rows that a search names: by one of their ids, or by the key of their entity.

    A key is looked up within the owner of the filter where there is one.
    """
    term = term.strip()
    if not term:
        return Q()
    if found := uuid_or_none(term):
        return Q(*[(column, found) for column in ids], _connector=Q.OR)
    entities = EntitySnapshot.objects.filter(entity_key=term)
    owner = request.GET.get(OwnerFilter.parameter_name, "").strip()
    if owner:
        found_owner = user_named(owner)
        entities = entities.none() if found_owner is None else entities.filter(user_id=found_owner)
    return Q(entity_id__in=entities.values("pk"))
