"""erase (--user U | TYPE KEY --user U) --reason R [--dry-run] [--yes] [--inline]"""

from __future__ import annotations

import sys
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from fragments.selectors_erasures import entity_of, erasure_foreseen
from fragments.services.erasure import Asked, entity_erase, owner_erase
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_FAILED, EXIT_USAGE, ServiceCommand
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import Job, JobState, User
from schemaevo.kernel.owners import user_by_name
from schemaevo.kernel.pause import refuse_while_paused


class Command(ServiceCommand):
    help = (
        "Erases an owner, or one entity of theirs, with everything that belongs to it, for good. What is left is a "
        "number, an audit event with counts, and the row of the erasure with its reason. Backups keep what they hold."
    )
    usage_codes = frozenset({"reason_missing"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("entity_type", metavar="TYPE", nargs="?", help="of one entity only: its type")
        parser.add_argument("entity_key", metavar="KEY", nargs="?", help="and its key")
        parser.add_argument("--user", metavar="U", required=True, help="the owner (id, e-mail or username)")
        parser.add_argument(
            "--reason", metavar="R", default="", help="why; kept with the erasure, so name nobody in it"
        )
        parser.add_argument("--dry-run", action="store_true", help="only tell what would go")
        parser.add_argument("--inline", action="store_true", help="do it here and now, without a worker")
        parser.add_argument("--yes", action="store_true", help="do not ask for the owner's name")

    def run(self, **options: Any) -> JsonObject:
        owner = user_by_name(options["user"])
        entity_type, key = options["entity_type"], options["entity_key"]
        if entity_type is not None and key is None:
            raise CommandError("Name the entity by its TYPE and its KEY.", returncode=EXIT_USAGE)
        entity = (
            None if key is None else entity_of(user_id=owner.pk, entity_type=entity_type, entity_key=key).pk
        )
        if options["dry_run"]:
            return self._foretell(owner, entity)
        if not options["yes"]:
            self._confirm(owner)
        refuse_while_paused()
        if key is None:
            asked = owner_erase(user_id=owner.pk, reason=options["reason"], actor=Actor.shell())
        else:
            asked = entity_erase(
                user_id=owner.pk,
                entity_type=entity_type,
                entity_key=key,
                reason=options["reason"],
                actor=Actor.shell(),
            )
        if not options["inline"]:
            self.say(f"Asked for: erasure {asked.erasure.pk}, job {asked.job.pk}. A worker does it.")
            return self._result(asked)
        return self._done(asked)

    def _foretell(self, owner: User, entity: UUID | None) -> JsonObject:
        found = erasure_foreseen(user_id=owner.pk, entity=entity)
        for one in found:
            self.say(f"  {one.table}: {one.count}")
        self.say("Nothing was erased. What other rows say of it would be cleared as well.")
        return {"dry_run": True, "owner": owner.pk, "rows": {one.table: one.count for one in found}}

    def _confirm(self, owner: User) -> None:
        if not sys.stdin.isatty():
            raise CommandError("Nobody can be asked here: say --yes.", returncode=EXIT_USAGE)
        self.say("This cannot be undone. Type the owner's user name to go on:")
        if input().strip() != owner.username:
            raise CommandError("That is another name; nothing was erased.", returncode=EXIT_USAGE)

    def _done(self, asked: Asked) -> JsonObject:
        """Works for as long as no worker has the job."""
        job = asked.job
        while job.state == JobState.PENDING and not job.attempts:
            run_job(str(job.pk))
            job = Job.objects.get(pk=asked.job.pk)
            refuse_while_paused()
        asked.erasure.refresh_from_db()
        if asked.erasure.is_done:
            for table, count in sorted(asked.erasure.counts.items()):
                self.say(f"  {table}: {count}")
            self.say("Erased.")
        elif job.state == JobState.RUNNING:
            self.say(f"A worker is at it; job {job.pk} shows how far it is.")
        else:
            raise CommandError(
                f"Job {job.pk} is {job.get_state_display()}: {job.error}", returncode=EXIT_FAILED
            )
        return self._result(asked)

    def _result(self, asked: Asked) -> JsonObject:
        return {
            "dry_run": False,
            "erasure": asked.erasure.pk,
            "owner": asked.erasure.user_id,
            "done": asked.erasure.is_done,
            "job": str(asked.job.pk),
            "rows": asked.erasure.counts,
        }
