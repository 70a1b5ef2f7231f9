"""The page cache serves nobody who did not ask, is never long behind, and may go away at any moment."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from cachalot.cache import cachalot_caches
from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.core.cache import caches
from django.core.management import call_command
from django.core.signals import request_started
from django.db import OperationalError, connection, transaction
from django.db.models import Avg, Count, DateField, FloatField, Func, Max, Sum, TextField
from django.db.models.functions import Cast
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from redis import Redis

from registry.models import Schema, SchemaCompatibility, SchemaEpoch, SchemaVersion, UserQuota
from schemaevo.kernel.models import User
from schemaevo.kernel.pages import cache_backend
from schemaevo.kernel.pages.cache_backend import KEPT_MAX_S, PageCache
from schemaevo.kernel.pages.cached import cached_reads, forget_lost_transactions
from tests.factories import make_definition, make_user, make_version
from tests.threads import Aside
from tests.valkeys import OwnValkey

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def redis() -> Iterator[Redis]:
    """The Redis of the page cache, empty."""
    with Redis.from_url(settings.CACHES["pages"]["LOCATION"]) as client:
        client.flushdb()
        yield client


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    """A Valkey of the test's own, which the page cache uses."""
    server = OwnValkey(tmp_path)
    server.start()
    with page_cache_at(server.url):
        yield server
    server.stop()


@contextmanager
def page_cache_at(url: str) -> Iterator[None]:
    with override_settings(
        CACHES={**settings.CACHES, "pages": {**settings.CACHES["pages"], "LOCATION": url}}
    ):
        yield


@pytest.fixture
def asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis that was away is not spared for a while."""
    monkeypatch.setattr(cache_backend, "AWAY_S", 0.0)


def types() -> list[str]:
    """The declared types, read as a list reads them."""
    with cached_reads():
        return list(Schema.objects.order_by("entity_type").values_list("entity_type", flat=True))


def asks_the_database(read: Callable[[], object] = types) -> bool:
    with CaptureQueriesContext(connection) as queries:
        read()
    return bool(queries.captured_queries)


def by_sql(statement: str) -> None:
    """As psql does it: nobody hears of it."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


INSERT = "INSERT INTO schemas (entity_type, created_at) VALUES ('by_sql', now())"


# --- who is served --------------------------------------------------------------------------------------
def test_what_a_page_has_read_is_not_read_again(redis: Redis) -> None:
    assert asks_the_database()
    assert not asks_the_database()


def test_nobody_is_served_who_did_not_ask(redis: Redis) -> None:
    types()
    by_sql(INSERT)

    def read() -> list[str]:
        return list(Schema.objects.order_by("entity_type").values_list("entity_type", flat=True))

    before = PageCache.figures()
    assert read() == ["by_sql"]
    assert asks_the_database(read)
    assert PageCache.figures() == before
    # The entry was there all the time, and outdated: had anybody asked for it, they would have got it.
    assert types() == []


def test_nobody_is_served_in_a_transaction(redis: Redis) -> None:
    types()
    by_sql(INSERT)
    with transaction.atomic():
        assert types() == ["by_sql"]


def test_a_transaction_that_only_the_page_has_is_served(redis: Redis) -> None:
    def read() -> None:
        with cached_reads(), transaction.atomic():
            list(Schema.objects.all())

    assert asks_the_database(read)
    with CaptureQueriesContext(connection) as queries:
        read()
    assert [query["sql"] for query in queries] == ["BEGIN", "COMMIT"]


def test_asking_ends_with_the_block_however_it_ends(redis: Redis) -> None:
    with pytest.raises(ZeroDivisionError), cached_reads():
        raise ZeroDivisionError
    assert asks_the_database(lambda: list(Schema.objects.all()))
    assert asks_the_database(lambda: list(Schema.objects.all()))


def test_no_thread_is_served_because_another_one_asked(redis: Redis) -> None:
    def read() -> bool:
        return asks_the_database(lambda: list(Schema.objects.all()))

    with cached_reads():
        list(Schema.objects.all())
        for _time in range(2):
            with Aside(read) as answer:
                pass
            assert answer.result()


# --- which tables ---------------------------------------------------------------------------------------
def test_a_query_is_not_kept_that_touches_any_other_table(redis: Redis) -> None:
    owner = make_user()
    make_version(document=make_definition(a="string"), user=owner)

    def joined() -> str:
        with cached_reads():
            schema = Schema.objects.select_related("user").get()
        assert schema.user is not None
        return schema.user.get_username()

    def inner() -> int:
        with cached_reads():
            return Schema.objects.filter(user__in=User.objects.filter(username="renamed")).count()

    assert (joined(), inner()) == (owner.username, 0)
    User.objects.filter(pk=owner.pk).update(username="renamed")
    assert (joined(), inner()) == ("renamed", 1)


def test_what_triggers_and_sql_and_copy_write_is_never_behind(redis: Redis) -> None:
    owner = make_user()

    def read() -> tuple[list[int], int]:
        with cached_reads():
            return (
                list(UserQuota.objects.values_list("schema_count", flat=True)),
                sum(SchemaEpoch.objects.values_list("epoch", flat=True)),
            )

    assert read() == ([], 0)
    make_version(document=make_definition(a="string"), user=owner)
    assert read() == ([1], 1)  # both written by triggers
    by_sql("UPDATE schema_epochs SET epoch = 7")
    assert read() == ([1], 7)
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY schema_epochs (entity_type, epoch) FROM STDIN") as copy,
    ):
        copy.write_row(("copied", 5))
    assert read() == ([1], 12)


# --- how far behind -------------------------------------------------------------------------------------
def test_a_write_is_seen_at_once_by_a_reader_in_another_thread(redis: Redis) -> None:
    assert types() == []
    with Aside(lambda: make_version(document=make_definition(a="string"))):
        pass
    assert types() == ["thing"]


def test_a_write_that_is_rolled_back_outdates_nothing(redis: Redis) -> None:
    types()
    with transaction.atomic():
        Schema.objects.create(entity_type="never")
        transaction.set_rollback(True)
    assert not asks_the_database()


def test_a_change_between_the_query_and_its_keeping_is_seen(redis: Redis) -> None:
    changed = threading.Event()

    def then_somebody_changes_it(execute: Any, *given: Any) -> Any:
        result = execute(*given)
        if not changed.is_set():
            changed.set()
            with Aside(lambda: make_version(document=make_definition(a="string"))):
                pass
        return result

    with connection.execute_wrapper(then_somebody_changes_it):
        assert types() == []  # as it was when the query was asked
    assert types() == ["thing"]


def test_two_readers_do_not_hide_a_change_from_each_other(redis: Redis) -> None:
    """The one that was slow had begun before the change, and finds a mark that it must not replace."""
    waits, goes_on = threading.Event(), threading.Event()

    def slowly() -> list[str]:
        def wait(execute: Any, *given: Any) -> Any:
            result = execute(*given)
            waits.set()
            assert goes_on.wait(60)
            return result

        with connection.execute_wrapper(wait):
            return types()

    with Aside(slowly) as slow:
        assert waits.wait(60)
        assert types() == []
        make_version(document=make_definition(a="string"))
        goes_on.set()
    assert slow.result() == []
    assert types() == ["thing"]


def test_what_nobody_announced_is_forgotten_in_time(redis: Redis) -> None:
    types()
    by_sql(INSERT)
    assert types() == []
    keys = redis.keys()
    assert keys
    lifetimes = [redis.pttl(key) for key in keys]
    assert all(0 < lifetime <= KEPT_MAX_S * 1000 for lifetime in lifetimes)
    assert KEPT_MAX_S <= 60
    redis.delete(*keys)
    assert types() == ["by_sql"]


@pytest.mark.parametrize("command", ["migrate", "flush"])
def test_a_migration_and_so_a_restore_outdates_everything(redis: Redis, command: str) -> None:
    types()
    by_sql(INSERT)
    call_command(command, interactive=False, verbosity=0)
    assert types() == (["by_sql"] if command == "migrate" else [])
    by_sql(INSERT if command == "flush" else "SELECT 1")
    with cached_reads():
        assert Schema.objects.exists()


def test_it_is_kept_no_longer_even_if_it_is_asked_for(redis: Redis) -> None:
    for lifetime in (None, 3600):
        caches["pages"].set_many({"k": 1.5}, lifetime)
        assert redis.pttl(redis.keys()[0]) <= KEPT_MAX_S * 1000


def test_writes_of_every_process_are_announced_by_database(redis: Redis) -> None:
    with cached_reads():
        list(Schema.objects.all())
    kept = set(redis.keys())
    connection.settings_dict["NAME"], name = "another", connection.settings_dict["NAME"]
    try:
        with cached_reads():
            list(Schema.objects.all())
    finally:
        connection.settings_dict["NAME"] = name
    assert len(set(redis.keys()) - kept) == 2


# --- when the database was away ---------------------------------------------------------------------------
def lose_a_transaction(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    connection.close()
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "HOST", str(tmp_path))
        with pytest.raises(OperationalError), transaction.atomic():
            raise AssertionError("the database was to be away")


def test_a_thread_that_could_not_begin_a_transaction_still_sees_what_others_change(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lose_a_transaction(monkeypatch, tmp_path)
    assert types() == []
    with Aside(lambda: make_version(document=make_definition(a="string"))):
        pass
    assert types() == ["thing"]


def test_a_thread_that_could_not_begin_a_transaction_still_announces_what_it_writes(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Aside(types):
        pass
    lose_a_transaction(monkeypatch, tmp_path)
    assert cachalot_caches.atomic_caches["default"]
    request_started.send(sender=None)
    make_version(document=make_definition(a="string"))
    with Aside(types) as answer:
        pass
    assert answer.result() == ["thing"]


def test_a_transaction_that_is_open_is_not_forgotten(redis: Redis) -> None:
    types()
    with transaction.atomic():
        Schema.objects.create(entity_type="thing")
        forget_lost_transactions()
    assert types() == ["thing"]


# --- when Redis is away -----------------------------------------------------------------------------------
def test_without_redis_everything_is_read_and_written_and_comes_back_by_itself(
    valkey: OwnValkey, asked_again_at_once: None
) -> None:
    types()
    assert not asks_the_database()
    valkey.stop()
    assert asks_the_database()
    make_version(document=make_definition(a="string"))
    assert types() == ["thing"]
    valkey.start()
    assert types() == ["thing"]
    assert not asks_the_database()


def test_a_redis_that_lost_everything_is_filled_again(redis: Redis) -> None:
    types()
    redis.flushdb()
    assert asks_the_database()
    assert not asks_the_database()


def test_a_redis_that_hangs_holds_nobody_up_for_long(valkey: OwnValkey) -> None:
    types()
    valkey.freeze()
    for number in range(20):
        with cached_reads():
            Schema.objects.filter(pk=number).exists()
    make_version(document=make_definition(a="string"))
    assert types() == ["thing"]


def test_a_redis_that_says_nothing_is_asked_once_and_then_spared(tmp_path: Path) -> None:
    address = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(address))
        silent.listen()
        with page_cache_at(f"unix://{address}"):
            for number in range(5):
                with cached_reads():
                    Schema.objects.filter(pk=number).exists()
        silent.setblocking(False)
        callers = []
        while True:
            try:
                callers.append(silent.accept()[0])
            except BlockingIOError:
                break
        for caller in callers:
            caller.close()
    assert len(callers) == 1


# --- what is kept -----------------------------------------------------------------------------------------
def test_what_comes_back_is_what_was_there(redis: Redis) -> None:
    version = make_version(document=make_definition(a="string", b="number"))
    reads: list[Callable[[], Any]] = [
        lambda: list(SchemaVersion.objects.values()),
        lambda: list(SchemaVersion.objects.values_list()),
        lambda: list(SchemaVersion.objects.values_list("pk", "definition")),
        lambda: SchemaVersion.objects.get(pk=version.pk).definition,
        lambda: SchemaVersion.objects.aggregate(found=Count("pk")),
        lambda: Schema.objects.annotate(found=Count("versions")).get().found,
        lambda: SchemaVersion.objects.filter(major=99).exists(),
        lambda: SchemaVersion.objects.filter(major=99).first(),
        SchemaCompatibility.objects.count,
        lambda: list(Schema.objects.dates("created_at", "year")),
    ]
    for read in reads:
        plain = read()
        with cached_reads():
            assert read() == plain
            again = read()
        assert again == plain
        assert repr(again) == repr(plain)


def test_nothing_that_is_kept_can_run_code(redis: Redis) -> None:
    types()
    for key in redis.scan_iter():
        redis.set(key, pickle.dumps(print), px=60_000)
    assert types() == []


@pytest.mark.parametrize(
    "expression",
    [
        Avg("major"),
        ArrayAgg("entity_type"),
        Sum("pk", output_field=FloatField()),
        Cast(Max("created_at"), DateField()),
        Cast(Max("created_at"), TextField()),
    ],
    ids=["decimal", "array", "float", "date", "text"],
)
def test_a_value_comes_back_as_it_was_or_is_not_kept(redis: Redis, expression: Any) -> None:
    make_version(document=make_definition(a="string"))
    plain = SchemaVersion.objects.aggregate(found=expression)
    for _time in range(2):
        with cached_reads():
            assert repr(SchemaVersion.objects.aggregate(found=expression)) == repr(plain)


@pytest.mark.parametrize("name", ["now", "random"])
def test_what_is_another_each_time_is_not_kept(redis: Redis, name: str) -> None:
    make_version(document=make_definition(a="string"))

    def read() -> object:
        with cached_reads():
            return Schema.objects.annotate(found=Func(function=name, output_field=TextField())).get().found

    assert read() != read()


def test_rows_to_be_locked_are_read(redis: Redis) -> None:
    make_version(document=make_definition(a="string"))

    def read() -> None:
        with cached_reads(), transaction.atomic():
            Schema.objects.select_for_update().get()

    read()
    with CaptureQueriesContext(connection) as queries:
        read()
    assert len(queries) == 3


def test_a_result_that_is_too_large_is_not_kept(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    make_version(document=make_definition(a="string"))

    def read() -> None:
        with cached_reads():
            list(SchemaVersion.objects.all())

    with monkeypatch.context() as patch:
        patch.setattr(cache_backend, "RESULT_MAX_BYTES", 50)
        assert asks_the_database(read)
        assert asks_the_database(read)
    assert asks_the_database(read)
    assert not asks_the_database(read)


def test_it_cannot_be_cleared_since_the_queues_live_there_too(redis: Redis) -> None:
    redis.set("rq:queue", "a bell")
    with pytest.raises(NotImplementedError):
        caches["pages"].clear()
    assert redis.get("rq:queue") == b"a bell"


def test_what_was_served_is_counted(redis: Redis) -> None:
    before = PageCache.figures()
    types()
    types()
    types()
    after = PageCache.figures()
    assert (after.hits - before.hits, after.misses - before.misses) == (2, 1)


def test_the_day_of_a_time_is_utc(redis: Redis) -> None:
    make_version(document=make_definition(a="string"))
    with cached_reads():
        first, second = (Schema.objects.get().created_at for _time in range(2))
    assert first == second
    assert second.tzinfo == UTC
