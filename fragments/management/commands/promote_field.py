"""promote_field TYPE FIELD --user U [--type T] [--converter C …] [--merge-policy P] [--note TEXT] [--dry-run]"""

from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from fragments.selectors_recommendations import recommendation_of_field
from fragments.services.backfill_runs import PROMOTE
from fragments.services.promotion_outlook import promotion_outlook
from fragments.services.promotions import field_promote
from registry.domain.converters import CONVERTERS
from registry.domain.definition import Declaration, Strategy
from registry.domain.targets import job_target
from registry.domain.vocabulary import FieldType
from registry.management.documents import add_dry_run, entity_type_named, writing
from registry.management.quotas import told
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.jobs import job_alive
from schemaevo.kernel.owners import user_by_name


class Command(ServiceCommand):
    help = (
        "Declares an undeclared field for one user, in the user's own schema or extension and within the quota, and "
        "asks for a job that turns its waiting fragments into observations with their own time, source and trust. "
        "Snapshots are then as if it had always been declared. Without --type it is declared as its values suggest."
    )
    usage_codes = frozenset({"invalid_extension", "no_type_known"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("field", metavar="FIELD")
        parser.add_argument("--user", metavar="U", required=True, help="whose field (id, e-mail or username)")
        parser.add_argument("--type", choices=[one.value for one in FieldType], help="of which type it is")
        parser.add_argument(
            "--converter",
            action="append",
            choices=sorted(CONVERTERS),
            metavar="C",
            help=f"for values of other types, in this order: {', '.join(sorted(CONVERTERS))}",
        )
        parser.add_argument(
            "--merge-policy", choices=[one.value for one in Strategy], help="how observations of it merge"
        )
        parser.add_argument("--note", default="", help="why")
        add_dry_run(parser)

    def run(self, **options: Any) -> JsonObject:
        user = user_by_name(options["user"])
        entity_type, field = entity_type_named(options["entity_type"]), options["field"]
        declaration = _declaration(user.pk, entity_type, field, options)
        is_dry_run: bool = options["dry_run"]
        with transaction.atomic(), writing(is_dry_run=is_dry_run):
            outlook = promotion_outlook(
                user_id=user.pk, entity_type=entity_type, field=field, declaration=declaration, at_most=None
            )
            promoted = field_promote(
                user_id=user.pk,
                entity_type=entity_type,
                field=field,
                declaration=declaration,
                actor=Actor.shell(),
                note=options["note"],
            )
        declared = Declaration.from_json(field, promoted.promotion.declaration)
        preview = outlook.fragments
        quota = outlook.declaring.quota if outlook.declaring else None
        would = "Nothing was written. It would be " if is_dry_run else ""
        self.say(f"{would}{entity_type} ({user}): {field} is declared as {declared.field.type.value}.")
        self.say(
            f"{preview.promoted} waiting fragments fit, {preview.converted} of them by a converter; "
            f"{preview.misfit} do not and stay."
        )
        if quota is not None:
            said = (
                f"{one.now.usage} → {one.after.usage} of {one.now.maximum} {one.now.limit.value}"
                for one in quota.limits
            )
            self.say(f"The owner's quota: {', '.join(said)}.")
        result: JsonObject = {
            "entity_type": entity_type,
            "user": user.username,
            "field": field,
            "declaration": promoted.promotion.declaration,
            "fitting": preview.fitting,
            "converted": preview.converted,
            "misfit": preview.misfit,
            "quota": [one.to_json() for one in quota.limits] if quota else None,
            "dry_run": is_dry_run,
            **told(self, promoted.warning),
        }
        if not is_dry_run:
            job = job_alive(PROMOTE, job_target(entity_type, user.pk))
            result["promotion"] = promoted.promotion.pk
            result["job"] = str(job.pk) if job else None
            self.say(
                f"This is promotion {promoted.promotion.pk}; a job moves them. undo_promotion takes it back."
            )
        return result


def _declaration(user_id: int, entity_type: str, field: str, options: dict[str, Any]) -> JsonObject:
    """What was asked for, and else what is suggested."""
    found = recommendation_of_field(user_id=user_id, entity_type=entity_type, name=field)
    suggested = found.suggested.definition if found is not None and found.suggested is not None else {}
    declaration: JsonObject = dict(suggested) if options["type"] in (None, suggested.get("type")) else {}
    if options["type"]:
        declaration["type"] = options["type"]
    if options["converter"]:
        declaration["converters"] = options["converter"]
    if options["merge_policy"]:
        declaration["merge_policy"] = {"strategy": options["merge_policy"]}
    return declaration
