from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class SnapshotsConfig(AppConfig):
    name = "snapshots"
    verbose_name = _("Snapshots")

    def ready(self) -> None:
        from registry.providers import field_data_provider, schema_impact_provider
        from snapshots import jobs, receivers, selectors_figures  # noqa: F401  the import connects the receivers
        from snapshots.selectors_field_data import snapshot_fields_without_data
        from snapshots.selectors_impact import snapshots_impact
        from snapshots.services import failures, references, verify

        jobs.register()
        failures.register()
        verify.register()
        references.register()
        selectors_figures.register()
        field_data_provider(snapshot_fields_without_data)
        schema_impact_provider(snapshots_impact)
