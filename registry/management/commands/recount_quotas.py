"""recount_quotas [--repair]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.selectors_quotas import quotas_divergent
from registry.services.quotas import quotas_repair
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, ServiceCommand


class Command(ServiceCommand):
    help = "Compares every quota with what it counts; exit code 1 where one was wrong and was not put right."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="put the counters right; audited")

    def run(self, **options: Any) -> JsonObject:
        is_repair = options["repair"]
        found = quotas_repair(actor=Actor.shell()) if is_repair else quotas_divergent()
        wrong: list[Json] = []
        for one in found:
            self.say(f"{one.in_words}{', put right' if is_repair else ''}.")
            wrong.append(one.to_json())
        if not wrong:
            self.say("Every quota is what it counts.")
        return {"divergent": wrong, "repaired": is_repair}

    def exit_code(self, result: JsonObject) -> int:
        return EXIT_FAILED if result["divergent"] and not result["repaired"] else 0
