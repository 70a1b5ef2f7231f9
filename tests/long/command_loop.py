"""A process that runs `activate_schema` for every line it reads, and looks at its cache beside and after each.

A line is ``[entity type, version, owner's id or null]``; the answer is what `load_active_schema` gives once the command
has returned. All the while a command runs, another thread loads the schemas of the watched type, which only this
process changes: what it loaded just before the commit may not stay. At the end of the input a last line says how many
loads there were, and how many of them gave what was not in force any more.

`python -m tests.long.command_loop WATCHED_TYPE OWNER_ID...`
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import django
from django.core.management import call_command
from django.db import connection

#: Between two looks; one that never rests would take the interpreter from the command it looks at.
PAUSE_S = 0.001


class Watcher(threading.Thread):
    """Loads the watched schemas while there is something to see."""

    def __init__(self, entity_type: str, owners: list[int | None]) -> None:
        super().__init__(daemon=True)
        self.entity_type = entity_type
        self.loads = self.outdated = 0
        self._owners = owners
        self._busy = threading.Event()
        self._ended = threading.Event()
        # What is in force; a new list for each change, None while one is under way.
        self._in_force: list[str] | None = None

    def run(self) -> None:
        while self._busy.wait() and not self._ended.wait(PAUSE_S):
            self.look()
        connection.close()

    def look(self) -> None:
        from registry.cache import load_active_schema

        for owner in self._owners:
            before = self._in_force
            loaded = load_active_schema(entity_type=self.entity_type, user_id=owner).number
            self.loads += 1
            if before is not None and before is self._in_force and loaded not in before:
                self.outdated += 1

    @contextmanager
    def change_to(self, number: str) -> Iterator[None]:
        """The version of that number comes into force meanwhile, and is so when this ends."""
        self._in_force = None
        self._busy.set()
        yield
        self._in_force = [number]
        self.look()
        self._busy.clear()

    def end(self) -> None:
        self._ended.set()
        self._busy.set()
        self.join()


def main(watched: str, owners: list[int]) -> None:
    from registry.cache import load_active_schema

    watcher = Watcher(watched, [None, *owners])
    watcher.start()
    for line in sys.stdin:
        entity_type, number, owner = json.loads(line)
        given = {"without_review": "a race"} if owner is None else {"user": str(owner)}
        with watcher.change_to(number) if entity_type == watched else nullcontext():
            call_command("activate_schema", entity_type, number, stdout=sys.stderr, **given)
            seen = load_active_schema(entity_type=entity_type, user_id=owner).number
        print(json.dumps(seen), flush=True)
    watcher.end()
    print(json.dumps({"loads": watcher.loads, "outdated": watcher.outdated}), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "schemaevo.settings")
    django.setup()
    main(sys.argv[1], [int(owner) for owner in sys.argv[2:]])
