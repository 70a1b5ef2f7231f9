from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RegistryConfig(AppConfig):
    name = "registry"
    verbose_name = _("Schemas")

    def ready(self) -> None:
        from registry import jobs
        from registry.services import proposal_notices, verify

        jobs.register()
        proposal_notices.register()
        verify.register()
