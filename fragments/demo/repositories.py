"""A second entity type: repositories as webhooks tell of them, with a schema of their owner's own and dead letters."""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Final, TextIO

from django.conf import settings
from django.core.management import call_command

from fragments.demo.cast import Cast
from fragments.demo.past import Doings
from fragments.demo.records import is_loaded
from registry.services.activation import schema_activate
from registry.services.schemas import schema_register
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.job_control import job_pause
from schemaevo.kernel.models import Job, JobState, User
from schemaevo.kernel.owners import owners_create
from snapshots.services.recomputation import REFRESH, recomputation_request

REPOSITORY: Final = "repository"
OWNER: Final = "octokit"
RECORDS: Final = settings.BASE_DIR / "tests" / "data" / "octokit" / "repositories.jsonl.gz"
SOURCE: Final = "npm @octokit/webhooks-examples 7.6.1"

#: Of `created_at` seven are seconds since 1970, and no converter is declared: one is recommended.
DEFINITION: Final[JsonObject] = {
    "fields": {
        "id": {"type": "number", "required": True, "description": "The repository's number."},
        "private": {"type": "boolean", "description": "Whether only its members see it."},
        "fork": {"type": "boolean", "description": "Whether it began as a copy of another one."},
        "created_at": {"type": "date", "description": "When it was made."},
        "default_branch": {"type": "string", "description": "The branch that is shown first."},
        "language": {"type": "string", "description": "What most of it is written in."},
        "size": {"type": "number", "description": "In KiB."},
        "open_issues_count": {"type": "number", "description": "Issues that are not closed."},
        "topics": {"type": "array", "description": "What it is about, in its owner's words."},
    },
    "merge_policies": {"topics": {"strategy": "merge_array"}},
}


def repositories_load(cast: Cast, doings: Doings, out: TextIO) -> None:
    """One owner has a schema of repositories, and records that say more than it declares."""
    owners_create([OWNER])
    owner = User.objects.get(username=OWNER)
    registered = schema_register(
        entity_type=REPOSITORY,
        user_id=owner.pk,
        document=DEFINITION,
        actor=cast.schema_admin,
        note="what the pages show",
    )
    schema_activate(version_id=registered.version.pk, actor=cast.schema_admin)
    with gzip.open(RECORDS, "rb") as packed:
        _ingest("repositories.jsonl", packed.read(), out)
    doings.work()


def broken_file_arrives(cast: Cast, doings: Doings, out: TextIO) -> None:
    """A file that was edited by hand, and cut: its one good line is a duplicate, the others are dead letters."""
    with gzip.open(RECORDS, "rb") as packed:
        lines = packed.read().splitlines()[:6]
    whole, no_key, no_time, no_number, cut, binary = lines
    without_key = {name: value for name, value in json.loads(no_key).items() if name != "id"}
    without_time = {**json.loads(no_time), "updated_at": "last Tuesday"}
    letters = [
        whole,
        json.dumps(without_key).encode(),
        json.dumps(without_time).encode(),
        json.dumps({**json.loads(no_number), "size": float("nan")}).encode(),
        cut[: len(cut) // 2],
        binary[:-1] + b', "note": "caf\xe9"}',
    ]
    _ingest("repositories-by-hand.jsonl", b"\n".join(letters) + b"\n", out)
    doings.work()


def recomputation_rests(cast: Cast, doings: Doings) -> None:
    """Somebody began to recompute all repositories, and paused it."""
    known = Job.objects.filter(kind=REFRESH, target=REPOSITORY, state=JobState.PAUSED)
    if not known.exists():
        job = recomputation_request(
            entity_type=REPOSITORY, user_id=None, actor=cast.operator, is_refresh=True
        )
        job_pause(job_id=job.pk, actor=cast.operator, reason="until the nightly import is through")
        doings.jobs.add(job.pk)


def recomputation_ends(cast: Cast, doings: Doings) -> None:
    """All repositories were recomputed once before."""
    job = recomputation_request(entity_type=REPOSITORY, user_id=None, actor=cast.operator, is_refresh=True)
    doings.jobs.add(job.pk)
    doings.work()


def _ingest(name: str, content: bytes, out: TextIO) -> None:
    """The records of that file are stored, unless a run has done so before."""
    digest = hashlib.sha256(content).hexdigest()
    if is_loaded(digest, REPOSITORY):
        return
    with tempfile.TemporaryDirectory(prefix="schemaevo-demo-") as folder:
        plain = Path(folder) / name
        plain.write_bytes(content)
        call_command(
            "ingest",
            str(plain),
            entity_type=REPOSITORY,
            user=OWNER,
            key_field="id",
            observed_at_field="updated_at",
            source=SOURCE,
            kind="import",
            stdout=out,
        )
