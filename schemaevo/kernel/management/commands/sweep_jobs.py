"""`manage.py sweep_jobs`: finds again the jobs that nobody works on."""

from typing import Any

from django.core.management.base import CommandParser

from schemaevo.kernel import jobs
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = "Rings for every job that is due and not being worked on, and takes over those of dead workers."

    def add_options(self, parser: CommandParser) -> None:
        """Nothing beside --json."""

    def run(self, **options: Any) -> JsonObject:
        swept = jobs.sweep()
        self.say(f"{swept.rung} rung, {swept.expired} taken from dead workers")
        return {"rung": swept.rung, "expired": swept.expired}
