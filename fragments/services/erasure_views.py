"""Erasure of saved views: how somebody narrowed a list may name an owner, or one of their entities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final, NamedTuple

from fragments.domain.erasing import Clearing, view_names
from fragments.services.erasure_inventory import ENTITY_FILTERS, KEY_FILTERS, OWNER_FILTERS, SEARCH
from fragments.services.erasure_texts import keys_in
from schemaevo.kernel.models import Erasure, SavedView

#: Views that one look reads.
VIEWS_AT_ONCE: Final = 5_000


class Look(NamedTuple):
    """Views that are about whom is erased, of some that were looked at up to `last`; None where there are no more."""

    ids: list[int]
    last: int | None


def views_look(erasure: Erasure, called: Clearing, after: int) -> Look:
    """The next views after that number, and those of them that go. Changes nothing."""
    listed = list(SavedView.objects.filter(pk__gt=after).order_by("pk")[:VIEWS_AT_ONCE])
    if erasure.entity_id is None:
        # While they are there: an owner's entities are known by their keys until they go.
        texts = (text for view in listed for text in (view.name, *view.query.values()))
        called = Clearing((*called.names, *keys_in(erasure, texts)), called.instead)
    meant = _meant(erasure)
    ids = [view.pk for view in listed if view_names(view.name, view.query, called, meant)]
    return Look(ids, listed[-1].pk if len(listed) == VIEWS_AT_ONCE else None)


def _meant(erasure: Erasure) -> Mapping[str, set[str]]:
    """By which filter who is meant, and by what."""
    names = {str(name).lower() for name in erasure.names}
    meant: dict[str, set[str]] = defaultdict(set)
    meant[SEARCH] |= names
    if erasure.entity_id is None:
        for owner in OWNER_FILTERS:
            meant[owner] |= names | {str(erasure.user_id)}
        return meant
    for key in KEY_FILTERS:
        meant[key] |= names
    for entity in {*ENTITY_FILTERS, SEARCH}:
        meant[entity].add(str(erasure.entity_id))
    return meant
