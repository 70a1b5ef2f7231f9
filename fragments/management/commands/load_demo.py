"""Loads the demo: an excerpt of Debian's package index, and what a few weeks of work with it leave behind."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.management import CommandError
from django.core.management.base import BaseCommand

from fragments.demo.past import JobsLeft
from fragments.demo.play import demo_count, demo_play
from fragments.demo.records import EXCERPT, packages_load
from schemaevo.kernel.errors import DomainError


class Command(BaseCommand):
    help = (
        "Loads real records for a first look: packages of Debian 12, their maintainers as users; and, but in "
        "production, what is done with such a store: versions, extensions, quotas, promotions, proposals, jobs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, default=EXCERPT, help="folder with manifest.json")
        parser.add_argument(
            "--records-only", action="store_true", help="only the packages, with their first schema"
        )

    def handle(self, *args: Any, data: Path, records_only: bool, **options: Any) -> None:
        out = cast("Any", self.stdout)
        try:
            is_new = packages_load(data, out)
            is_played = settings.IS_LOCAL and not records_only
            if is_played:
                is_new = demo_play(out) > 0 or is_new
            if is_new:
                demo_count(at_once=is_played)
        except DomainError as error:
            raise CommandError(f"{error.message} [{error.code}]") from error
        except JobsLeft as error:
            raise CommandError(str(error)) from error
        if not is_new:
            self.stdout.write("The demo is loaded already.")
