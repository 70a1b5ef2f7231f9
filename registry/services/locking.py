"""What every change of schemas begins with, and ends with."""

from registry.cache import schema_changing
from registry.domain.names import entity_type_problem
from registry.events import schema_in_force_changed
from schemaevo.kernel.errors import Invalid
from schemaevo.kernel.locks import LockSpace, hold


def require_entity_type(entity_type: str) -> None:
    """Raises: Invalid `invalid_entity_type`."""
    problem = entity_type_problem(entity_type)
    if problem:
        raise Invalid("invalid_entity_type", problem, entity_type=entity_type)


def hold_for_change(entity_type: str, user_id: int | None) -> None:
    """Nobody else changes, or writes by, what this type and owner have, until the transaction ends.

    A change shuts out others from its own type and owner only, so that one user's never holds up another user. What
    a user has is checked against the global schema and the mode of the type, so those stand still meanwhile: else a
    global version could come into force unseen, and its job would not see what the user has either. Read what is to
    be changed only in a later statement. Raises: LockTimeout.
    """
    if user_id is None:
        hold(LockSpace.SCHEMA_TYPE, [(entity_type,)])
    else:
        hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
        hold(LockSpace.SCHEMA_OWNER, [(entity_type, user_id)])


def announce_change(sender: type, entity_type: str, user_id: int | None) -> None:
    """What is in force for that type and owner was changed by this transaction: the cache and the floors above know.

    The epoch is raised by the database itself.
    """
    schema_changing(entity_type=entity_type, user_id=user_id)
    schema_in_force_changed.send(sender=sender, entity_type=entity_type, user_id=user_id)
