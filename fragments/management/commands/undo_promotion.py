"""undo_promotion PROMOTION [--note TEXT] [--dry-run]"""

from typing import Any

from django.core.management.base import CommandParser

from fragments.services.backfill_runs import PROMOTE
from fragments.services.promotions import promotion_undo
from registry.domain.targets import job_target
from registry.management.documents import add_dry_run, writing
from registry.management.quotas import told
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.jobs import job_alive


class Command(ServiceCommand):
    help = (
        "Takes a promotion back: the field is not declared any more, its quota is given back, and a job lets its "
        "fragments wait again. The observations that were made of them stay, and say nothing while it is not declared."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("promotion", metavar="PROMOTION", type=int, help="its number")
        parser.add_argument("--note", default="", help="why")
        add_dry_run(parser)

    def run(self, **options: Any) -> JsonObject:
        is_dry_run: bool = options["dry_run"]
        with writing(is_dry_run=is_dry_run):
            undone = promotion_undo(
                promotion_id=options["promotion"], actor=Actor.shell(), note=options["note"]
            )
        promotion = undone.promotion
        would = "Nothing was written. It would be " if is_dry_run else ""
        self.say(
            f"{would}{promotion.entity_type} ({promotion.user}): {promotion.fragment_key} is not declared any more; "
            f"{promotion.promoted_count} fragments were promoted by this."
        )
        result: JsonObject = {
            "promotion": promotion.pk,
            "entity_type": promotion.entity_type,
            "user": promotion.user.username,
            "field": promotion.fragment_key,
            "promoted": promotion.promoted_count,
            "dry_run": is_dry_run,
            **told(self, undone.warning),
        }
        if not is_dry_run:
            job = job_alive(PROMOTE, job_target(promotion.entity_type, promotion.user_id))
            result["job"] = str(job.pk) if job else None
        return result
