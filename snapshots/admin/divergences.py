"""How divergent snapshots look on the page of a verification."""

from collections.abc import Sequence
from uuid import UUID

from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.models import User
from schemaevo.kernel.pages.display import code, names, row_link, short
from schemaevo.kernel.pages.filters import uuid_or_none
from schemaevo.kernel.pages.finding_tables import FindingTable, finding_table_provider, text_of
from snapshots.models import EntitySnapshot
from snapshots.services.verify import SNAPSHOTS


def divergences_table(found: Sequence[JsonObject]) -> FindingTable:
    """Each entity with the way to its page, and the columns that differed; never what stood in them."""
    ids = {entity_id for one in found if (entity_id := uuid_or_none(text_of(one, "entity")))}
    keys: dict[UUID, str] = dict(EntitySnapshot.objects.filter(pk__in=ids).values_list("pk", "entity_key"))
    owner_ids = {user_id for one in found if isinstance(user_id := one.get("user_id"), int)}
    owners: dict[int, str] = dict(User.objects.filter(pk__in=owner_ids).values_list("pk", "username"))
    return FindingTable(
        (_("Entity"), _("Entity type"), _("Owner"), _("What differed")),
        [
            (
                _entity(text_of(one, "entity"), keys),
                text_of(one, "entity_type"),
                _owner(one.get("user_id"), owners),
                _wrong(one),
            )
            for one in found
        ],
    )


def _entity(identity: str, keys: dict[UUID, str]) -> SafeString:
    entity_id = uuid_or_none(identity)
    if entity_id is None or entity_id not in keys:
        return code(identity)
    return row_link("snapshots_entitysnapshot", entity_id, short(keys[entity_id]))


def _owner(user_id: object, owners: dict[int, str]) -> SafeString:
    return short(owners.get(user_id, f"#{user_id}") if isinstance(user_id, int) else "")


def _wrong(found: JsonObject) -> SafeString:
    if error := text_of(found, "error"):
        return code(error)
    columns = found.get("columns")
    listed = [str(column) for column in columns] if isinstance(columns, list) else []
    return names(listed, shown=len(listed))


finding_table_provider(SNAPSHOTS, divergences_table)
