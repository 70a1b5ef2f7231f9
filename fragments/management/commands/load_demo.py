"""Loads the demo: an excerpt of Debian's package index, with its global schema."""

import gzip
import hashlib
import json
import shutil
import tempfile
from argparse import ArgumentParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand

from fragments.models import IngestRun, IngestState

EXCERPT = settings.BASE_DIR / "tests" / "data" / "debian"


@dataclass(frozen=True, slots=True)
class DemoFile:
    """One file of the excerpt and how its records are to be trusted, as the manifest gives it."""

    path: Path
    sha256: str
    source: str
    observed_at: str
    priority: int


class Command(BaseCommand):
    help = "Loads real records for a first look: packages of Debian 12, their maintainers as users."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, default=EXCERPT, help="folder with manifest.json")

    def handle(self, *args: Any, data: Path, **options: Any) -> None:
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
        waiting = [file for file in files if not _is_loaded(file, entity_type)]
        if not waiting:
            self.stdout.write("The demo is loaded already.")
            return
        if not _has_begun(files, entity_type):
            # Only the first time: since then the schema may have grown, and must not be turned back.
            call_command("register_schema", str(schema), activate=True, stdout=self.stdout)
        for file in waiting:
            self._ingest(file, entity_type)

    def _ingest(self, file: DemoFile, entity_type: str) -> None:
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
                stdout=self.stdout,
            )


def _has_begun(files: list[DemoFile], entity_type: str) -> bool:
    return IngestRun.objects.filter(
        content_hash__in=[file.sha256 for file in files], entity_type=entity_type
    ).exists()


def _is_loaded(file: DemoFile, entity_type: str) -> bool:
    return IngestRun.objects.filter(
        content_hash=file.sha256, entity_type=entity_type, state=IngestState.DONE
    ).exists()


def _unpack(file: DemoFile, target: Path) -> None:
    """`target` holds the records of `file`, which are those that the manifest was written for."""
    with gzip.open(file.path) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    with target.open("rb") as plain:
        if hashlib.file_digest(plain, "sha256").hexdigest() != file.sha256:
            raise CommandError(f"{file.path} is not the file that manifest.json describes.")
