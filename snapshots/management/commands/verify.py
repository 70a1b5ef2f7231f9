"""verify [--sample N | --all | --entity-type T [--user U]] [--kind K ...] [--repair [--dry-run]]"""

from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from tqdm import tqdm

from registry.domain.targets import job_target
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, EXIT_USAGE, ServiceCommand
from schemaevo.kernel.owners import user_by_name
from schemaevo.kernel.verification import Extent, Tally, verify_checks
from schemaevo.kernel.verification_runs import Verification, verification_make
from snapshots.services.verify import SNAPSHOTS


def _size(text: str) -> int:
    """What --sample takes. Named so that the parser's message tells what it is."""
    size = int(text)
    if size < 1:
        raise ArgumentTypeError("must be at least 1")
    return size


class Command(ServiceCommand):
    help = (
        "Compares stored snapshots with the full reduction of their observations, the counters of quotas with what "
        "they count, and references with what they lead to. The history keeps what was found. Exit code 1 if something "
        "diverges. Nothing is repaired unless --repair says so."
    )
    usage_codes = frozenset({"unknown_kind", "kind_has_no_targets"})

    def add_options(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--sample", type=_size, metavar="N", help="this many of each kind, from random places"
        )
        which.add_argument("--all", action="store_true", help="all there is")
        which.add_argument("--entity-type", metavar="T", help="all snapshots of this type, and nothing else")
        parser.add_argument("--user", metavar="U", help="with --entity-type: only of this owner")
        parser.add_argument("--kind", action="append", metavar="K", help="only this kind; may be given again")
        parser.add_argument(
            "--repair", action="store_true", help="reduce divergent snapshots anew, recount quotas; audited"
        )
        parser.add_argument("--dry-run", action="store_true", help="write nothing, not even the history")

    def run(self, **options: Any) -> JsonObject:
        is_repair, is_dry_run = options["repair"], options["dry_run"]
        with tqdm(unit=" rows", disable=None, leave=False) as bar:
            verification = verification_make(
                extent=_extent(options),
                actor=Actor.shell(),
                kinds=options["kind"],
                is_repair=is_repair,
                is_dry_run=is_dry_run,
                on_look=bar.update,
            )
        found = dict(verification.done)
        if SNAPSHOTS in found:
            self._say_snapshots(found[SNAPSHOTS])
        others = {kind: tally for kind, tally in found.items() if kind != SNAPSHOTS}
        for kind, tally in others.items():
            self.say(
                f"{kind}: {tally.checked} compared, {tally.divergent} divergent, {tally.repaired} repaired."
            )
            self._say_examples(tally)
        self._say_what_is_left(verification, is_repair=is_repair, is_dry_run=is_dry_run)
        return {
            **found.get(SNAPSHOTS, Tally()).to_json(),
            "checks": {kind: tally.to_json() for kind, tally in others.items()},
            "verification": None if is_dry_run else str(verification.id),
        }

    def exit_code(self, result: JsonObject) -> int:
        """1 if something diverges that was not repaired."""
        checks = result["checks"]
        found = [result, *(checks.values() if isinstance(checks, dict) else ())]
        wrong = [one for one in found if isinstance(one, dict) and one["divergent"] != one["repaired"]]
        return EXIT_FAILED if wrong else 0

    def _say_snapshots(self, tally: Tally) -> None:
        self.say(
            f"{tally.checked} snapshots compared: {tally.divergent} divergent, {tally.repaired} repaired; "
            f"{tally.waiting} wait for recomputation."
        )
        self._say_examples(tally)

    def _say_examples(self, tally: Tally) -> None:
        for finding in tally.examples:
            self.say(f"  {finding.in_words}")
        if tally.divergent > len(tally.examples):
            self.say(f"  and {tally.divergent - len(tally.examples)} more")

    def _say_what_is_left(self, verification: Verification, *, is_repair: bool, is_dry_run: bool) -> None:
        """Which of it can be repaired, and what cannot."""
        for kind, tally in verification.done:
            if not tally.left:
                continue
            if verify_checks()[kind].repair is None:
                self.say(f"{kind}: {tally.left} cannot be repaired, since what they lead to is not there.")
            elif not is_repair:
                self.say(f"{kind}: --repair would try to repair {tally.left}.")
            elif is_dry_run:
                self.say(f"{kind}: would try to repair {tally.left}.")
            else:
                self.say(f"{kind}: {tally.left} could not be repaired.")


def _extent(options: dict[str, Any]) -> Extent:
    entity_type = options["entity_type"]
    if options["user"] is not None and entity_type is None:
        raise CommandError("--user needs --entity-type", returncode=EXIT_USAGE)
    if entity_type is not None:
        user = None if options["user"] is None else user_by_name(options["user"])
        return Extent(target=job_target(entity_type, user.pk if user else None))
    if options["all"]:
        return Extent()
    return Extent(options["sample"] or settings.SCHEMAEVO_VERIFY_SAMPLE)
