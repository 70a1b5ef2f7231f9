"""update_schema TYPE EDITS|- --base VERSION [--user U] [--activate] [--note TEXT] [--dry-run] …"""

from typing import Any

from django.core.management.base import CommandParser

from registry.domain.diff import diff
from registry.management.documents import (
    add_dry_run,
    add_reason,
    changes_in_words,
    difference_json,
    entity_type_named,
    owner_named,
    read_json,
    writing,
)
from registry.management.quotas import told
from registry.selectors import version_by_number
from registry.services.activation import schema_activate
from registry.services.schemas import schema_update
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = (
        "Registers a version that differs from VERSION by a list of edits, and by nothing else. EDITS is a JSON "
        'file: [{"op": "add_field", "field": …, "declaration": {"type": …}}, {"op": "set_required", …}, …].'
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("edits", metavar="EDITS", help="path of the JSON file, or -")
        parser.add_argument(
            "--base", required=True, metavar="VERSION", help="the version in force, else the newest"
        )
        parser.add_argument("--user", help="of this user's own schema (id, e-mail or username)")
        parser.add_argument("--activate", action="store_true", help="put it in force as well")
        parser.add_argument("--note", default="", help="why this version exists")
        add_dry_run(parser)
        add_reason(parser)

    def run(self, **options: Any) -> JsonObject:
        entity_type = entity_type_named(options["entity_type"])
        user = owner_named(options["user"])
        user_id = user.pk if user else None
        edits = read_json(options["edits"])
        is_dry_run = options["dry_run"]
        actor = Actor.shell()
        with writing(is_dry_run=is_dry_run):
            registered = schema_update(
                entity_type=entity_type,
                edits=edits,
                base=options["base"],
                actor=actor,
                user_id=user_id,
                note=options["note"],
            )
            version, warning = registered.version, registered.warning
            base = version_by_number(entity_type=entity_type, user_id=user_id, number=options["base"])
            if options["activate"]:
                version = schema_activate(
                    version_id=version.pk, actor=actor, without_review=options["without_review"]
                )
                warning = version.quota_warning
        changes = diff(base.parsed, version.parsed)
        what = "registered" if registered.created else "already registered"
        state = "in force" if version.is_active else "not in force"
        would = "Nothing was written. It would be " if is_dry_run else ""
        self.say(f"{would}{entity_type} {version.number} ({user or 'global'}): {what}, {state}.")
        self.say(f"Against {base.number}, {changes.size or 'no'} change:")
        for line in changes_in_words(changes):
            self.say(line)
        return {
            "entity_type": entity_type,
            "user": user.username if user else None,
            "base": base.number,
            "version": version.number,
            "created": registered.created,
            "active": version.is_active,
            **told(self, warning),
            "dry_run": is_dry_run,
            **difference_json(changes),
        }
