"""Where the page cache keeps its entries: in the Redis of the queues, which pages must not need.

A Redis that is away, or hangs, costs one short wait and no page: it is asked again a little later. Entries are plain
data, never pickles: whoever can write to Redis must not be able to run code in a web process.

cachalot keeps two kinds of values. A *mark* says when a table was last written, a *result* what a query found and
when; a result counts as long as it is not older than the marks of its tables. cachalot would date a result by when it
was stored. A change that is committed and announced between the query and that moment would then never be seen. Here a
result has the time at which its query was begun, and a reader never takes the place of somebody else's mark.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
from django.core.cache.backends.base import BaseCache
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from schemaevo.kernel.pages.cached import begun_at

logger = logging.getLogger(__name__)

#: A Redis that does not answer within this many seconds is away.
ANSWER_S = 0.25
#: And is not asked for results for this many.
AWAY_S = 5.0
#: Nothing is kept longer, whatever is asked for: so long a page is behind at most.
KEPT_MAX_S = 60
#: A result that is larger is not kept: Redis holds the bells of the queues as well, and refuses when it is full.
RESULT_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PageCacheFigures:
    """What the page cache of this process did since it started: how often it was asked, and had no answer."""

    asked: int = 0
    misses: int = 0

    @property
    def hits(self) -> int:
        return self.asked - self.misses


class _Result(msgspec.Struct, frozen=True, array_like=True):
    """What a query found: `chunks` of rows, or one `row` if only one was asked for, which may be none."""

    begun_at: float
    chunks: list[list[tuple[Any, ...]]] | None
    row: tuple[Any, ...] | None

    @property
    def found(self) -> list[list[tuple[Any, ...]]] | tuple[Any, ...] | None:
        return self.row if self.chunks is None else self.chunks


_decoder = msgspec.msgpack.Decoder(float | _Result)


class _Server:
    """One Redis, as this process knows it."""

    def __init__(self, url: str) -> None:
        self.client = Redis.from_url(
            url,
            socket_connect_timeout=ANSWER_S,
            socket_timeout=ANSWER_S,
            # Waiting for it once is enough.
            retry=Retry(NoBackoff(), 0),
        )
        self._away_until = 0.0

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def failed(self, error: RedisError) -> None:
        if not self.is_away:
            logger.warning("The page cache is not asked for %s s: %s", AWAY_S, error)
        self._away_until = time.monotonic() + AWAY_S


@cache
def _server(url: str) -> _Server:
    return _Server(url)


class PageCache(BaseCache):
    """As much of a Django cache as cachalot asks for. It cannot be cleared: other things live in that Redis."""

    _figures = PageCacheFigures()
    _counting = threading.Lock()

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._server = _server(location)

    @classmethod
    def figures(cls) -> PageCacheFigures:
        return cls._figures

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """The values that are there; none from a Redis that is away."""
        self._count(asked=1)
        if self._server.is_away:
            return {}
        asked = list(keys)
        try:
            stored = self._server.client.mget([self.make_key(key, version) for key in asked])
        except RedisError as error:
            self._server.failed(error)
            return {}
        pairs = zip(asked, stored, strict=True)
        found = {key: _read(value) for key, value in pairs if isinstance(value, bytes)}
        return {key: value for key, value in found.items() if value is not None}

    def set_many(
        self, data: Mapping[str, Any], timeout: float | None = None, version: int | None = None
    ) -> list[str]:
        """The values are there, as far as they may be and Redis answers. Gives those keys that never are."""
        results = {key: value for key, value in data.items() if isinstance(value, tuple)}
        if not results:
            # A write is announced even to a Redis that was just away: what is not announced stays in sight longer.
            self._store({key: _packed(at) for key, at in data.items()}, {}, timeout, version)
            return []
        self._count(misses=len(results))
        begun = [at for key in results if (at := begun_at(key)) is not None]
        if not begun or self._server.is_away:
            return list(data)
        packed = {key: _packed_result(key, found) for key, (_now, found) in results.items()}
        kept = {key: value for key, value in packed.items() if value is not None}
        marks = {key: _packed(min(begun)) for key in data if key not in results}
        self._store(kept, marks, timeout, version)
        return [key for key in results if key not in kept]

    def _store(
        self,
        values: Mapping[str, bytes],
        where_none_is: Mapping[str, bytes],
        timeout: float | None,
        version: int | None,
    ) -> None:
        lifetime_ms = int(min(timeout or KEPT_MAX_S, KEPT_MAX_S) * 1000)
        pipeline = self._server.client.pipeline(transaction=False)
        for key, value in where_none_is.items():
            pipeline.set(self.make_key(key, version), value, px=lifetime_ms, nx=True)
        for key, value in values.items():
            pipeline.set(self.make_key(key, version), value, px=lifetime_ms)
        try:
            pipeline.execute()
        except RedisError as error:
            self._server.failed(error)

    @classmethod
    def _count(cls, *, asked: int = 0, misses: int = 0) -> None:
        with cls._counting:
            cls._figures = PageCacheFigures(cls._figures.asked + asked, cls._figures.misses + misses)


def _read(stored: bytes) -> float | tuple[float, Any] | None:
    """The value as cachalot gave it; None for what is not ours, or of another version of the program."""
    try:
        value = _decoder.decode(stored)
    except msgspec.MsgspecError:
        return None
    return value if isinstance(value, float) else (value.begun_at, value.found)


def _packed(value: float | _Result) -> bytes:
    return msgspec.msgpack.encode(value)


def _packed_result(key: str, found: Any) -> bytes | None:
    """The result as bytes; None for what would not come back as it was, or is too large."""
    begun = begun_at(key)
    if begun is None:
        return None
    if isinstance(found, list):
        chunks = [list(chunk) for chunk in found]
        is_plain = all(_is_plain(value) for rows in chunks for row in rows for value in row)
        result = _Result(begun, chunks, None)
    elif found is None or isinstance(found, tuple):
        is_plain = all(map(_is_plain, found or ()))
        result = _Result(begun, None, found)
    else:
        return None
    packed = _packed(result) if is_plain else b""
    return packed if 0 < len(packed) <= RESULT_MAX_BYTES else None


def _is_plain(value: Any) -> bool:
    """Whether a column's value comes back from its bytes as the same value of the same type."""
    if isinstance(value, datetime):
        return value.utcoffset() == timedelta(0)
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is None or type(value) in (str, bool, float)
