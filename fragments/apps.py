from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class FragmentsConfig(AppConfig):
    name = "fragments"
    verbose_name = _("Fragments")

    def ready(self) -> None:
        from fragments import jobs, receivers  # noqa: F401  the import connects the receivers
        from fragments.services import aggregates_verify, references, retention

        jobs.register()
        retention.register()
        references.register()
        aggregates_verify.register()
