"""One migrated database that every xdist worker copies: migrating takes each of them as long as fifty quick tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

#: Set by the settings of the tests where the servers are their own, so that nothing is left on anybody else's.
IS_WANTED: Final = "SCHEMAEVO_TEST_COPIES"
NAME: Final = "migrated"
PROJECT = Path(__file__).parents[1]
_LOCK = 7_263_001


def migrated_template() -> str:
    """The name of a migrated database that nobody is connected to. The first who asks makes it; the others wait."""
    base = os.environ["DATABASE_URL"]
    with psycopg.connect(base, autocommit=True) as direct:
        direct.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        if direct.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone() is None:
            making = f"{NAME}_in_part"
            direct.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(making)))
            direct.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(making)))
            _migrate(f"{base.rpartition('/')[0]}/{making}")
            renamed = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            direct.execute(renamed.format(sql.Identifier(making), sql.Identifier(NAME)))
    return NAME


def _migrate(database_url: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=PROJECT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "schemaevo.settings", "DATABASE_URL": database_url},
        check=True,
        timeout=300,
    )
