"""Lists as files: what the filters match and nothing else, for those who may, and never without a trace."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from django.contrib import admin
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext

from fragments.models import DeadLetter, FieldTotal, RawFragment, RawFragmentAggregate
from fragments.services.formats import Format, read_records
from fragments.services.ingest import Input, ingest
from fragments.services.records import IngestOptions
from schemaevo.kernel.canonical import JsonObject, decode
from schemaevo.kernel.export_formats import cell
from schemaevo.kernel.export_runs import EXPORTED
from schemaevo.kernel.figures import today
from schemaevo.kernel.models import AuditEvent
from schemaevo.kernel.pages import estimates, keyset
from schemaevo.kernel.pages.exporting import ExportingAdmin
from schemaevo.kernel.streams import FETCH_SIZE
from snapshots.models import EntitySnapshot, Observation
from tests.admin.addresses import list_of, registered, verb_of
from tests.admin.conftest import SECRET, Store
from tests.admin.test_pages import text_of
from tests.content import forget_content, stored_content
from tests.factories import SHELL, THING, make_definition, make_run, make_user, make_version

pytestmark = pytest.mark.django_db(transaction=True)

EXPORTING = registered(ExportingAdmin)
VALUES = [EntitySnapshot, Observation, RawFragment, RawFragmentAggregate, DeadLetter]


def export_of(model: type[Model], **query: Any) -> str:
    return verb_of(model, "export") + (f"?{urlencode(query)}" if query else "")


def exported(client: Client, model: type[Model], **query: Any) -> list[JsonObject]:
    """The lines of the list as JSON Lines."""
    answer = client.post(export_of(model, **query), {"format": "jsonl"})
    assert answer.status_code == 200
    return [decode(line) for line in answer.getvalue().splitlines()]  # type: ignore[misc]


def table_of(client: Client, model: type[Model], **query: Any) -> list[dict[str, str]]:
    answer = client.post(export_of(model, **query), {"format": "csv"})
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"), newline="")))


def events() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=EXPORTED).order_by("pk"))


# --- what is in a file -------------------------------------------------------------------------------------
def test_the_lists_of_what_is_stored_can_be_exported() -> None:
    assert set(EXPORTING) == {*VALUES, FieldTotal, AuditEvent}


@pytest.mark.parametrize("model", EXPORTING, ids=lambda model: model.__name__)
def test_a_file_has_every_row_of_the_list_with_every_column(
    store: Store, client_of: Callable[[str], Client], model: type[Model]
) -> None:
    client = client_of("operator")
    page = client.get(list_of(model))
    listed = len(page.context["cl"].result_list)
    assert listed > 0
    lines, table = exported(client, model), table_of(client, model)
    columns = admin.site._registry[model].export_columns  # type: ignore[attr-defined]
    # The export before is a line of the audit log itself.
    assert len(lines) == listed
    assert len(table) == listed + (model is AuditEvent)
    assert all(tuple(sorted(line)) == tuple(sorted(columns)) for line in lines)
    assert [*table[0]] == [*columns]
    assert table[-listed:] == [{name: cell(line[name]) for name in columns} for line in lines]


def test_a_file_follows_the_filters_the_search_and_the_order_of_the_list(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    make_run(user=make_user(username="other"), records=[{"k": "thing-1", "smell": 1}, {"k": "thing-9"}])
    client = client_of("operator")
    keys = [line["key"] for line in exported(client, EntitySnapshot)]
    assert keys == ["thing-1", "thing-1", "thing-9"]
    assert [line["user"] for line in exported(client, EntitySnapshot, owner="other", q="thing-1")] == [
        "other"
    ]
    assert [line["key"] for line in exported(client, EntitySnapshot, key="thing-9")] == ["thing-9"]
    newest = exported(client, Observation, type=THING, p="")
    assert [line["id"] for line in newest] == [
        str(pk) for pk in Observation.objects.order_by("-recorded_at", "-id").values_list("pk", flat=True)
    ]
    assert exported(client, Observation, owner="nobody") == []
    assert table_of(client, RawFragment, owner="other", field="smell")[0]["value"] == "1"


def test_what_a_line_says(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    (snapshot,) = exported(client, EntitySnapshot)
    assert snapshot == {
        "entity_type": THING,
        "user": "owner-of-it",
        "key": "thing-1",
        "deleted": False,
        "last_observation_at": "2024-05-01T12:00:00.000001Z",
        "schema_version": "1.0.0",
        "values": {"colour": f"new {SECRET}", "k": "thing-1"},
    }
    (fragment,) = exported(client, RawFragment)
    assert {name: fragment[name] for name in ("field", "value", "reason", "state", "key", "count")} == {
        "field": "smell",
        "value": {"is": SECRET},
        "reason": "unknown_field",
        "state": "active",
        "key": "thing-1",
        "count": 1,
    }
    (field,) = exported(client, RawFragmentAggregate)
    assert (field["field"], field["type"], field["type_share"]) == ("smell", "object", 1)
    assert field["samples"] == [{"is": SECRET}]
    (total,) = exported(client, FieldTotal)
    assert {name: total[name] for name in ("field", "owners", "values", "type", "type_share")} == {
        "field": "smell",
        "owners": 1,
        "values": 1,
        "type": "object",
        "type_share": 1,
    }
    assert total["types"] == {"object": 1}
    (letter,) = exported(client, DeadLetter)
    assert letter["record"] == '{"k": "thing-2", "colour": "' + SECRET
    assert (letter["run"], letter["line"], letter["code"]) == (store.run.pk, 2, store.letter.code)


def test_what_is_no_text_is_escaped(store: Store, client_of: Callable[[str], Client]) -> None:
    raw = b'=cmd\xff\x00"'
    DeadLetter.objects.create(run=store.run, line_number=99, code="c", message="-m", raw=raw)
    newest = table_of(client_of("operator"), DeadLetter)[0]
    assert newest["record"] == "'=cmd\\xff\0\""
    assert newest["message"] == "'-m"


def test_what_is_gone_leaves_its_lines(store: Store, client_of: Callable[[str], Client]) -> None:
    with connection.cursor() as cursor:
        for table in ("observations", "entity_snapshots", "raw_fragments", "raw_fragment_aggregates"):
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute(f"UPDATE {table} SET user_id = 999999")
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    client = client_of("operator")
    for model in VALUES[:4]:
        lines = exported(client, model)
        assert len(lines) == model._default_manager.count(), model
        assert {line["user"] for line in lines} == {None}, model


def test_exported_observations_are_what_the_command_writes_and_can_be_ingested_again(
    client_of: Callable[[str], Client],
) -> None:
    make_version(document=make_definition(k="string", size="number"))
    for owner in (make_user(), make_user()):
        make_run(
            user=owner,
            records=[{"k": str(n % 7), "smell": n % 3, "size": "large" if n % 2 else n} for n in range(60)],
        )
    client = client_of("operator")
    out = io.StringIO()
    call_command("export_observations", THING, stdout=out, stderr=io.StringIO())
    answer = client.post(export_of(Observation, type=THING), {"format": "jsonl"})
    data = answer.getvalue()
    assert sorted(data.decode().splitlines()) == sorted(out.getvalue().splitlines())
    out = io.StringIO()
    call_command("export_snapshots", THING, "--deleted", stdout=out, stderr=io.StringIO())
    snapshots = client.post(export_of(EntitySnapshot, type=THING), {"format": "jsonl"}).getvalue()
    assert sorted(snapshots.decode().splitlines()) == sorted(out.getvalue().splitlines())

    content = stored_content()
    forget_content()
    done = ingest(
        source=Input(read_records(iter(data.splitlines(keepends=True)), Format.OBSERVATIONS, ()), "stream"),
        options=IngestOptions.for_export(entity_type=THING),
        actor=SHELL,
    )
    assert (done.observation_count, done.rejected_count) == (120, 0)
    assert stored_content() == content


def test_the_number_of_queries_grows_by_the_fetch_and_not_by_the_row(
    client_of: Callable[[str], Client],
) -> None:
    make_version(document=make_definition(k="string"))
    client = client_of("operator")
    counts: dict[type[Model], list[int]] = {}
    for _round in range(2):
        make_run(user=make_user(), records=[{"k": str(n), "x": n} for n in range(60)])
        for model in VALUES[:4]:
            with CaptureQueriesContext(connection) as queries:
                client.post(export_of(model), {"format": "csv"}).getvalue()
            counts.setdefault(model, []).append(len(queries))
    assert all(first == second for first, second in counts.values()), counts


def test_a_list_of_more_than_one_fetch_is_whole(client_of: Callable[[str], Client]) -> None:
    count = FETCH_SIZE * 2 + 3
    AuditEvent.objects.bulk_create(
        AuditEvent(action="made.up", target_type="t", target_id=str(n)) for n in range(count)
    )
    lines = exported(client_of("viewer"), AuditEvent, what="made.up")
    assert [line["target"] for line in lines] == [str(n) for n in reversed(range(count))]


# --- the answer --------------------------------------------------------------------------------------------
def test_a_file_is_named_by_what_is_in_it_and_is_kept_by_no_cache(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    for query, name in (
        ({}, "fragments"),
        ({"type": THING}, f"fragments-{THING}"),
        ({"type": 'a"\r\nX: y'}, "fragments"),
    ):
        for export_format, media in (("csv", "text/csv"), ("jsonl", "application/x-ndjson")):
            answer = client.post(export_of(RawFragment, **query), {"format": export_format})
            named = f'attachment; filename="{name}-{today()}.{export_format}"'
            assert answer["Content-Disposition"] == named
            assert answer["Content-Type"] == f"{media}; charset=utf-8"
            assert "no-store" in answer["Cache-Control"]
            assert answer["X-Content-Type-Options"] == "nosniff"
            answer.getvalue()


def test_before_the_download_it_is_told_what_there_will_be(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    text = text_of(client.get(export_of(RawFragment)).content.decode())
    assert "Export fragments All of the list Rows 1 Takes less than a minute" in text
    shown = {"owner": "owner-of-it", "reason": "unknown_field", "q": "smell"}
    html = client.get(export_of(RawFragment, **shown)).content.decode()
    text = text_of(html)
    assert "Owner owner-of-it Reason unknown field Search smell Rows 1" in text
    assert f'href="{list_of(RawFragment)}?{urlencode(shown).replace("&", "&amp;")}"' in html
    assert "--format observations" in client.get(export_of(Observation)).content.decode()
    # Neither a page nor a filter that says nothing is carried along.
    html = client.get(list_of(RawFragment), {"field": "smell", "owner": ""}).content.decode()
    assert f'href="{export_of(RawFragment, field="smell")}"' in html
    assert events() == []


def test_a_list_without_rows_has_no_way_to_a_file(store: Store, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    assert export_of(RawFragment) in client.get(list_of(RawFragment)).content.decode()
    assert export_of(RawFragment) not in client.get(list_of(RawFragment), {"field": "x"}).content.decode()


def test_of_many_rows_only_an_estimate_is_told(
    store: Store, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(user=store.owner, records=[{"k": str(n), "smell": n} for n in range(200)])
    monkeypatch.setattr(estimates, "COUNTED_MAX", 100)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE raw_fragments")
    client = client_of("operator")
    for query in ({}, {"field": "smell"}):
        assert "Rows ≈ 201 Takes" in text_of(client.get(export_of(RawFragment, **query)).content.decode())


def test_what_takes_too_long_to_count_is_not_counted(
    store: Store, client_of: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "PAGE_LIMIT_MS", 100)
    client = client_of("operator")
    with psycopg.connect(**_address()) as other:
        other.execute("LOCK TABLE raw_fragments")
        text = text_of(client.get(export_of(RawFragment)).content.decode())
    assert "Rows not known: counting took too long" in text
    assert "Takes" not in text
    assert "Download CSV" in text


def test_what_is_no_filter_of_the_list_narrows_no_file(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    for query in ({"value__icontains": "x"}, {"value": "x"}):
        for answer in (
            client.get(export_of(RawFragment, **query)),
            client.post(export_of(RawFragment, **query), {"format": "csv"}),
        ):
            assert answer.status_code == 400
    answer = client.get(export_of(RawFragment, p="nonsense"))
    assert (answer.status_code, answer["Location"]) == (302, list_of(RawFragment))
    for asked in ({}, {"format": "xlsx"}):
        answer = client.post(export_of(RawFragment), asked)
        assert (answer.status_code, "Download CSV" in answer.content.decode()) == (200, True)
    assert client.put(export_of(RawFragment)).status_code == 405
    assert events() == []


# --- who may -------------------------------------------------------------------------------------------------
def test_values_leave_by_those_who_may_see_them_alone(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    viewer = client_of("viewer")
    for model in VALUES:
        assert export_of(model) not in viewer.get(list_of(model)).content.decode()
        assert viewer.get(export_of(model)).status_code == 403
        assert viewer.post(export_of(model), {"format": "csv"}).status_code == 403
    assert events() == []
    assert export_of(AuditEvent) in viewer.get(list_of(AuditEvent)).content.decode()
    assert exported(viewer, AuditEvent)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client_of("operator").cookies
    assert strict.post(export_of(RawFragment), {"format": "csv"}).status_code == 403


# --- its trace -----------------------------------------------------------------------------------------------
def test_an_export_is_in_the_audit_log_without_any_value(
    store: Store, client_of: Callable[[str], Client]
) -> None:
    client = client_of("operator")
    query = {"type": THING, "owner": "owner-of-it", "key": "thing", "deleted": "0", "q": "thing-1"}
    assert len(table_of(client, EntitySnapshot, **query)) == 1
    assert exported(client, Observation, received_from="2020-01-01", owner="nobody", kind="\0") == []
    first, second = events()
    assert first.actor is not None
    assert first.actor_name == first.actor.username
    assert (first.target_type, first.target_id) == ("entity_snapshots", THING)
    assert first.after == {
        "door": "page",
        "format": "csv",
        "filters": {"type": THING, "owner": store.owner.pk, "key": "…", "deleted": "0", "q": "…"},
        "rows": 1,
        "is_whole": True,
    }
    assert (second.target_type, second.target_id) == ("observations", "all")
    assert second.after["filters"] == {"received_from": "2020-01-01", "owner": None, "kind": "…"}
    assert (second.after["rows"], second.after["is_whole"]) == (0, True)


@pytest.fixture
def many(db: None) -> int:
    """So many observations that they are read in more than one fetch, and written in more than one portion."""
    make_version(document=make_definition(k="string", text="string"))
    count = FETCH_SIZE + 100
    make_run(user=make_user(), records=[{"k": str(n), "text": "x" * 500} for n in range(count)])
    return count


def begun(client: Client) -> tuple[Any, Iterator[bytes]]:
    """The answer with an export that has begun: its first portion has been read."""
    answer: Any = client.post(export_of(Observation), {"format": "jsonl"})
    parts = iter(answer.streaming_content)
    assert next(parts)
    return answer, parts


def test_one_that_is_broken_off_is_in_the_audit_log_with_what_went_out(
    many: int, client_of: Callable[[str], Client]
) -> None:
    answer, _parts = begun(client_of("operator"))
    assert events() == []
    answer.close()
    (event,) = events()
    assert event.after["is_whole"] is False
    assert 0 < event.after["rows"] < many
    # The transaction has ended, and its connection serves the next request.
    make_user()


def test_one_that_fails_ends_in_an_error_and_never_as_a_shorter_file(
    many: int, client_of: Callable[[str], Client]
) -> None:
    _answer, parts = begun(client_of("operator"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (process,) = cursor.fetchone()
    with psycopg.connect(**_address(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
    with pytest.raises(OperationalError):
        list(parts)
    (event,) = events()
    assert (event.after["is_whole"], 0 < event.after["rows"] < many) == (False, True)


def test_what_is_written_meanwhile_is_not_in_the_file(many: int, client_of: Callable[[str], Client]) -> None:
    client = client_of("operator")
    answer: Any = client.post(export_of(Observation), {"format": "jsonl"})
    parts = iter(answer.streaming_content)
    data = [next(parts)]
    with psycopg.connect(**_address(), autocommit=True) as other:
        other.execute("ALTER TABLE observations DISABLE TRIGGER USER")
        other.execute("UPDATE observations SET priority = 7")
        other.execute("ALTER TABLE observations ENABLE TRIGGER USER")
        # What is read beside the rows, fetch by fetch, is of the same moment.
        other.execute("UPDATE users SET username = 'another' WHERE NOT is_staff")
    data += parts
    lines = b"".join(data).splitlines()
    assert len(lines) == many
    told: list[Any] = [decode(line) for line in lines]
    assert {line["priority"] for line in told} == {100}
    assert len({line["user"] for line in told}) == 1
    assert "another" not in {line["user"] for line in told}
    now = exported(client, Observation)
    assert {(line["priority"], line["user"]) for line in now} == {(7, "another")}


def _address() -> dict[str, Any]:
    known = connection.get_connection_params()
    return {name: known[name] for name in ("dbname", "user", "password", "host", "port") if name in known}


# --- the commands --------------------------------------------------------------------------------------------
def test_what_commands_export_is_in_the_audit_log_as_well(store: Store) -> None:
    owner = store.owner.username
    call_command("export_snapshots", THING, "--user", owner, stdout=io.StringIO(), stderr=io.StringIO())
    call_command("export_observations", "x" * 300, stdout=io.StringIO(), stderr=io.StringIO())
    first, second = events()
    assert first.actor_name.startswith("shell:")
    assert (first.target_type, first.target_id) == ("entity_snapshots", THING)
    assert first.after == {
        "door": "command",
        "format": "jsonl",
        "filters": {"owner": store.owner.pk, "deleted": "0"},
        "rows": 1,
        "is_whole": True,
    }
    assert (second.target_type, second.target_id, second.after["rows"]) == ("observations", "x" * 63, 0)
