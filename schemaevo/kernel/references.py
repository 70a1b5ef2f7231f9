"""verify: rows that refer to what is not there.

Foreign keys of big tables carry no database constraint (a check per row would cost more than the row), so that nothing
but this finds one that leads nowhere. The models say which those are; what refers by a plain column, apps register.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model
from django.utils.translation import gettext_lazy as _
from psycopg import sql

from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.verification import Extent, Finding, Look, VerifyCheck, verify_check
from schemaevo.kernel.verification_samples import KeyedTable, keys_next, rows_up_to

REFERENCES = "references"


@dataclass(frozen=True, slots=True)
class Reference:
    """A column of a model that holds the key of a row of another.

    Where the other is a ledger that is trimmed (`is_trimmed`), a row may be gone by right: then only a number that was
    never given leads nowhere.
    """

    column: str
    to: type[Model]
    is_trimmed: bool = False


_plain: dict[type[Model], dict[str, Reference]] = defaultdict(dict)


def plain_references(model: type[Model], *references: Reference) -> None:
    """These columns of the model refer to others, though they are no foreign keys. Called in AppConfig.ready()."""
    for reference in references:
        _plain[model][reference.column] = reference


def references_unguarded() -> dict[str, tuple[type[Model], list[Reference]]]:
    """By table: what of it refers to other rows without a constraint of the database, in the order of names."""
    found: dict[type[Model], list[Reference]] = defaultdict(list)
    for model in apps.get_models():
        columns: list[Any] = list(model._meta.concrete_fields)
        for column in columns:
            if column.is_relation and not column.db_constraint:
                found[model].append(Reference(column.column, column.related_model))
        if model in _plain:
            found[model] += _plain[model].values()
    tables = {model._meta.db_table: (model, references) for model, references in found.items() if references}
    return {table: tables[table] for table in sorted(tables)}


def references_look(extent: Extent, place: Json) -> Look:
    """The next rows of one table, each with its references looked up by key: never a join of two whole tables."""
    tables = references_unguarded()
    match place:
        case {"table": str(name), "place": inner} if name in tables:
            pass
        case _:
            name, inner = next(iter(tables)), None
    model, references = tables[name]
    found = keys_next(KeyedTable.of(model), extent.size, inner)
    findings = _dangling(model, references, found.keys) if found.keys else []
    return Look(len(found.keys), findings, _place_after(list(tables), name, found.place))


def references_count(extent: Extent) -> int:
    """How many rows there are to look at, over all tables."""
    return sum(
        rows_up_to(KeyedTable.of(model), extent.size) for model, _found in references_unguarded().values()
    )


def register() -> None:
    """The check is part of `verify`."""
    verify_check(
        VerifyCheck(REFERENCES, _("references"), references_look, references_count, has_samples=True)
    )


def _place_after(tables: list[str], name: str, inner: Json) -> Json:
    if inner is not None:
        return {"table": name, "place": inner}
    following = tables[tables.index(name) + 1 :]
    return {"table": following[0], "place": None} if following else None


def _dangling(model: type[Model], references: list[Reference], keys: list[str]) -> list[Finding]:
    """Those of the rows that refer to what is not there. One statement: the rows and the others are of one moment."""
    table = KeyedTable.of(model)
    columns = sql.SQL(", ").join(
        sql.SQL("t.{column}::text, t.{column} IS NOT NULL AND {is_gone}").format(
            column=sql.Identifier(reference.column), is_gone=_is_gone(reference)
        )
        for reference in references
    )
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT t.{key}::text, {columns} FROM {table} AS t WHERE t.{key} = ANY({keys}) ORDER BY 1"
            ).format(
                key=sql.Identifier(table.key),
                columns=columns,
                table=sql.Identifier(table.name),
                keys=sql.SQL("{}::{}[]").format(
                    sql.Literal(keys), sql.SQL("bigint" if table.is_number else "uuid")
                ),
            )
        )
        rows = cursor.fetchall()
    findings = []
    for key, *pairs in rows:
        gone: JsonObject = {
            reference.column: pairs[2 * number]
            for number, reference in enumerate(references)
            if pairs[2 * number + 1]
        }
        if gone:
            named = ", ".join(f"{column} {value}" for column, value in gone.items())
            findings.append(
                Finding(
                    f"{table.name} {key}: there is no {named}", {"table": table.name, "id": key, "gone": gone}
                )
            )
    return findings


def _is_gone(reference: Reference) -> sql.Composable:
    other = KeyedTable.of(reference.to)
    if reference.is_trimmed:
        return sql.SQL("t.{column} > coalesce(pg_sequence_last_value({sequence}::regclass), 0)").format(
            column=sql.Identifier(reference.column),
            sequence=sql.SQL("pg_get_serial_sequence({}, {})").format(
                sql.Literal(other.name), sql.Literal(other.key)
            ),
        )
    return sql.SQL("NOT EXISTS (SELECT FROM {other} AS o WHERE o.{key} = t.{column})").format(
        other=sql.Identifier(other.name),
        key=sql.Identifier(other.key),
        column=sql.Identifier(reference.column),
    )
