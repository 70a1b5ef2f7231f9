"""show_schema TYPE [--user U | --conflicts]"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from django.core.management.base import CommandParser

from registry.domain.composition import Composition
from registry.management.documents import conflicts_in_words, entity_type_named, owner_named
from registry.selectors import Standing, compatibility_mode, schema_standing
from registry.selectors_extensions import CHUNK_USERS, UserConflicts, conflicts_of_users
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import owners_by_id

#: So many users stand in the JSON of --conflicts; the lines for people are as many as there are.
USERS_LISTED = 1_000


class Command(ServiceCommand):
    help = (
        "Prints what applies to a user, or globally: every field and who declares it, what does not agree, and "
        "which versions are in force. --conflicts lists the users of whom something does not agree."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--user", help="what applies to this user (id, e-mail or username)")
        which.add_argument(
            "--conflicts",
            action="store_true",
            help="all users whose extension disagrees with the global schema",
        )

    def run(self, **options: Any) -> JsonObject:
        entity_type = entity_type_named(options["entity_type"])
        if options["conflicts"]:
            return self._conflicts(entity_type)
        user = owner_named(options["user"])
        standing = schema_standing(entity_type=entity_type, user_id=user.pk if user else None)
        composition = standing.composition
        mode = compatibility_mode(entity_type=entity_type)
        shared, own, extension = standing.shared, standing.own, standing.extension
        self.say(f"{entity_type} ({user or 'global'}): {_in_force(standing, user)}; compatibility {mode}.")
        self._tell(composition)
        return {
            "entity_type": entity_type,
            "user": user.username if user else None,
            "version": shared.number if shared else None,
            "own_version": own.number if own else None,
            "revision": extension.revision if extension else None,
            "written_for": (extension.base_schema_version or None) if extension else None,
            "compatibility": mode.value,
            **_composed(composition),
        }

    def _tell(self, composition: Composition | None) -> None:
        if composition is None:
            return
        width = max(map(len, composition.origins), default=0)
        for name, field in sorted(composition.definition.fields.items()):
            policy = composition.definition.policy_of(name)
            words = [f"{field.type:<8}", f"{composition.origins[name]:<10}", policy.strategy]
            if field.required:
                words.append("required")
            words += [converter.function for converter in field.converters]
            self.say(f"  {name:<{width}}  {' '.join(words)}")
        if composition.absorbed:
            names = ", ".join(composition.absorbed)
            self.say(f"Declared by the global schema as well, which counts: {names}")
        if composition.conflicts:
            self.say("What does not agree with the global schema:")
            for line in conflicts_in_words(composition.conflicts):
                self.say(line)

    def _conflicts(self, entity_type: str) -> JsonObject:
        listed: list[Json] = []
        users = conflicts = 0
        found = conflicts_of_users(entity_type=entity_type)
        for chunk in _chunks(found):
            usernames = owners_by_id([one.user_id for one in chunk])
            for one in chunk:
                users += 1
                conflicts += len(one.conflicts)
                username = usernames.get(one.user_id, str(one.user_id))
                has = f"revision {one.revision}" if one.revision else f"own schema {one.own_number}"
                self.say(f"{username}, {has}:")
                for line in conflicts_in_words(one.conflicts):
                    self.say(line)
                if len(listed) < USERS_LISTED:
                    listed.append(
                        {
                            "user": username,
                            "revision": one.revision,
                            "own_version": one.own_number,
                            "conflicts": [conflict.to_json() for conflict in one.conflicts],
                        }
                    )
        self.say(f"{entity_type}: {conflicts} conflicts of {users} users with the global schema.")
        return {"entity_type": entity_type, "user_count": users, "conflict_count": conflicts, "users": listed}


def _in_force(standing: Standing, user: User | None) -> str:
    shared, own, extension = standing.shared, standing.own, standing.extension
    parts = [f"global {shared.number}" if shared else "no global schema"]
    if extension is not None:
        written = f", written for {extension.base_schema_version}" if extension.base_schema_version else ""
        waits = "" if shared else ", waits for a global schema"
        parts.append(f"extension revision {extension.revision}{written}{waits}")
    if own is not None:
        waits = ", waits" if shared and extension else ", read as an extension" if shared else ""
        parts.append(f"own schema {own.number}{waits}")
    if shared is None and own is None:
        parts.append("every field is kept as it comes")
    elif user is not None and own is None and extension is None:
        parts.append("nothing of the user's own")
    return "; ".join(parts)


def _composed(composition: Composition | None) -> JsonObject:
    if composition is None:
        return {"fields": None, "kind_order": None, "absorbed": [], "conflicts": []}
    definition = composition.definition
    return {
        "fields": {
            name: {**definition.declaration(name).to_json(), "origin": composition.origins[name].value}
            for name in definition.fields
        },
        "kind_order": [*definition.kind_order],
        "absorbed": [*composition.absorbed],
        "conflicts": [conflict.to_json() for conflict in composition.conflicts],
    }


def _chunks(found: Iterable[UserConflicts]) -> Iterable[list[UserConflicts]]:
    rest = iter(found)
    while chunk := list(islice(rest, CHUNK_USERS)):
        yield chunk
