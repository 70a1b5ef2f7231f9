from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class KernelConfig(AppConfig):
    name = "schemaevo.kernel"
    label = "kernel"
    verbose_name = _("Operation")

    def ready(self) -> None:
        from schemaevo.kernel import checks, retention  # noqa: F401  checks registers the system checks

        retention.register()
