"""`manage.py schedule`: the clock of the installation."""

from typing import Any

from django.core.management.base import BaseCommand

from schemaevo.cron import Scheduler


class Command(BaseCommand):
    help = "Asks for periodic work and sweeps jobs until it is stopped with SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        Scheduler().start()
