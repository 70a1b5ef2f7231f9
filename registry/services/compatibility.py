"""How far the versions of an entity type have to agree."""

from django.db import transaction

from registry.domain.compatibility import Mode
from registry.models import SchemaCompatibility
from registry.selectors import compatibility_mode
from registry.services.locking import require_entity_type
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.audit import audit_record
from schemaevo.kernel.canonical import require_storable
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.locks import LockSpace, hold


@transaction.atomic
def compatibility_set(*, entity_type: str, mode: str, actor: Actor, reason: str = "") -> Mode:
    """Every later version of the type, global or a user's own, has to agree with those before as `mode` says.

    Gives the mode that was. Raises: Denied; Invalid `invalid_entity_type`, `unknown_mode`; Unstorable for a reason;
    LockTimeout.
    """
    actor.require("registry.set_compatibility")
    require_storable(reason)
    require_entity_type(entity_type)
    if mode not in set(Mode):
        raise Invalid(
            "unknown_mode", f"{mode[:40]!r} is no compatibility mode; there are {', '.join(Mode)}.", mode=mode
        )
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)])
    before = compatibility_mode(entity_type=entity_type)
    if before == mode:
        return before
    SchemaCompatibility.objects.update_or_create(entity_type=entity_type, defaults={"mode": mode})
    audit_record(
        actor=actor,
        action="compatibility.set",
        target_type="entity_type",
        target_id=entity_type,
        before={"mode": before.value},
        after={"mode": mode},
        reason=reason,
    )
    return before
