"""extend_schema FILE|- --user U [--entity-type T] [--base REVISION] [--note TEXT] [--dry-run]

extend_schema --remove --entity-type T --user U [--base REVISION] [--note TEXT] [--dry-run]
"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from registry.management.documents import (
    add_dry_run,
    changes_in_words,
    conflicts_in_words,
    difference_json,
    read_document,
    writing,
)
from registry.management.quotas import told
from registry.selectors_extensions import revision_effect
from registry.services.extensions import Extended, extension_remove, extension_save
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import user_by_name


class Command(ServiceCommand):
    help = (
        "Makes a document the user's extension of the global schema, in force at once. FILE is JSON: "
        '{"entity_type": …, "extension": {"additional_fields": …, "field_overrides": …}}, or a bare extension with '
        "--entity-type. --remove takes the extension back instead."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", help="path of the JSON file, or -")
        parser.add_argument("--user", required=True, help="whose extension (id, e-mail or username)")
        parser.add_argument("--entity-type", help="for a file that holds a bare extension, and for --remove")
        parser.add_argument(
            "--base",
            type=int,
            metavar="REVISION",
            help="refuse if another revision is in force by now; 0 for none",
        )
        parser.add_argument("--note", default="", help="why")
        parser.add_argument("--remove", action="store_true", help="the global schema applies as it is again")
        add_dry_run(parser)

    def run(self, **options: Any) -> JsonObject:
        if options["remove"] is (options["file"] is not None):
            raise CommandError("Give either FILE or --remove.", returncode=EXIT_USAGE)
        user = user_by_name(options["user"])
        with writing(is_dry_run=options["dry_run"]):
            extended = _extended(user, options)
            effect = revision_effect(revision=extended.revision)
        revision = extended.revision
        said = revision.parsed
        is_new = extended.created
        would = "Nothing was written. It would be " if options["dry_run"] else ""
        state = "in force" if is_new else "in force already, nothing has changed"
        self.say(f"{would}{revision.entity_type} ({user}) revision {revision.revision}: {state}.")
        changes: JsonObject = {"size": None, "changes": []}
        conflicts = effect.composition.conflicts if effect else ()
        if effect and is_new:
            changes = difference_json(effect.difference)
            for line in changes_in_words(effect.difference):
                self.say(line)
        if conflicts:
            self.say("What does not agree with the global schema:")
            for line in conflicts_in_words(conflicts):
                self.say(line)
        return {
            "entity_type": revision.entity_type,
            "user": user.username,
            "revision": revision.revision,
            "created": is_new,
            "fields": [*sorted(said.additional_fields)],
            "overrides": [*sorted(said.field_overrides)],
            "conflicts": [conflict.to_json() for conflict in conflicts],
            "dry_run": options["dry_run"],
            **changes,
            **told(self, extended.warning),
        }


def _extended(user: User, options: dict[str, Any]) -> Extended:
    given: dict[str, Any] = {
        "user_id": user.pk,
        "base": options["base"],
        "note": options["note"],
        "actor": Actor.shell(),
    }
    if options["remove"]:
        if not options["entity_type"]:
            raise CommandError("--remove needs --entity-type.", returncode=EXIT_USAGE)
        return extension_remove(entity_type=options["entity_type"], **given)
    document: Json
    entity_type, document = read_document(options["file"], options["entity_type"], "extension")
    return extension_save(entity_type=entity_type, document=document, **given)
