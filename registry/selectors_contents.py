"""What versions and revisions say, and what they say together, remembered by the process that read it once.

Both are immutable, so what is remembered can never be outdated. Only which of them is in force is read anew each time.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from registry.domain.composition import compose
from registry.domain.definition import Definition
from registry.domain.extension import EMPTY_EXTENSION, Extension
from registry.models import ExtensionRevision, SchemaVersion

#: What identifies the content of a row: its id, and its hash for the sake of a process that is pointed at another
#: database.
ContentKey = tuple[int, str]

_REMEMBERED_MAX = 4096

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Parts:
    """What an effective definition is made of: a version alone, or the global one with an extension, or with a user's
    own version that is read as one.
    """

    version: ContentKey
    own: ContentKey | None = None
    extension: ContentKey | None = None


class _Memory(Generic[K, V]):
    """Values that never change, by key; the ones that were asked for longest ago are forgotten. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[K, V] = OrderedDict()

    def values(self, keys: Collection[K], make: Callable[[Collection[K]], Mapping[K, V]]) -> dict[K, V]:
        """The value of each key; `make` is asked at most once, for all that are missing."""
        found: dict[K, V] = {}
        with self._lock:
            for key in keys:
                if key in self._held:
                    found[key] = self._held[key]
                    self._held.move_to_end(key)
        missing = [key for key in keys if key not in found]
        if missing:
            made = make(missing)
            found.update(made)
            with self._lock:
                self._held.update(made)
                while len(self._held) > _REMEMBERED_MAX:
                    self._held.popitem(last=False)
        return found


_versions: _Memory[ContentKey, Definition] = _Memory()
_extensions: _Memory[ContentKey, Extension] = _Memory()
_composed: _Memory[Parts, Definition] = _Memory()


def definitions_of(parts: Iterable[Parts]) -> Mapping[Parts, Definition]:
    """The definition that each stands for. Three queries at most, whatever this process has not met yet."""
    wanted = set(parts)
    alone = {one for one in wanted if one.own is None and one.extension is None}
    composed = _composed.values(wanted - alone, _compose_all)
    versions = _versions.values({one.version for one in alone}, _read_versions)
    return {**composed, **{one: versions[one.version] for one in alone}}


def _compose_all(missing: Collection[Parts]) -> Mapping[Parts, Definition]:
    keys = {one.version for one in missing} | {one.own for one in missing if one.own is not None}
    versions = _versions.values(keys, _read_versions)
    extensions = _extensions.values(
        {one.extension for one in missing if one.extension is not None}, _read_extensions
    )
    return {
        one: compose(versions[one.version], _said(one, versions, extensions)).definition for one in missing
    }


def _said(
    parts: Parts, versions: Mapping[ContentKey, Definition], extensions: Mapping[ContentKey, Extension]
) -> Extension:
    if parts.extension is not None:
        return extensions[parts.extension]
    return EMPTY_EXTENSION if parts.own is None else Extension.of_own_schema(versions[parts.own])


def _read_versions(missing: Collection[ContentKey]) -> Mapping[ContentKey, Definition]:
    rows = SchemaVersion.objects.filter(pk__in=[row_id for row_id, _ in missing])
    return {(row.pk, row.definition_hash): row.parsed for row in rows.only("definition", "definition_hash")}


def _read_extensions(missing: Collection[ContentKey]) -> Mapping[ContentKey, Extension]:
    rows = ExtensionRevision.objects.filter(pk__in=[row_id for row_id, _ in missing])
    return {(row.pk, row.content_hash): row.parsed for row in rows}
