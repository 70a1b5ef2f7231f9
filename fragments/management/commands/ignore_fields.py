"""ignore_fields [PATTERN] [--user U] [--entity-type T] [--reason R] [--remove]"""

from typing import Any

from django.core.management.base import CommandParser

from fragments.models import IgnoredPattern
from fragments.selectors_refusals import patterns_ignored
from fragments.services.ignore_lists import pattern_ignore, pattern_recall
from registry.management.documents import owner_named
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.errors import NotFound


class Command(ServiceCommand):
    help = (
        "Puts a pattern of field names on the ignore list of all users, or of one: such fields are never recommended. "
        "Without PATTERN, shows the list."
    )
    usage_codes = frozenset({"invalid_pattern", "invalid_entity_type"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "pattern", metavar="PATTERN", nargs="?", help="name, in which * is any text and ? any character"
        )
        parser.add_argument("--user", metavar="U", help="owner (id, e-mail or username); else for all users")
        parser.add_argument(
            "--entity-type", metavar="T", default="", help="of this type only; else of every type"
        )
        parser.add_argument("--reason", default="", help="why")
        parser.add_argument("--remove", action="store_true", help="take the pattern off the list")

    def run(self, **options: Any) -> JsonObject:
        owner = owner_named(options["user"])
        user_id = owner.pk if owner else None
        whose = f"of {owner}" if owner else "of all users"
        if options["pattern"] is None:
            lines = patterns_ignored(user_id=user_id)
            for line in lines:
                self.say(_in_words(line))
            if not lines:
                self.say(f"The ignore list {whose} is empty.")
            return {"user": owner.username if owner else None, "patterns": [_json(line) for line in lines]}
        given = {
            "pattern": options["pattern"],
            "user_id": user_id,
            "entity_type": options["entity_type"],
            "reason": options["reason"],
            "actor": Actor.shell(),
        }
        if options["remove"]:
            row = pattern_recall(**given)
            if row is None:
                raise NotFound(
                    "pattern_not_found", f"{options['pattern']!r} is not on the ignore list {whose}."
                )
            self.say(f"{row.pattern} is not on the ignore list {whose} any more.")
        else:
            row = pattern_ignore(**given)
            self.say(f"{row.pattern} is on the ignore list {whose}.")
        return {"user": owner.username if owner else None, "ignored": not options["remove"], **_json(row)}


def _in_words(line: IgnoredPattern) -> str:
    of_type = f" of {line.entity_type}" if line.entity_type else ""
    return f"{line.pattern}{of_type}, by {line.made_by_name}{f': {line.reason}' if line.reason else ''}"


def _json(line: IgnoredPattern) -> JsonObject:
    return {
        "pattern": line.pattern,
        "entity_type": line.entity_type or None,
        "reason": line.reason,
        "by": line.made_by_name,
        "since": line.made_at.isoformat(),
    }
