"""The demo's records: an excerpt of Debian's package index, with its global schema."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.models import QuerySet

from fragments.models import IngestRun, IngestState

EXCERPT = settings.BASE_DIR / "tests" / "data" / "debian"
PACKAGE = "package"


@dataclass(frozen=True, slots=True)
class DemoFile:
    """One file of the excerpt and how its records are to be trusted, as the manifest gives it."""

    path: Path
    sha256: str
    source: str
    observed_at: str
    priority: int


def packages_load(data: Path, out: TextIO) -> bool:
    """Every file of the manifest is ingested; tells whether some were not before.

    Raises: CommandError where the data is missing, or is not what the manifest describes.
    """
    try:
        manifest = json.loads((data / "manifest.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CommandError(f"{error.filename} is missing: there is no demo data.") from error
    schema = data / manifest["schema"]
    entity_type = json.loads(schema.read_text(encoding="utf-8"))["entity_type"]
    files = [
        DemoFile(data / s["file"], s["sha256"], s["source"], s["observed_at"], s["priority"])
        for s in manifest["sources"]
    ]
    waiting = [file for file in files if not is_loaded(file.sha256, entity_type)]
    if waiting and not _has_begun(files, entity_type):
        # Only the first time: since then the schema may have grown, and must not be turned back.
        call_command("register_schema", str(schema), activate=True, stdout=out)
    for file in waiting:
        _ingest(file, entity_type, out)
    return bool(waiting)


def is_loaded(content_hash: str, entity_type: str) -> bool:
    """Whether a run has ingested all of that content."""
    return _runs(content_hash, entity_type).filter(state=IngestState.DONE).exists()


def _runs(content_hash: str, entity_type: str) -> QuerySet[IngestRun]:
    return IngestRun.objects.filter(content_hash=content_hash, entity_type=entity_type)


def _has_begun(files: list[DemoFile], entity_type: str) -> bool:
    return IngestRun.objects.filter(
        content_hash__in=[file.sha256 for file in files], entity_type=entity_type
    ).exists()


def _ingest(file: DemoFile, entity_type: str, out: TextIO) -> None:
    with tempfile.TemporaryDirectory(prefix="schemaevo-demo-") as folder:
        # The run is shown under the name of the file that was read.
        plain = Path(folder) / file.path.stem
        _unpack(file, plain)
        call_command(
            "ingest",
            str(plain),
            entity_type=entity_type,
            user_field="Maintainer",
            create_users=True,
            key_field="Package",
            observed_at=file.observed_at,
            source=file.source,
            priority=file.priority,
            kind="import",
            stdout=out,
        )


def _unpack(file: DemoFile, target: Path) -> None:
    """`target` holds the records of `file`, which are those that the manifest was written for."""
    with gzip.open(file.path) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    with target.open("rb") as plain:
        if hashlib.file_digest(plain, "sha256").hexdigest() != file.sha256:
            raise CommandError(f"{file.path} is not the file that manifest.json describes.")
