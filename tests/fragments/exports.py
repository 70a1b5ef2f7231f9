"""Exports to be read back: what the tests of that start from."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.core.management import call_command
from django.db import connection

from fragments.models import IngestRun
from fragments.selectors_exports import observations_with_fragments
from fragments.services.formats import Format, read_records
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions
from schemaevo.kernel.canonical import canonical_bytes, decode
from tests.content import forget_content
from tests.factories import (
    SHELL,
    THING,
    make_definition,
    make_run,
    make_user,
    make_version,
)

Line = dict[str, Any]


def exported_lines() -> list[Line]:
    """The lines of an export of the things, as they come out of the file."""
    lines = [decode(canonical_bytes(line)) for line in observations_with_fragments(entity_type=THING)]
    return [line for line in lines if isinstance(line, dict)]


def make_import(
    *, lines: Sequence[Line | bytes], create_users: bool = False, batch_size: int = 1000
) -> IngestRun:
    """An ingest run over lines of an export of the things; bytes stand for themselves."""
    raw = [line if isinstance(line, bytes) else canonical_bytes(line) for line in lines]
    return ingest(
        source=Input(read_records((line + b"\n" for line in raw), Format.OBSERVATIONS, ()), "stream"),
        options=replace(
            IngestOptions.for_export(entity_type=THING, create_users=create_users), batch_size=batch_size
        ),
        actor=SHELL,
    )


def forget() -> None:
    """The store is empty of content, although checks of the test's transaction are pending."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    forget_content()


def run(command: str, *arguments: object) -> tuple[Line, int]:
    """A command's summary, and how it exits."""
    out, code = io.StringIO(), 0
    try:
        call_command(command, *map(str, arguments), "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        code = int(end.code or 0)
    return json.loads(out.getvalue().splitlines()[-1]), code


def import_export(path: object, *arguments: object, entity_type: str = THING) -> dict[str, Any]:
    summary, _ = run("ingest", path, "--entity-type", entity_type, "--format", "observations", *arguments)
    return summary


def id_numbered(number: int) -> str:
    return f"00000000-0000-8000-8000-{number:012x}"


def make_exported() -> Line:
    """A line of an export whose store forgot it, with a fragment."""
    make_version(document=make_definition(a="number"))
    make_run(user=make_user(), records=[{"k": "x", "a": 1, "b": 2}], kind="human")
    (exported,) = exported_lines()
    forget()
    return exported
