"""The only writer of the audit log."""

from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import AuditEvent


def audit_record(
    *,
    actor: Actor,
    action: str,
    target_type: str,
    target_id: str | int,
    before: Json = None,
    after: Json = None,
    reason: str = "",
) -> AuditEvent:
    """The audit log holds one more event, written in the caller's transaction.

    `action` is ``noun.verb`` such as ``schema_version.activate``. `before` and `after` hold states, never
    values of records.
    """
    return AuditEvent.objects.create(
        actor=actor.user,
        actor_name=actor.name,
        action=action,
        target_type=target_type,
        target_id=str(target_id),
        before=before,
        after=after,
        reason=reason,
    )
