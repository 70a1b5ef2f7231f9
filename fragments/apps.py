from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FragmentsConfig(AppConfig):
    name = "fragments"
    verbose_name = _("Fragments")

    def ready(self) -> None:
        # The import of the receivers connects them.
        from fragments import jobs, receivers, selectors_exports, selectors_figures  # noqa: F401
        from fragments.selectors_entity import fragments_of_entity
        from fragments.selectors_sources import source_fragments
        from fragments.services import aggregates_verify, references, retention
        from schemaevo.kernel.entity_panels import entity_panel_provider
        from snapshots.providers import source_impact_provider

        jobs.register()
        retention.register()
        references.register()
        aggregates_verify.register()
        selectors_figures.register()
        selectors_exports.register()
        source_impact_provider(source_fragments)
        entity_panel_provider(fragments_of_entity)
