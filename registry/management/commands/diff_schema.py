"""diff_schema TYPE A B [--user U]"""

from typing import Any

from django.core.management.base import CommandParser

from registry.domain.diff import diff
from registry.errors import SchemaNotFound
from registry.management.documents import (
    changes_in_words,
    difference_json,
    entity_type_named,
    owner_named,
)
from registry.models import SchemaVersion
from registry.selectors import version_by_number, version_in_force
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand

#: Stands for the number of the version in force.
ACTIVE = "active"


class Command(ServiceCommand):
    help = "Tells in words how version B differs from version A, and how much it would raise the number."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("old", metavar="A", help="such as 1.2.0, or active")
        parser.add_argument("new", metavar="B", help="such as 1.3.0, or active")
        parser.add_argument("--user", help="of this user's own schema (id, e-mail or username)")

    def run(self, **options: Any) -> JsonObject:
        entity_type = entity_type_named(options["entity_type"])
        user = owner_named(options["user"])
        user_id = user.pk if user else None
        old = _version(entity_type, user_id, options["old"])
        new = _version(entity_type, user_id, options["new"])
        difference = diff(old.parsed, new.parsed)
        self.say(
            f"{entity_type} {old.number} to {new.number} ({user or 'global'}): {difference.size or 'no'} change"
            + (f", {len(difference)} in all:" if difference else ".")
        )
        for line in changes_in_words(difference):
            self.say(line)
        return {
            "entity_type": entity_type,
            "user": user.username if user else None,
            "old": old.number,
            "new": new.number,
            **difference_json(difference),
        }


def _version(entity_type: str, user_id: int | None, number: str) -> SchemaVersion:
    if number != ACTIVE:
        return version_by_number(entity_type=entity_type, user_id=user_id, number=number)
    found = version_in_force(entity_type=entity_type, user_id=user_id)
    if found is None:
        raise SchemaNotFound(entity_type, "in force", "global" if user_id is None else f"user {user_id}")
    return found
