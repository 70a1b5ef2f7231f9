"""What the commands of the lifecycle share: they tell what is due, or move it."""

from collections.abc import Sequence
from typing import Any, ClassVar

from django.core.management.base import CommandParser
from django.utils import timezone
from tqdm import tqdm

from fragments.services.lifecycle import Move, fragments_due
from fragments.services.lifecycle_runs import BUSY, lifecycle_inline
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, ServiceCommand


class LifecycleCommand(ServiceCommand):
    """Subclasses say which moves, what the audit log calls them, and each move's words for people."""

    name: ClassVar[str]
    moves: ClassVar[Sequence[Move]]
    words: ClassVar[dict[str, str]]

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only tell what would be done")

    def run(self, **options: Any) -> JsonObject:
        is_dry_run: bool = options["dry_run"]
        counts = fragments_due(self.moves, timezone.now())
        if not is_dry_run:
            with tqdm(total=sum(counts.values()), unit=" fragments", disable=None, leave=False) as bar:
                moved = lifecycle_inline(
                    moves=self.moves, name=self.name, actor=Actor.shell(), on_progress=bar.update
                )
            counts = {**dict.fromkeys(counts, 0), **moved}
        verb = "would be" if is_dry_run else "are"
        for name, words in self.words.items():
            self.say(f"{counts[name]} {verb} {words}.")
        if counts.get(BUSY):
            self.say(f"{counts[BUSY]} were left, since somebody wrote there for too long; run it again.")
        return {"dry_run": is_dry_run, **counts}

    def exit_code(self, result: JsonObject) -> int:
        """1 if some were left."""
        return EXIT_FAILED if result.get(BUSY) else 0
