"""restore_fragments TYPE --user U [--field F] [--dry-run] [--reason R]"""

from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from fragments.selectors_lifecycle import Deletable, deletable_fields
from fragments.services.lifecycle import Restored, fragments_restore
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import ServiceCommand
from schemaevo.kernel.owners import user_by_name

#: Fields that are told to people; --json has all.
LISTED = 20


class Command(ServiceCommand):
    help = (
        "Restores fragments of one owner and entity type that wait for their deletion: they are promoted again, with a "
        "new expiry, or active, if they came from the archive. What has been deleted cannot be restored."
    )

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE")
        parser.add_argument("--user", metavar="U", required=True, help="the owner (id, e-mail or username)")
        parser.add_argument("--field", metavar="F", help="of this field only")
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be restored")
        parser.add_argument("--reason", metavar="R", default="", help="why, for the audit log")

    def run(self, **options: Any) -> JsonObject:
        owner, entity_type = user_by_name(options["user"]), options["entity_type"]
        found = deletable_fields(user_id=owner.pk, entity_type=entity_type, fragment_key=options["field"])
        restored = Restored(sum(one.promoted for one in found), sum(one.active for one in found))
        is_dry_run: bool = options["dry_run"]
        if is_dry_run:
            for one in found[:LISTED]:
                self.say(
                    f"  {one.name}: {one.count}, which may be gone from {one.deletable_at:%Y-%m-%d %H:%M} UTC on"
                )
            if len(found) > LISTED:
                self.say(f"  and {len(found) - LISTED} more fields")
        else:
            with tqdm(total=sum(restored), unit=" fragments", disable=None, leave=False) as bar:
                restored = fragments_restore(
                    user_id=owner.pk,
                    entity_type=entity_type,
                    fragment_key=options["field"],
                    actor=Actor.shell(),
                    reason=options["reason"],
                    on_progress=bar.update,
                )
        verb = "would be" if is_dry_run else "are"
        self.say(
            f"{entity_type} of {owner.username}: {restored.promoted} {verb} promoted again, "
            f"{restored.active} {verb} active again."
        )
        result: JsonObject = {"dry_run": is_dry_run, **restored._asdict()}
        return {**result, "fields": [_json(one) for one in found]} if is_dry_run else result


def _json(told: Deletable) -> JsonObject:
    return {
        "field": told.name,
        "promoted": told.promoted,
        "active": told.active,
        "deletable_at": told.deletable_at.isoformat(),
    }
