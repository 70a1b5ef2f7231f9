"""rebuild_aggregates [--user U] [--entity-type T] [--inline] [--dry-run]"""

from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from fragments.services.aggregates import Scope
from fragments.services.aggregates_rebuild import (
    aggregates_rebuild_foresee,
    aggregates_rebuild_inline,
    aggregates_rebuild_request,
)
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.owners import user_by_name


class Command(ServiceCommand):
    help = (
        "Asks for a job that counts undeclared fields anew from their fragments, which may go on arriving. They are "
        "kept exact anyway; verify tells whether they are. With --inline it is done here and now."
    )
    usage_codes = frozenset({"invalid_entity_type"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--user", metavar="U", help="of this owner only (id, e-mail or username)")
        parser.add_argument("--entity-type", metavar="T", default="", help="of this type only")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--inline", action="store_true", help="here, without a job, however long it takes")
        how.add_argument("--dry-run", action="store_true", help="only tell how many fields it concerns")

    def run(self, **options: Any) -> JsonObject:
        owner = None if options["user"] is None else user_by_name(options["user"])
        scope = Scope(options["entity_type"], owner.pk if owner else None)
        is_dry_run: bool = options["dry_run"]
        if not is_dry_run and not options["inline"]:
            job = aggregates_rebuild_request(actor=Actor.shell(), scope=scope)
            self.say(f"Undeclared fields are counted anew by job {job.pk}.")
            return {"dry_run": False, "job": str(job.pk)}
        rebuilt = aggregates_rebuild_foresee(scope)
        if not is_dry_run:
            with tqdm(total=rebuilt.aggregates, unit=" fields", disable=None, leave=False) as bar:
                rebuilt = aggregates_rebuild_inline(actor=Actor.shell(), scope=scope, on_progress=bar.update)
        verb = "would be" if is_dry_run else "are"
        self.say(
            f"{rebuilt.aggregates} undeclared fields {verb} counted anew, "
            f"of {rebuilt.parts} owners and entity types."
        )
        return {"dry_run": is_dry_run, **rebuilt._asdict()}
