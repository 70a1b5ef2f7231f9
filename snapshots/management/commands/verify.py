"""verify [--sample N | --all] [--repair]"""

from argparse import ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from tqdm import tqdm

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, ServiceCommand
from schemaevo.kernel.verification import checks_run, outcomes_json
from snapshots.services.verify import (
    Verified,
    snapshot_ids_all,
    snapshot_ids_sample,
    snapshot_repair,
    snapshots_verify,
)


def _size(text: str) -> int:
    """What --sample takes. Named so that the parser's message tells what it is."""
    size = int(text)
    if size < 1:
        raise ArgumentTypeError("must be at least 1")
    return size


class Command(ServiceCommand):
    help = (
        "Compares stored snapshots with the full reduction of their observations, and the counters of quotas with "
        "what they count. Exit code 1 if one diverges. Nothing is repaired unless --repair says so."
    )

    def add_options(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--sample", type=_size, metavar="N", help="this many from random places")
        which.add_argument("--all", action="store_true", help="every snapshot")
        parser.add_argument(
            "--repair", action="store_true", help="reduce divergent snapshots anew, recount; audited"
        )

    def run(self, **options: Any) -> JsonObject:
        size = options["sample"] or settings.SCHEMAEVO_VERIFY_SAMPLE
        chunks = snapshot_ids_all() if options["all"] else snapshot_ids_sample(size)
        verified = Verified()
        with tqdm(unit=" snapshots", disable=None, leave=False) as bar:
            for ids in chunks:
                part = snapshots_verify(ids)
                if options["repair"]:
                    for divergence in part.divergent:
                        snapshot_repair(divergence=divergence, actor=Actor.shell())
                        part.repaired += 1
                verified.add(part)
                bar.update(len(ids))
        self.say(
            f"{verified.checked} snapshots compared: {len(verified.divergent)} divergent, "
            f"{verified.repaired} repaired; {verified.waiting} wait for recomputation."
        )
        for divergence in verified.divergent[:20]:
            columns = ", ".join(divergence.columns)
            self.say(f"  {divergence.entity_type} {divergence.entity_id}: {columns}")
        outcomes = checks_run(repair_as=Actor.shell() if options["repair"] else None)
        for outcome in outcomes:
            self.say(f"{outcome.kind}: {outcome.divergent} divergent, {outcome.repaired} repaired.")
            for finding in outcome.examples:
                self.say(f"  {finding.in_words}")
        return {**verified.to_json(), "checks": outcomes_json(outcomes)}

    def exit_code(self, result: JsonObject) -> int:
        """1 if something diverges that was not repaired."""
        checks = result["checks"]
        found = [result, *(checks.values() if isinstance(checks, dict) else ())]
        wrong = [one for one in found if isinstance(one, dict) and one["divergent"] != one["repaired"]]
        return EXIT_FAILED if wrong else 0
