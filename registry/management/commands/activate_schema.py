"""activate_schema TYPE VERSION [--user U] [--without-review REASON]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.management.documents import add_reason, owner_named
from registry.management.quotas import told
from registry.selectors import version_by_number
from registry.services.activation import schema_activate
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand


class Command(ServiceCommand):
    help = "Puts a registered version in force, instead of the one that is; also one that was retired."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("number", metavar="VERSION", help="such as 1.2.0")
        parser.add_argument("--user", help="of this user's own schema (id, e-mail or username)")
        add_reason(parser)

    def run(self, **options: Any) -> JsonObject:
        user = owner_named(options["user"])
        version = version_by_number(
            entity_type=options["entity_type"], user_id=user.pk if user else None, number=options["number"]
        )
        version = schema_activate(
            version_id=version.pk, actor=Actor.shell(), without_review=options["without_review"]
        )
        self.say(f"{version.entity_type} {version.number} ({user or 'global'}) is in force.")
        return {
            "entity_type": version.entity_type,
            "user": user.username if user else None,
            "version": version.number,
            "active": version.is_active,
            **told(self, version.quota_warning),
        }
