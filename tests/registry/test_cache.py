"""The cache of effective schemas: what each of the two loads promises, and what it costs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from registry import cache
from registry.cache import (
    CacheFigures,
    SchemaCache,
    cache_clear,
    cache_figures,
    load_active_schema,
    load_current_schema,
    load_current_schemas,
)
from registry.domain.effective import EffectiveSchema
from registry.models import SchemaVersion
from registry.selectors import effective_schema, effective_schemas
from registry.services.activation import schema_activate, schema_deactivate, schema_retire
from registry.services.extensions import extension_remove
from registry.services.settling import extensions_settle
from schemaevo.kernel.models import User
from tests.factories import (
    SHELL,
    THING,
    make_compatibility,
    make_definition,
    make_extension,
    make_user,
    make_version,
)
from tests.threads import PATIENCE_S, Aside

pytestmark = pytest.mark.django_db(transaction=True)

TTL_S = 300


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The cache of this process begins anew, with a clock of the test."""
    clock = Clock()
    monkeypatch.setattr(cache, "_cache", SchemaCache(clock))
    return clock


@pytest.fixture
def owner(clock: Clock) -> User:
    """A user, and a type with a global schema, `a`."""
    make_compatibility()
    make_version(document=make_definition(a="string"))
    return make_user()


@contextmanager
def queries(count: int) -> Iterator[None]:
    with CaptureQueriesContext(connection) as found:
        yield
    assert [query["sql"] for query in found][count:] == []
    assert len(found) == count


def names(schema: EffectiveSchema) -> set[str]:
    return set() if schema.definition is None else set(schema.definition.fields)


def active(user: User | None) -> set[str]:
    return names(load_active_schema(entity_type=THING, user_id=user.pk if user else None))


def current(user: User | None) -> set[str]:
    return names(load_current_schema(entity_type=THING, user_id=user.pk if user else None))


def worked(before: CacheFigures) -> tuple[int, int, int]:
    """Hits, misses and stale ones since `before`."""
    now = cache_figures()
    return now.hits - before.hits, now.misses - before.misses, now.stale - before.stale


def behind_its_back(document: Any, user: User | None = None) -> SchemaVersion:
    """Another process puts a version in force: this one's cache is told nothing."""
    mine = cache._cache
    cache._cache = SchemaCache()
    try:
        return make_version(document=document, user=user)
    finally:
        cache._cache = mine


# --- what a load costs ----------------------------------------------------------------------------------------
def test_a_hit_for_a_page_asks_nobody_and_one_for_a_writer_asks_for_the_epochs(owner: User) -> None:
    make_extension(user=owner, document={"additional_fields": {"b": {"type": "date"}}})
    for user in (owner, None):
        assert active(user) == active(user)
        with queries(0):
            active(user)
        with queries(1):
            current(user)
    before = cache_figures()
    for _ in range(5):
        active(owner)
        current(owner)
    assert worked(before) == (10, 0, 0)


def test_many_users_cost_a_writer_one_query_and_a_miss_three(owner: User) -> None:
    users = [make_user() for _ in range(40)]
    for user in users[::4]:
        make_extension(user=user, document={"additional_fields": {"b": {"type": "date"}}})
    ids = [user.pk for user in users]
    load_current_schemas(entity_type=THING, user_ids=ids)
    cache_clear()
    before = cache_figures()
    with queries(3):
        load_current_schemas(entity_type=THING, user_ids=ids)
    with queries(1):
        load_current_schemas(entity_type=THING, user_ids=ids)
    behind_its_back(make_definition(own="date"), users[1])
    with queries(4):  # the epochs twice, versions and extensions; of the version itself nothing is known yet
        assert names(load_current_schemas(entity_type=THING, user_ids=ids)[ids[1]]) == {"a", "own"}
    assert worked(before) == (40 + 39, 40, 1)
    assert cache_figures().entries == 40


def test_nobody_asked_for_is_nothing_found(owner: User) -> None:
    assert load_current_schemas(entity_type=THING, user_ids=[]) == {}


def test_an_undeclared_type_is_remembered_too_until_it_is_declared(clock: Clock) -> None:
    user = make_user()
    assert active(user) == set()
    with queries(0):
        assert load_active_schema(entity_type=THING, user_id=user.pk).definition is None
    behind_its_back(make_definition(a="string"))
    assert current(user) == {"a"}


# --- the time to live, the bound, the switch ------------------------------------------------------------------
def test_another_process_is_at_most_the_time_to_live_behind_and_a_writer_never(
    owner: User, clock: Clock
) -> None:
    active(owner)
    start = clock.now
    behind_its_back(make_definition(b="string"))
    clock.now = start + TTL_S - 1
    assert active(owner) == {"a"}
    clock.now = start + TTL_S
    assert active(owner) == {"b"}
    behind_its_back(make_definition(c="string"))
    before = cache_figures()
    assert current(owner) == {"c"}
    assert worked(before) == (0, 0, 1)
    with queries(0):
        assert active(owner) == {"c"}


def test_what_a_writer_found_to_be_current_is_trusted_from_then_on(owner: User, clock: Clock) -> None:
    active(owner)
    clock.now += TTL_S - 1
    current(owner)
    clock.now += TTL_S - 1
    with queries(0):
        active(owner)
    clock.now += 1
    with queries(3):
        active(owner)


def test_the_age_is_counted_from_before_the_look(
    owner: User, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load that took its time is as old as its beginning."""

    def slowly(**arguments: Any) -> Any:
        found = effective_schemas(**arguments)
        clock.now += TTL_S
        return found

    with monkeypatch.context() as patched:
        patched.setattr(cache, "effective_schemas", slowly)
        active(owner)
    behind_its_back(make_definition(b="string"))
    assert active(owner) == {"b"}


def test_no_more_is_remembered_than_the_setting_says_and_the_least_used_goes_first(
    owner: User, settings: Any
) -> None:
    settings.SCHEMAEVO_SCHEMA_CACHE_MAX = 3
    users = [make_user() for _ in range(4)]
    for user in users[:3]:
        active(user)
    active(users[0])
    active(users[3])
    assert cache_figures().entries == 3
    for user, count in ((users[0], 0), (users[2], 0), (users[3], 0), (users[1], 3)):
        with queries(count):
            active(user)
    many = [make_user().pk for _ in range(9)]
    assert len(load_current_schemas(entity_type=THING, user_ids=many)) == 9
    assert cache_figures().entries == 3


def test_turned_off_every_load_reads_the_database_and_is_right(owner: User, settings: Any) -> None:
    active(owner)
    settings.SCHEMAEVO_SCHEMA_CACHE_ENABLED = False
    behind_its_back(make_definition(b="string"))
    assert active(owner) == current(owner) == {"b"}
    for load in (active, current):
        with queries(2):
            load(owner)
    assert active(None) == {"b"}
    settings.SCHEMAEVO_SCHEMA_CACHE_ENABLED = True
    assert current(owner) == {"b"}


def test_a_time_to_live_of_nothing_makes_every_page_ask(owner: User, settings: Any) -> None:
    settings.SCHEMAEVO_SCHEMA_CACHE_TTL_S = 0
    active(owner)
    behind_its_back(make_definition(b="string"))
    assert active(owner) == {"b"}


# --- the process that makes the change ------------------------------------------------------------------------
def _activate(user: User) -> None:
    make_version(document=make_definition(z="date"))


def _own(user: User) -> None:
    make_version(document=make_definition(z="date"), user=user)


def _deactivate(user: User) -> None:
    schema_deactivate(entity_type=THING, user_id=None, actor=SHELL, without_review="off")


def _retire(user: User) -> None:
    schema_retire(entity_type=THING, user_id=None, actor=SHELL, without_review="off")


def _extend(user: User) -> None:
    make_extension(user=user, document={"additional_fields": {"z": {"type": "date"}}})


def _unextend(user: User) -> None:
    _extend(user)
    extension_remove(entity_type=THING, user_id=user.pk, actor=SHELL)


def _settle(user: User) -> None:
    _own(user)
    extensions_settle(entity_type=THING, after_user=0, actor=SHELL)


@pytest.mark.parametrize("change", [_activate, _own, _deactivate, _retire, _extend, _unextend, _settle])
def test_after_its_commit_a_change_is_seen_at_once(owner: User, change: Callable[[User], None]) -> None:
    everybody = (owner, make_user(), None)
    for user in everybody:
        active(user)
    change(owner)
    for user in everybody:
        expected = effective_schema(entity_type=THING, user_id=user.pk if user else None)
        assert load_active_schema(entity_type=THING, user_id=user.pk if user else None) == expected
        with queries(0):
            active(user)
        assert load_current_schema(entity_type=THING, user_id=user.pk if user else None) == expected


def test_a_global_change_forgets_all_users_of_the_type_and_an_owners_only_that_one(owner: User) -> None:
    other = make_user()
    make_version(document=make_definition(a="string"), entity_type="other")

    def remembered() -> set[tuple[str, int | None]]:
        return cache._cache.held()

    everything = {(THING, owner.pk), (THING, other.pk), (THING, None), ("other", owner.pk), ("other", None)}

    def load() -> None:
        for entity_type, user_id in everything:
            load_active_schema(entity_type=entity_type, user_id=user_id)
        assert remembered() == everything

    load()
    _own(owner)
    assert remembered() == everything - {(THING, owner.pk)}
    load()
    _activate(owner)
    assert remembered() == {("other", owner.pk), ("other", None)}
    load()
    cache_clear()
    assert remembered() == set()


def test_until_the_commit_others_see_the_old_and_the_changer_the_new_and_nothing_of_it_is_kept(
    owner: User,
) -> None:
    other = make_user()
    for user in (owner, other, None):
        active(user)

    def seen_by_others() -> list[set[str]]:
        with Aside(lambda: [active(user) for user in (owner, other, None)]) as future:
            return future.result(PATIENCE_S)  # type: ignore[return-value]

    with transaction.atomic():
        _activate(owner)
        assert active(owner) == current(owner) == {"z"}
        assert seen_by_others() == [{"a"}] * 3
        assert active(owner) == {"z"}
        assert cache_figures().entries == 0
    assert [active(user) for user in (owner, other, None)] == [{"z"}] * 3
    assert cache_figures().entries == 3


def test_two_changes_of_one_owner_wait_for_each_other_to_commit(owner: User) -> None:
    """In one transaction, one of them in a part that is given up."""
    with transaction.atomic():
        with transaction.atomic():
            _own(owner)
            assert active(owner) == {"a", "z"}
            transaction.set_rollback(True)
        assert active(owner) == {"a"}
        _extend(owner)
        assert active(owner) == {"a", "z"}
    assert active(owner) == {"a", "z"}
    assert load_active_schema(entity_type=THING, user_id=owner.pk).extension_revision_id is not None


def test_a_rollback_leaves_the_old_in_force_and_costs_queries_for_the_time_to_live_at_most(
    owner: User, clock: Clock
) -> None:
    for user in (owner, None):
        active(user)
    with transaction.atomic():
        _activate(owner)
        assert active(owner) == current(None) == {"z"}
        transaction.set_rollback(True)
    assert active(owner) == current(owner) == {"a"}
    with queries(3):
        active(owner)
    clock.now += TTL_S
    assert active(owner) == {"a"}
    with queries(0):
        active(owner)


def test_what_a_rolled_back_transaction_saw_is_never_served_however_long_it_lasted(
    owner: User, clock: Clock
) -> None:
    """The epoch that it raised is raised again by the next change, which is another one."""
    with transaction.atomic():
        _activate(owner)
        clock.now += TTL_S
        assert active(owner) == current(owner) == {"z"}
        transaction.set_rollback(True)
    behind_its_back(make_definition(b="string"))
    assert current(owner) == {"b"}
    assert active(owner) == {"b"}


# --- a load beside a change -----------------------------------------------------------------------------------
class Halted:
    """A load on another connection that stands still once it has read the database, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, user: User) -> None:
        self._read, self._go = threading.Event(), threading.Event()
        main = threading.get_ident()

        def halting(**arguments: Any) -> Any:
            found = effective_schemas(**arguments)
            if threading.get_ident() != main:
                self._read.set()
                assert self._go.wait(PATIENCE_S)
            return found

        monkeypatch.setattr(cache, "effective_schemas", halting)
        self._aside = Aside(lambda: active(user))

    def __enter__(self) -> Halted:
        self._future = self._aside.__enter__()
        assert self._read.wait(PATIENCE_S)
        return self

    def finish(self) -> object:
        self._go.set()
        return self._future.result(PATIENCE_S)

    def __exit__(self, *exc_info: object) -> None:
        self._go.set()
        self._aside.__exit__(*exc_info)


@pytest.mark.parametrize("change", [_activate, _own, _extend])
@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        ("before", "meanwhile"),
        ("before", "after"),
        ("meanwhile", "meanwhile"),
        ("meanwhile", "after"),
    ],
)
def test_a_load_that_races_a_commit_leaves_nothing_old_behind(
    owner: User, monkeypatch: pytest.MonkeyPatch, change: Callable[[User], None], begins: str, ends: str
) -> None:
    if begins == "before":
        with Halted(monkeypatch, owner) as load:
            with transaction.atomic():
                change(owner)
                if ends == "meanwhile":
                    assert load.finish() == {"a"}
            assert load.finish() == {"a"}
    else:
        with transaction.atomic():
            change(owner)
            load = Halted(monkeypatch, owner).__enter__()
            if ends == "meanwhile":
                assert load.finish() == {"a"}
        assert load.finish() == {"a"}
        load.__exit__(None, None, None)
    assert "z" in active(owner)
    assert active(owner) == current(owner)


def test_a_load_that_races_a_clear_is_not_kept(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with Halted(monkeypatch, owner) as load:
        cache_clear()
        behind_its_back(make_definition(b="string"))
        load.finish()
    assert active(owner) == {"b"}


def test_a_change_between_the_two_looks_of_a_load_is_found_by_the_next_writer(
    owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The epochs are read first: what is newer than its epoch is loaded once more, and nothing older stays."""

    def overtaken(**arguments: Any) -> Any:
        monkeypatch.setattr(cache, "effective_schemas", effective_schemas)
        behind_its_back(make_definition(b="string"))
        return effective_schemas(**arguments)

    monkeypatch.setattr(cache, "effective_schemas", overtaken)
    assert active(owner) == {"b"}
    before = cache_figures()
    assert current(owner) == {"b"}
    assert worked(before) == (0, 0, 1)
    assert current(owner) == {"b"}
    assert worked(before) == (1, 0, 1)


def test_a_raw_change_is_seen_by_writers_at_once(owner: User) -> None:
    """As from psql: the database raises the epoch, whoever makes the change."""
    current(owner)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE schema_registry SET is_active = false")
    assert current(owner) == set()
    assert active(owner) == set()


def test_activating_what_is_in_force_forgets_nothing(owner: User) -> None:
    active(owner)
    version = SchemaVersion.objects.get(is_active=True)
    schema_activate(version_id=version.pk, actor=SHELL)
    with queries(0):
        active(owner)
