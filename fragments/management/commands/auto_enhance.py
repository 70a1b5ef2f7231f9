"""auto_enhance [--entity-type T] [--user U] [--mode off|suggest|auto] [--dry-run]"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from fragments.models import EnhancementMode, EnhancementSetting
from fragments.services.enhancement import enhancement_set, enhancement_turn
from registry.management.documents import add_dry_run, entity_type_named, owner_named, writing
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand


class Command(ServiceCommand):
    help = (
        "Promotes now what is eligible, for every user and entity type whose mode is auto, as a job does every "
        "SCHEMAEVO_ENHANCE_INTERVAL_S seconds. With --mode it says instead how it is to be for one user and type: "
        "auto; suggest, the default: fields are only recommended; off: they are not."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--entity-type", metavar="T", help="of this type only")
        parser.add_argument("--user", metavar="U", help="of this owner only (id, e-mail or username)")
        parser.add_argument("--mode", choices=EnhancementMode.values, help="how it is to be from now on")
        add_dry_run(parser)

    def run(self, **options: Any) -> JsonObject:
        owner = owner_named(options["user"])
        entity_type = options["entity_type"] and entity_type_named(options["entity_type"])
        if options["mode"]:
            if owner is None or entity_type is None:
                raise CommandError("--mode needs --user and --entity-type.", returncode=EXIT_USAGE)
            with writing(is_dry_run=options["dry_run"]):
                enhancement_set(
                    user_id=owner.pk,
                    entity_type=entity_type,
                    mode=EnhancementMode(options["mode"]),
                    actor=Actor.shell(),
                )
            would = "Nothing was written. It would be " if options["dry_run"] else ""
            self.say(f"{would}{entity_type} ({owner}): {options['mode']}.")
            return {
                "user": owner.username,
                "entity_type": entity_type,
                "mode": options["mode"],
                "dry_run": options["dry_run"],
            }
        rows = EnhancementSetting.objects.filter(mode=EnhancementMode.AUTO).order_by("pk")
        if owner is not None:
            rows = rows.filter(user=owner)
        if entity_type is not None:
            rows = rows.filter(entity_type=entity_type)
        results: list[Json] = []
        for setting in rows.select_related("user"):
            with writing(is_dry_run=options["dry_run"]):
                turn = enhancement_turn(
                    user_id=setting.user_id, entity_type=setting.entity_type, actor=Actor.shell()
                )
            verb = "would be promoted" if options["dry_run"] else "promoted"
            self.say(
                f"{setting.entity_type} ({setting.user}): {verb}: {', '.join(turn.promoted) or 'nothing'}; "
                f"failed: {', '.join(turn.failed) or 'none'}."
            )
            results.append(
                {
                    "user": setting.user.username,
                    "entity_type": setting.entity_type,
                    "promoted": [*turn.promoted],
                    "failed": [*turn.failed],
                    "more": turn.has_more,
                }
            )
        if not results:
            self.say("The mode is auto nowhere that you named.")
        return {"dry_run": options["dry_run"], "results": results}
