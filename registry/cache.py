"""The effective schemas that this process remembers, so that no record and no page costs a query for them.

Two loads. `load_active_schema` is for pages: a hit asks nobody, and so may be as old as the time to live if another
process made the change; what this process changed is never served from before its commit. `load_current_schemas` is
for whatever writes or decides by a schema: it compares the epochs of the global schema and of each user in one query
and is never outdated, if the caller holds the schema locks (DESIGN: registry, cache).

Each change is announced twice: when it is made, from when on its entries are neither served nor stored, and after its
commit. Without the first, a reader between commit and announcement would get the old schema; without the second, what
a reader loaded just before the commit would stay.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic

from django.conf import settings
from django.db import connection, transaction

from registry.domain.effective import EffectiveSchema
from registry.selectors import Owner, UserId, effective_schemas, epochs_of

Epochs = tuple[int, int]


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """What the cache of this process did since it started.

    `hits` were served from memory, `misses` were not there or too old, `stale` were there but their epoch had moved
    on. `entries` are remembered now.
    """

    hits: int
    misses: int
    stale: int
    entries: int


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """A change that is made and not known to be committed; called once it is. Each is itself alone."""

    cache: SchemaCache
    key: Owner

    def __call__(self) -> None:
        self.cache.committed(self)

    def concerns(self, key: Owner) -> bool:
        """Whether what is in force for that type and user may be another after the change."""
        return self.key in (key, (key[0], None))


@dataclass(frozen=True, slots=True)
class _Look(Generic[UserId]):
    """What a load goes by: when it began, the changes that were known by then, and the epochs, read first."""

    at: float
    changes: int
    epochs: Mapping[UserId, Epochs]


@dataclass(slots=True)
class _Reign:
    """The time between two changes of a type's global schema that this process made or saw made."""

    is_over: bool = False


@dataclass(slots=True)
class _Entry:
    schema: EffectiveSchema
    epochs: Epochs
    trusted_until: float
    reign: _Reign


class SchemaCache:
    """Effective schemas by type and user, bounded, with a time to live; safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Owner, _Entry] = OrderedDict()
        # By type. A global change ends one, and with it all entries that were made in it: to look for them would take
        # the longer the more users there are.
        self._reigns: dict[str, _Reign] = {}
        # Changes that are made but not known to be committed, and until when to wait for that: a rollback is announced
        # by nobody.
        self._pending: dict[Owner, dict[_Change, float]] = {}
        self._changes = 0
        self._hits = self._misses = self._stale = 0

    def active(self, entity_type: str, user_id: int | None) -> EffectiveSchema:
        """What was in force for a user (None: globally) at most a time to live ago."""
        key = (entity_type, user_id)
        now = self._clock()
        with self._lock:
            entry = self._entries.get(key)
            if (
                entry is not None
                and now < entry.trusted_until
                and not entry.reign.is_over
                and not (self._pending and self._is_pending(key, now))
            ):
                self._hits += 1
                self._entries.move_to_end(key)
                return entry.schema
            self._misses += 1
        return self._loaded(entity_type, [user_id], self._look(entity_type, [user_id]))[user_id]

    def current(self, entity_type: str, user_ids: Collection[UserId]) -> Mapping[UserId, EffectiveSchema]:
        """What is in force now. One query, and those of `effective_schemas` where something changed."""
        look = self._look(entity_type, user_ids)
        now, epochs = look.at, look.epochs
        found: dict[UserId, EffectiveSchema] = {}
        with self._lock:
            for user_id in user_ids:
                key = (entity_type, user_id)
                entry = self._entries.get(key)
                if entry is None or entry.reign.is_over or (self._pending and self._is_pending(key, now)):
                    self._misses += 1
                elif entry.epochs != epochs[user_id]:
                    self._stale += 1
                else:
                    self._hits += 1
                    entry.trusted_until = now + settings.SCHEMAEVO_SCHEMA_CACHE_TTL_S
                    self._entries.move_to_end(key)
                    found[user_id] = entry.schema
        missing = [user_id for user_id in user_ids if user_id not in found]
        if missing:
            found.update(self._loaded(entity_type, missing, look))
        return found

    def change(self, entity_type: str, user_id: int | None) -> None:
        """What is in force for that type and owner is being changed by the transaction that calls this."""
        change = _Change(self, (entity_type, user_id))
        with self._lock:
            until = self._clock() + settings.SCHEMAEVO_SCHEMA_CACHE_TTL_S
            self._pending.setdefault(change.key, {})[change] = until
            self._forget(change.key)
        transaction.on_commit(change)

    def clear(self) -> None:
        """Nothing is remembered, and nothing that is being loaded will be."""
        with self._lock:
            self._changes += 1
            self._entries.clear()
            self._pending.clear()

    def figures(self) -> CacheFigures:
        """The counters as they are now."""
        with self._lock:
            return CacheFigures(self._hits, self._misses, self._stale, len(self._held()))

    def held(self) -> set[Owner]:
        """The types and users of which something is remembered."""
        with self._lock:
            return self._held()

    def committed(self, change: _Change) -> None:
        """The transaction that announced the change has committed."""
        with self._lock:
            waiting = self._pending.get(change.key, {})
            waiting.pop(change, None)
            if not waiting:
                self._pending.pop(change.key, None)
            self._forget(change.key)

    def _forget(self, key: Owner) -> None:
        """Entries that the change concerns go; of a global one, those of all users of the type."""
        self._changes += 1
        entity_type, user_id = key
        if user_id is not None:
            self._entries.pop(key, None)
            return
        reign = self._reigns.pop(entity_type, None)
        if reign is not None:
            reign.is_over = True

    def _held(self) -> set[Owner]:
        return {key for key, entry in self._entries.items() if not entry.reign.is_over}

    def _is_pending(self, key: Owner, now: float) -> bool:
        for part in {key, (key[0], None)}:
            waiting = self._pending.get(part)
            if waiting is not None:
                if any(now < until for until in waiting.values()):
                    return True
                del self._pending[part]
        return False

    def _is_mine(self, key: Owner) -> bool:
        """Whether this very transaction has changed it, so that what it sees may never be committed.

        However long it lasts: were it stored and rolled back, a later change of somebody else would come to the same
        epoch, and it would be served as current.
        """
        return any(
            isinstance(hook, _Change) and hook.cache is self and hook.concerns(key)
            for _savepoints, hook, *_ in connection.run_on_commit
        )

    def _look(self, entity_type: str, user_ids: Collection[UserId]) -> _Look[UserId]:
        """One query. What is loaded afterwards is counted from before it: it may be outdated as soon as it is said."""
        now = self._clock()
        with self._lock:
            changes = self._changes
        return _Look(now, changes, epochs_of(entity_type=entity_type, user_ids=user_ids))

    def _loaded(
        self, entity_type: str, user_ids: Collection[UserId], look: _Look[UserId]
    ) -> Mapping[UserId, EffectiveSchema]:
        """Reads them from the database and remembers them, unless something changed since the look.

        Epochs first: a schema that is newer than its epoch is only loaded once more, one that is older would stay.
        """
        schemas = effective_schemas(entity_type=entity_type, user_ids=user_ids)
        with self._lock:
            if look.changes == self._changes:
                reign = self._reigns.setdefault(entity_type, _Reign())
                for user_id, schema in schemas.items():
                    key = (entity_type, user_id)
                    if not (self._pending and self._is_pending(key, look.at)) and not self._is_mine(key):
                        until = look.at + settings.SCHEMAEVO_SCHEMA_CACHE_TTL_S
                        self._entries[key] = _Entry(schema, look.epochs[user_id], until, reign)
                        self._entries.move_to_end(key)
                while len(self._entries) > settings.SCHEMAEVO_SCHEMA_CACHE_MAX:
                    self._entries.popitem(last=False)
        return schemas


_cache = SchemaCache()


def load_active_schema(*, entity_type: str, user_id: int | None) -> EffectiveSchema:
    """The effective schema of a user, or the global one for None, for showing it.

    No query on a hit. In the process that changed it never older than the last commit, in another at most
    SCHEMAEVO_SCHEMA_CACHE_TTL_S seconds old.
    """
    if not settings.SCHEMAEVO_SCHEMA_CACHE_ENABLED:
        return effective_schemas(entity_type=entity_type, user_ids=[user_id])[user_id]
    return _cache.active(entity_type, user_id)


def load_current_schema(*, entity_type: str, user_id: int | None) -> EffectiveSchema:
    """As `load_current_schemas`, for one."""
    return load_current_schemas(entity_type=entity_type, user_ids=[user_id])[user_id]


def load_current_schemas(
    *, entity_type: str, user_ids: Collection[UserId]
) -> Mapping[UserId, EffectiveSchema]:
    """The effective schemas of users, as committed now, for writing or deciding by them.

    Call it in a transaction that holds the schema locks (shared), in a later statement than the one that took them:
    then no schema among them can change before the transaction ends.
    """
    if not settings.SCHEMAEVO_SCHEMA_CACHE_ENABLED:
        return effective_schemas(entity_type=entity_type, user_ids=user_ids)
    return _cache.current(entity_type, user_ids)


def schema_changing(*, entity_type: str, user_id: int | None) -> None:
    """What is in force for that type and owner is being changed by this transaction: for services that do so."""
    _cache.change(entity_type, user_id)


def cache_clear() -> None:
    """This process remembers nothing."""
    _cache.clear()


def cache_figures() -> CacheFigures:
    """What the cache of this process did since it started."""
    return _cache.figures()
