"""retract --source S --user U (--reason R | --undo [--reason R]) [--dry-run]"""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.commands import EXIT_USAGE, ServiceCommand
from schemaevo.kernel.jobs import job_alive
from schemaevo.kernel.owners import user_by_name
from snapshots.errors import AlreadyRetracted, NotRetracted
from snapshots.models import Source
from snapshots.selectors_retraction_previews import RetractionPreview, retraction_preview
from snapshots.selectors_retractions import source_named
from snapshots.services.retractions import SETTLE_RETRACTION, retraction_undo, source_retract


class Command(ServiceCommand):
    help = (
        "Takes back all that one source brought, as if it had never been ingested: its observations and fragments take "
        "no part any more, and what it spoke of is computed anew by a job. Nothing is deleted; --undo gives it back."
    )
    usage_codes = frozenset({"source_ambiguous", "invalid_reason"})

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--source", required=True, metavar="S", help="its id, or its name")
        parser.add_argument("--user", required=True, metavar="U", help="its owner (id, e-mail or username)")
        parser.add_argument("--reason", default="", metavar="R", help="why; it stands in the audit log")
        parser.add_argument("--undo", action="store_true", help="the source takes part again")
        parser.add_argument(
            "--dry-run", action="store_true", help="write nothing, only tell what it would come to"
        )

    def run(self, **options: Any) -> JsonObject:
        is_undo, is_dry_run, reason = options["undo"], options["dry_run"], options["reason"]
        if not (is_undo or is_dry_run or reason):
            raise CommandError("--reason says why it is retracted", returncode=EXIT_USAGE)
        owner = user_by_name(options["user"])
        source = source_named(user=owner, name=options["source"])
        result: JsonObject = {
            "source": str(source.pk),
            "name": source.name,
            "user": owner.username,
            "undo": is_undo,
            "dry_run": is_dry_run,
        }
        if is_dry_run:
            preview = retraction_preview(source=source)
            if preview.is_undo != is_undo:
                raise NotRetracted(str(source)) if is_undo else AlreadyRetracted(str(source))
            self._foretell(preview)
            return {**result, **preview.to_json()}
        retraction = (
            retraction_undo(source_id=source.pk, actor=Actor.shell(), reason=reason)
            if is_undo
            else source_retract(source_id=source.pk, actor=Actor.shell(), reason=reason)
        )
        self._tell(source, is_undo=is_undo)
        job = job_alive(SETTLE_RETRACTION, str(source.pk))
        return {
            **result,
            "retraction": retraction.pk,
            "state": retraction.state,
            "job": str(job.pk) if job else None,
        }

    def _tell(self, source: Source, *, is_undo: bool) -> None:
        if is_undo:
            self.say(f"{source} takes part again. A job gives back what was taken.")
        else:
            self.say(f"{source} takes no part any more. A job takes back what it brought.")

    def _foretell(self, preview: RetractionPreview) -> None:
        about = "" if preview.observations.is_exact else "about "
        least = "" if preview.entities.is_exact else "at least "
        does = "given back" if preview.is_undo else "taken back"
        self.say(
            f"Nothing was written. {about}{preview.observations.value} observations of "
            f"{least}{preview.entities.value} entities would be {does}, in about {preview.seconds} s."
        )
        left = "there is nothing now" if preview.is_undo else "nothing would be left"
        self.say(
            f"Of {preview.looked_at} entities looked at, {preview.changed} would show other values, and of "
            f"{preview.emptied} {left}."
        )
        if not preview.is_undo:
            self.say(f"{preview.impact.fragments} fragments would not wait any more.")
        for field in preview.fields:
            self.say(f"  {field.entity_type}.{field.name}: {field.count}")
