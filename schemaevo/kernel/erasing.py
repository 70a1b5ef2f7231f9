"""Who is erased, or is being erased: nothing more is stored for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection
from django.db.models import Q

from schemaevo.kernel.errors import Conflict
from schemaevo.kernel.models import Erasure


class OwnerErased(Conflict):
    """The owner is erased, or is being erased; code `owner_erased`."""

    def __init__(self, user_id: int) -> None:
        super().__init__(
            "owner_erased",
            f"The owner {user_id} is erased, or is being erased: nothing is stored for them any more.",
            owner=user_id,
        )


@dataclass(frozen=True, slots=True)
class Erased:
    """Of some owners those that are erased, or are being erased, and their entities that are being erased."""

    owners: frozenset[int] = frozenset()
    entities: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.owners or self.entities)


def erased_among(user_ids: Collection[int]) -> Erased:
    """Who of these owners is erased. To be asked under the lock SCHEMA_OWNER of what is to be written, in a later
    statement than the one that took it: an erasure takes each of them once before anything goes."""
    found = list(
        Erasure.objects.filter(user__in=list(user_ids))
        .filter(Q(entity_id__isnull=True) | Q(finished_at__isnull=True))
        .values_list("user_id", "entity_id")
    )
    return Erased(
        owners=frozenset(user_id for user_id, entity in found if entity is None),
        entities=frozenset(str(entity) for _, entity in found if entity is not None),
    )


def require_not_erased(user_id: int, entity_id: str | None = None) -> None:
    """Something may be stored for the owner, or about that entity. To be asked as `erased_among` is.

    Raises: OwnerErased `owner_erased`; Conflict `entity_erased` while the entity is being erased.
    """
    erased = erased_among([user_id])
    if user_id in erased.owners:
        raise OwnerErased(user_id)
    if entity_id is not None and str(entity_id) in erased.entities:
        raise Conflict("entity_erased", f"The entity {entity_id} is being erased; try again later.")


def erasing_mark(erasure_id: int) -> None:
    """Until its end this transaction may take away what that erasure is about, as far as the guards of the database
    see that it is (kernel/sql/0002_erasures_v1.sql)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('schemaevo.erasing', %s, true)", [str(erasure_id)])
