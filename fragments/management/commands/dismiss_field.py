"""dismiss_field TYPE FIELD [--user U] [--until T] [--reason R] [--recall]"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from fragments.services.dismissals import field_dismiss, field_recall, field_snooze
from registry.management.documents import owner_named
from registry.management.quotas import moment_named
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.errors import NotFound


class Command(ServiceCommand):
    help = (
        "A field is not recommended any more, to a user or over all users: for good, or with --until for a while. "
        "With --recall it may be again."
    )
    usage_codes = frozenset({"invalid_entity_type", "invalid_field", "until_passed", "until_too_late"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("field", metavar="FIELD")
        parser.add_argument("--user", metavar="U", help="owner (id, e-mail or username); else over all users")
        parser.add_argument("--until", metavar="T", help="snooze it until this date or time")
        parser.add_argument("--reason", default="", help="why")
        parser.add_argument("--recall", action="store_true", help="undo a dismissal")

    def run(self, **options: Any) -> JsonObject:
        owner = owner_named(options["user"])
        until = moment_named(options["until"])
        given = {
            "entity_type": options["entity_type"],
            "name": options["field"],
            "user_id": owner.pk if owner else None,
            "actor": Actor.shell(),
            "reason": options["reason"],
        }
        what = f"{options['entity_type']} {options['field']} of {owner or 'all users'}"
        if options["recall"]:
            if until is not None:
                raise CommandError("--recall takes no --until.", returncode=EXIT_USAGE)
            row = field_recall(**given)
            if row is None:
                raise NotFound("dismissal_not_found", f"{what} is neither dismissed nor snoozed.")
            self.say(f"{what} may be recommended again.")
        elif until is not None:
            row = field_snooze(**given, until=until)
            self.say(f"{what} is snoozed until {until:%Y-%m-%d %H:%M} {until.tzname()}.")
        else:
            row = field_dismiss(**given)
            self.say(f"{what} is dismissed.")
        return {
            "user": owner.username if owner else None,
            "entity_type": row.entity_type,
            "field": row.fragment_key,
            "dismissed": not options["recall"],
            "until": row.until.isoformat() if row.until else None,
            "reason": row.reason,
        }
