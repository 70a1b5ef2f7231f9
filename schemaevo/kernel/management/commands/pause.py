"""`manage.py pause`: stops all ingest and all jobs, between two batches."""

from typing import Any

from django.core.management.base import CommandParser

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.pause import store_pause


class Command(ServiceCommand):
    help = (
        "Pauses everything: no ingest takes another batch and no job is begun, until `resume`. What is in the "
        "middle of a batch finishes it. Pages and other commands go on, with a banner."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="", help="why; shown on every page")

    def run(self, **options: Any) -> JsonObject:
        pause = store_pause(actor=Actor.shell(), reason=options["reason"])
        since = f"{pause.paused_at:%Y-%m-%d %H:%M:%S} UTC"
        self.say(f"All ingest and all jobs are paused (since {since}, by {pause.paused_by}).")
        return {
            "paused": True,
            "paused_at": pause.paused_at.isoformat(),
            "paused_by": pause.paused_by,
            "reason": pause.reason,
        }
