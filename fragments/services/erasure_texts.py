"""Erasure from rows that stay: the audit log, ledgers, and what people wrote.

A row that is about whom is erased keeps that it happened, when, and to which number; what it said is cleared. A row
that only names them keeps all but the name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.db import connection
from django.db.models import CharField

from fragments.domain.erasing import Clearing, is_distinctive, reduced, without_examples
from fragments.models import BulkAct
from fragments.selectors_narrowed import FIELD, SEARCH
from fragments.services.erasure_inventory import NAMED, Cleared
from schemaevo.kernel.canonical import Json, JsonObject, canonical_json, decode_trusted
from schemaevo.kernel.models import LIVE_JOB_STATES, AuditEvent, Erasure, Job, VerifyOutcome
from schemaevo.kernel.narrowing import ENTITY_TYPE
from snapshots.models import EntitySnapshot

#: Rows that one look reads.
ROWS_AT_ONCE: Final = 5_000
#: Longer words are no keys.
KEY_MAX: Final = 1_000
_MARKS: Final = ".,:;!?()[]{}<>\"'`"
_AUDIT, _JOBS, _VERIFY, _BULK = (model._meta.db_table for model in (AuditEvent, Job, VerifyOutcome, BulkAct))
#: Of the filter of an act in bulk, and of a row that it skipped, what may be anybody's words.
_TYPED_OF_FILTER: Final = frozenset({SEARCH, ENTITY_TYPE.parameter, FIELD.parameter})
_TYPED_OF_REFUSAL: Final = frozenset({"field", "message"})
#: Of an event, whether it is about an entity that the owner still has.
_OF_OWN_ENTITY: Final = """
    (target_type = 'snapshot' AND EXISTS (
        SELECT 1 FROM entity_snapshots AS s
         WHERE s.user_id = %(user)s AND s.id = erasure_uuid_v1(target_id)))"""
#: What is read of a row beside what is cleared, to tell what it is about.
_BESIDE: Final = {
    _AUDIT: ("actor_id", "target_type", "target_id", f"{_OF_OWN_ENTITY} AS is_of_own_entity"),
    _JOBS: ("target", "state"),
}


class Change(NamedTuple):
    """A row, and what some of its columns become."""

    key: Any
    columns: dict[str, Json]


class Look(NamedTuple):
    """What is to change of the rows that were looked at, the last of them, None where there are no more, and which keys
    of the owner's entities stand in them."""

    changes: list[Change]
    last: str | None
    keys: list[str]


def rows_look(erasure: Erasure, called: Clearing, cleared: Cleared, after: str | None) -> Look:
    """The next rows of the table after that key, and what is to be cleared of them. Changes nothing."""
    rows, last = _rows(erasure, called, cleared, after)
    keys: list[str] = []
    if erasure.entity_id is None and cleared.written:
        keys = keys_in(erasure, (row[column] for row in rows for column in cleared.written))
        called = Clearing((*called.names, *keys), called.instead)
    changes = [Change(row[cleared.key], _changed(erasure, called, cleared, row)) for row in rows]
    return Look([change for change in changes if change.columns], last, keys)


def _rows(
    erasure: Erasure, called: Clearing, cleared: Cleared, after: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """Those of the next rows that may have something to be cleared, and the last of all that were looked at."""
    key, table = cleared.key, cleared.table
    columns = (*cleared.texts, *cleared.documents)
    beyond = "true" if after is None else f"{key} > %(after)s"
    read = ", ".join([key, *_BESIDE.get(table, ()), *(f"{column}::text" for column in columns)])
    told = f"lower(concat_ws(chr(10), {', '.join(f'{column}::text' for column in columns)}))"
    # Any of these words may be a key of the owner's.
    may_name = [f"concat_ws('', {', '.join(cleared.written)}) <> ''"] if cleared.written else []
    named = [f"lower({column}) = ANY(%(called)s)" for column in cleared.texts if column in NAMED]
    chosen = " OR ".join(
        [
            _ABOUT.get(table, "false"),
            *named,
            *(may_name if erasure.entity_id is None else []),
            f"EXISTS (SELECT 1 FROM unnest(%(names)s::text[]) AS called (name) WHERE strpos({told}, name) > 0)",  # noqa: S608
        ]
    )
    given: dict[str, Any] = {"after": after, "limit": ROWS_AT_ONCE, **_names(called), **_own(erasure)}
    given["called"] = [str(name).lower() for name in erasure.names]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {key}, count(*) OVER ()"  # noqa: S608
            f" FROM (SELECT {key} FROM {table} WHERE {beyond} ORDER BY {key} LIMIT %(limit)s) AS looked_at"
            f" ORDER BY {key} DESC LIMIT 1",
            given,
        )
        found = cursor.fetchone()
        if found is None:
            return [], None
        last, count = found
        cursor.execute(
            f"SELECT {read} FROM {table} WHERE {beyond} AND {key} <= %(last)s AND ({chosen}) ORDER BY {key}",  # noqa: S608
            {**given, "last": last},
        )
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        # What comes in behind it is of a later pass.
        return rows, str(last) if count == ROWS_AT_ONCE else None


def keys_in(erasure: Erasure, texts: Iterable[str | None]) -> list[str]:
    """The keys of entities that the owner still has and that stand in these texts as words."""
    words = {
        word
        for text in texts
        if text
        for word in _words(text)
        if is_distinctive(word) and len(word) <= KEY_MAX
    }
    types = [part.rpartition(":")[0] for part in map(str, erasure.targets.get("fragments", []))]
    found: list[str] = []
    listed = sorted(words)
    for start in range(0, len(listed), ROWS_AT_ONCE):
        rows = EntitySnapshot.objects.filter(
            user_id=erasure.user_id,
            entity_type__in=types,
            entity_key__in=listed[start : start + ROWS_AT_ONCE],
        )
        found += rows.values_list("entity_key", flat=True)
    return found


def _words(text: str) -> Iterable[str]:
    """What stands between white space, as it is and without the marks that a sentence puts around it."""
    for word in text.split():
        yield word
        yield word.strip(_MARKS)


def rows_clear(cleared: Cleared, changes: list[Change]) -> None:
    """These rows say what is left of them. Runs inside the caller's transaction, which is marked."""
    for change in changes:
        texts = {column: value for column, value in change.columns.items() if column in cleared.texts}
        if texts:
            # By the ORM: lists of some of these tables are remembered, and have to learn of it.
            cleared.model._default_manager.filter(pk=change.key).update(**texts)
        _documents_clear(cleared, change)


def _documents_clear(cleared: Cleared, change: Change) -> None:
    documents = {column: value for column, value in change.columns.items() if column in cleared.documents}
    if not documents:
        return
    parts = ", ".join(f"{column} = %s::jsonb" for column in documents)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {cleared.table} SET {parts} WHERE {cleared.key} = %s",  # noqa: S608  of models
            [*(None if value is None else canonical_json(value) for value in documents.values()), change.key],
        )


#: Which rows of these tables may be about whom is erased, though they do not name them.
_ABOUT: Final = {
    _AUDIT: """
        (%(user)s IS NOT NULL AND (actor_id = %(user)s OR before ->> 'owner' = %(user)s::text
                                   OR after ->> 'owner' = %(user)s::text))
        OR before ->> 'entity' = %(entity)s OR after ->> 'entity' = %(entity)s
        OR %(targets)s::jsonb -> target_type ? target_id
        OR """
    + _OF_OWN_ENTITY,
    _JOBS: "target LIKE %(part)s OR error LIKE '%%:%%'",
    _VERIFY: "examples @> %(example)s::jsonb",
    _BULK: "filter ->> 'owner' = %(user)s::text OR refusals @> %(refusal)s::jsonb",
}


def _own(erasure: Erasure) -> dict[str, Any]:
    is_owner = erasure.entity_id is None
    return {
        "user": erasure.user_id if is_owner else None,
        "entity": None if is_owner else str(erasure.entity_id),
        "targets": canonical_json(erasure.targets),
        "part": f"%:{erasure.user_id}" if is_owner else None,
        "refusal": canonical_json(
            [{"owner": erasure.user_id}] if is_owner else [{"entity": str(erasure.entity_id)}]
        ),
        "example": canonical_json([{"user_id": erasure.user_id}] if is_owner else [{"user_id": 0}]),
    }


def _names(called: Clearing) -> dict[str, list[str]]:
    """The names as texts hold them, and as JSON does, in lower case."""
    written = {name.lower() for name in called.names}
    return {"names": sorted(written | {canonical_json(name)[1:-1].lower() for name in called.names})}


def _changed(erasure: Erasure, called: Clearing, cleared: Cleared, row: dict[str, Any]) -> dict[str, Json]:
    """Those columns of the row that say something else afterwards."""
    before: dict[str, Json] = {
        column: decode_trusted(row[column])
        if column in cleared.documents and row[column] is not None
        else row[column]
        for column in (*cleared.texts, *cleared.documents)
    }
    after: dict[str, Json] = {
        column: called.document(value)
        if column in cleared.documents
        else _cut(cleared, column, called, value)
        for column, value in before.items()
    }
    names = {str(name).lower() for name in erasure.names}
    after |= {
        column: called.instead for column in NAMED & before.keys() if str(before[column]).lower() in names
    }
    if cleared.table == _AUDIT:
        after |= _of_event(erasure, called, row, before)
    elif cleared.table == _JOBS:
        after |= _of_job(erasure, row, before, after)
    elif cleared.table == _VERIFY and erasure.entity_id is None:
        after["examples"] = without_examples(after["examples"], user_id=erasure.user_id)
    elif cleared.table == _BULK:
        after |= _of_act(erasure, called, before)
    return {column: value for column, value in after.items() if value != before[column]}


def _cut(cleared: Cleared, column: str, called: Clearing, value: Json) -> Json:
    if not isinstance(value, str):
        return value
    field = cleared.model._meta.get_field(column)
    longest = field.max_length if isinstance(field, CharField) else None
    return called.text(value)[:longest]


def _of_event(
    erasure: Erasure, called: Clearing, row: dict[str, Any], before: dict[str, Json]
) -> dict[str, Json]:
    """What becomes of an event that is about whom is erased, or that they caused."""
    after: dict[str, Json] = {}
    if erasure.entity_id is None and row["actor_id"] == erasure.user_id:
        after["actor_name"] = called.instead
    states = [state for state in (before["before"], before["after"]) if isinstance(state, dict)]
    kind, own = (
        ("owner", erasure.user_id) if erasure.entity_id is None else ("entity", str(erasure.entity_id))
    )
    targets = erasure.targets.get(row["target_type"], [])
    if (
        row["is_of_own_entity"]
        or row["target_id"] in targets
        or any(str(state.get(kind)) == str(own) for state in states)
    ):
        after |= {"before": reduced(before["before"]), "after": reduced(before["after"]), "reason": ""}
    return after


def _of_act(erasure: Erasure, called: Clearing, before: dict[str, Json]) -> dict[str, Json]:
    """What becomes of an act in bulk: rows of whom is erased do not stand in it any more, and a filter that meant their
    rows alone says no more than that. Of any other only what somebody typed may name them: by the rest, and by the
    names of its parts, the act goes on and its page shows it, whatever whom is erased was called."""
    kind, own = (
        ("owner", erasure.user_id) if erasure.entity_id is None else ("entity", str(erasure.entity_id))
    )
    filtered, refusals = before["filter"], before["refusals"]
    after: dict[str, Json] = {}
    if isinstance(filtered, dict):
        is_own = erasure.entity_id is None and filtered.get("owner") == own
        after["filter"] = reduced(filtered) if is_own else _typed_cleared(called, filtered, _TYPED_OF_FILTER)
    if isinstance(refusals, list):
        after["refusals"] = [
            _typed_cleared(called, one, _TYPED_OF_REFUSAL)
            for one in refusals
            if isinstance(one, dict) and one.get(kind) != own
        ]
    return after


def _typed_cleared(called: Clearing, document: JsonObject, typed: frozenset[str]) -> JsonObject:
    return {key: called.document(value) if key in typed else value for key, value in document.items()}


def _of_job(
    erasure: Erasure, row: dict[str, Any], before: dict[str, Json], cleared: dict[str, Json]
) -> dict[str, Json]:
    """What becomes of a job. Of an error only its kind: a message may quote anybody's values. What a job that has not
    ended goes by stays: it holds numbers."""
    after: dict[str, Json] = {}
    error = cleared["error"]
    after["error"] = error.partition(":")[0] if isinstance(error, str) else error
    if row["state"] in LIVE_JOB_STATES:
        return after | {name: before[name] for name in ("options", "cursor", "result")}
    if erasure.entity_id is None:
        after |= {
            name: without_examples(cleared[name], user_id=erasure.user_id)
            for name in ("options", "cursor", "result")
        }
        if row["target"].endswith(f":{erasure.user_id}"):
            after["result"] = reduced(cleared["result"])
    return after
