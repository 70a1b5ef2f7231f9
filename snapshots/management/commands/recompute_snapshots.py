"""recompute_snapshots [--entity-type T] [--user U] [--refresh] [--inline] [--dry-run]"""

from typing import Any

from django.core.management.base import CommandParser
from tqdm import tqdm

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, ServiceCommand
from schemaevo.kernel.owners import user_by_name
from snapshots.services.recomputation import (
    Recomputation,
    recomputation_inline,
    recomputation_request,
    recomputations,
)


class Command(ServiceCommand):
    help = (
        "Asks for jobs that reduce snapshots anew from their whole history: those that wait, since they were made by "
        "rules that are no longer in force, or with --refresh all there are. With --inline it is done here and now. "
        "Exit code 1 if some could not be done."
    )
    usage_codes = frozenset({"invalid_entity_type"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--entity-type", metavar="T", help="of this type only")
        parser.add_argument("--user", metavar="U", help="of this owner only (id, e-mail or username)")
        parser.add_argument("--refresh", action="store_true", help="also what does not wait")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--inline", action="store_true", help="here, without jobs, however long it takes")
        how.add_argument("--dry-run", action="store_true", help="only tell how many snapshots it concerns")

    def run(self, **options: Any) -> JsonObject:
        user = None if options["user"] is None else user_by_name(options["user"])
        is_refresh = options["refresh"]
        found = recomputations(
            entity_type=options["entity_type"], user_id=user.pk if user else None, is_refresh=is_refresh
        )
        result: JsonObject = {
            "refresh": is_refresh,
            "dry_run": options["dry_run"],
            "snapshots": sum(one.count for one in found),
        }
        owner = f" of {user.username}" if user else ""
        if options["inline"]:
            return {**result, **self._inline(found, owner, is_refresh=is_refresh)}
        targets: list[Json] = []
        for one in found:
            target: JsonObject = {
                "entity_type": one.entity_type,
                "user": user.username if user else None,
                "snapshots": one.count,
            }
            does = "would be recomputed"
            if not options["dry_run"]:
                job = recomputation_request(
                    entity_type=one.entity_type,
                    user_id=one.user_id,
                    actor=Actor.shell(),
                    is_refresh=is_refresh,
                )
                target["job"] = str(job.pk)
                does = f"are recomputed by job {job.pk}"
            self.say(f"{one.entity_type}{owner}: {_snapshots(one.count)} {does}.")
            targets.append(target)
        if not found:
            self.say("Nothing is stored.")
        return {**result, "targets": targets}

    def _inline(self, found: list[Recomputation], owner: str, *, is_refresh: bool) -> JsonObject:
        recomputed = failed = 0
        examples: list[Json] = []
        for one in found:
            with tqdm(total=one.count, unit=" snapshots", disable=None, leave=False) as bar:
                outcome = recomputation_inline(
                    entity_type=one.entity_type,
                    user_id=one.user_id,
                    actor=Actor.shell(),
                    is_refresh=is_refresh,
                    on_progress=bar.update,
                )
            self.say(
                f"{one.entity_type}{owner}: {outcome.recomputed} recomputed, {outcome.failed} could not be."
            )
            for failure in outcome.examples:
                self.say(f"  {failure['entity']}: {failure['code']} at {failure['where']}")
            recomputed += outcome.recomputed
            failed += outcome.failed
            examples += outcome.examples
        return {"recomputed": recomputed, "failed": failed, "examples": examples}

    def exit_code(self, result: JsonObject) -> int:
        """1 if something could not be recomputed."""
        return EXIT_FAILED if result.get("failed") else 0


def _snapshots(count: int) -> str:
    return "1 snapshot" if count == 1 else f"{count} snapshots"
