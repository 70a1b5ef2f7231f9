"""What the commands of schemas share: what is named on the command line, read from files, and only tried."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from registry.domain.composition import FieldConflict
from registry.domain.diff import Difference
from registry.domain.names import entity_type_problem
from registry.errors import SchemaNotFound
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, decode
from schemaevo.kernel.commands import EXIT_USAGE
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import user_by_name


def add_reason(parser: CommandParser) -> None:
    """Adds what a command takes that may change a global schema in use."""
    parser.add_argument(
        "--without-review", default="", metavar="REASON", help="change a global schema in use; audited"
    )


def add_dry_run(parser: CommandParser) -> None:
    """Adds what a command takes that can tell what it would do."""
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be done; write nothing")


def entity_type_named(name: str) -> str:
    """The entity type that somebody named. Raises: SchemaNotFound for what can be none."""
    if entity_type_problem(name) is not None:
        raise SchemaNotFound(name, "", "no entity type is called so")
    return name


def owner_named(name: str | None) -> User | None:
    """The user that somebody named, or None, which stands for the global schema. Raises: NotFound."""
    return None if name is None else user_by_name(name)


def read_json(name: str) -> Json:
    """The JSON in a file, or for ``-`` on standard input. Raises: Unstorable; CommandError where there is none."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name with NUL in it
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"{name!r} cannot be read: {why}", returncode=EXIT_USAGE) from error
    return decode(data)


def read_document(name: str, entity_type: str | None, key: str) -> tuple[str, Json]:
    """The entity type and the document in a file: ``{"entity_type": …, key: …}``, or the document alone, of a type
    that is named beside it. Raises: as `read_json`, and CommandError where the type is missing or another."""
    document = read_json(name)
    if isinstance(document, dict) and key in document:
        found = document.get("entity_type")
        if entity_type and found not in (None, entity_type):
            raise CommandError(
                f"The file is for {canonical_json(found)}, not for {entity_type}.", returncode=EXIT_USAGE
            )
        entity_type = entity_type or (found if isinstance(found, str) else None)
        document = document[key]
    if not entity_type:
        raise CommandError(
            "The file names no entity_type; give it with --entity-type.", returncode=EXIT_USAGE
        )
    return entity_type, document


@contextmanager
def writing(*, is_dry_run: bool) -> Iterator[None]:
    """What is written inside is written at once at the end, or, in a dry run, not at all: the services do and refuse
    just what they would, and it is rolled back."""
    with transaction.atomic():
        yield
        if is_dry_run:
            transaction.set_rollback(True)


def changes_in_words(difference: Difference) -> list[str]:
    """A line for each change, for people."""
    return [f"  {words}" for words in difference.in_words]


def difference_json(difference: Difference) -> JsonObject:
    """A difference as results hold it."""
    return {"size": difference.size, "changes": difference.to_json()}


def conflicts_in_words(conflicts: Sequence[FieldConflict]) -> list[str]:
    """A line for each conflict, for people."""
    return [
        f"  {conflict.path}: {conflict.message} (global: {canonical_json(conflict.shared)}; own: "
        f"{canonical_json(conflict.own)}) [{conflict.code}]"
        for conflict in conflicts
    ]
