"""Stands before Django's command of that name, which ends every test that commits."""

from __future__ import annotations

from typing import Any

from django.core.management.commands.flush import Command as DjangosFlush

from tests.emptying.database import make_as_migrated


class Command(DjangosFlush):
    """The database is as migrations left it."""

    def handle(self, **options: Any) -> None:
        make_as_migrated()
