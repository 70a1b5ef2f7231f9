"""set_compatibility TYPE MODE [--reason REASON]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.domain.compatibility import Mode
from registry.services.compatibility import compatibility_set
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = "Says how far later versions of an entity type must agree with those before them; audited."
    usage_codes = frozenset({"invalid_entity_type", "unknown_mode"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("mode", metavar="MODE", help=", ".join(Mode))
        parser.add_argument("--reason", default="", help="why")

    def run(self, **options: Any) -> JsonObject:
        entity_type, mode = options["entity_type"], options["mode"]
        before = compatibility_set(
            entity_type=entity_type, mode=mode, actor=Actor.shell(), reason=options["reason"]
        )
        self.say(
            f"{entity_type}: {mode}, as it was."
            if before == mode
            else f"{entity_type}: {mode} instead of {before}."
        )
        return {"entity_type": entity_type, "before": before.value, "mode": mode}
