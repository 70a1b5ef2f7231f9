"""settle_extensions TYPE [--dry-run]"""

from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from registry.errors import SchemaNotFound
from registry.management.documents import add_dry_run, entity_type_named, writing
from registry.selectors import version_in_force
from registry.services.settling import extensions_settle
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = (
        "Does now what a job does after a global schema came into force: own schemas become extensions, and fields "
        "that the global schema declares leave them. What applies to users stays the same."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        add_dry_run(parser)

    def run(self, **options: Any) -> JsonObject:
        entity_type = entity_type_named(options["entity_type"])
        if version_in_force(entity_type=entity_type, user_id=None) is None:
            raise SchemaNotFound(entity_type, "in force", "global")
        actor = Actor.shell()
        adopted = absorbed = 0
        after: int | None = 0
        with tqdm(unit=" settled", disable=None, leave=False) as bar:
            while after is not None:
                with writing(is_dry_run=options["dry_run"]):
                    settled = extensions_settle(entity_type=entity_type, after_user=after, actor=actor)
                adopted += settled.adopted
                absorbed += settled.absorbed
                after = settled.up_to_user
                bar.update(settled.adopted + settled.absorbed)
        would = "Nothing was written. It would be " if options["dry_run"] else ""
        self.say(f"{would}{entity_type}: {adopted} own schemas adopted, {absorbed} fields absorbed.")
        return {
            "entity_type": entity_type,
            "adopted": adopted,
            "absorbed": absorbed,
            "dry_run": options["dry_run"],
        }
