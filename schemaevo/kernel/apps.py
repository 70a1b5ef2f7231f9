from django.apps import AppConfig
from django.core.signals import request_started
from django.utils.translation import gettext_lazy as _


class KernelConfig(AppConfig):
    name = "schemaevo.kernel"
    label = "kernel"
    verbose_name = _("Operation")

    def ready(self) -> None:
        from cachalot.settings import SUPPORTED_CACHE_BACKENDS
        from django.conf import settings

        from schemaevo.kernel import (  # noqa: F401  checks registers the system checks
            checks,
            figure_runs,
            references,
            retention,
            verification_runs,
        )
        from schemaevo.kernel.pages.cached import forget_lost_transactions, install

        retention.register()
        verification_runs.register()
        references.register()
        figure_runs.register()
        install()
        request_started.connect(forget_lost_transactions)
        # cachalot warns of backends that it does not know.
        SUPPORTED_CACHE_BACKENDS.add(settings.CACHES["pages"]["BACKEND"])
