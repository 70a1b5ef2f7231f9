"""What every change of schemas begins with, and ends with, and what whoever writes by them holds."""

from collections.abc import Collection

from registry.cache import schema_changing
from registry.domain.names import entity_type_problem
from registry.events import schema_in_force_changed
from schemaevo.kernel.erasing import require_not_erased
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
    be changed only in a later statement. Raises: LockTimeout; OwnerErased `owner_erased`.
    """
    if user_id is None:
        hold(LockSpace.SCHEMA_TYPE, [(entity_type,)])
    else:
        hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
        hold(LockSpace.SCHEMA_OWNER, [(entity_type, user_id)])
        require_not_erased(user_id)


def hold_for_writing(entity_type: str, user_ids: Collection[int]) -> None:
    """What is in force for these users, and which of their sources take part, stays so until the transaction ends.

    Whoever writes observations or reduces them holds it, shared with all others who do. Read what is in force only in
    a later statement. Raises: LockTimeout.
    """
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
    keys = [(kind, user_id) for user_id in user_ids for kind in (entity_type, _ANY_TYPE)]
    hold(LockSpace.SCHEMA_OWNER, keys, shared=True)


def hold_sources(user_id: int, *, shared: bool = False) -> None:
    """Nobody writes for this user, of whatever type, until the transaction ends; shared: none of the user's sources
    begins to take part, or ceases to. Raises: LockTimeout."""
    hold(LockSpace.SCHEMA_OWNER, [(_ANY_TYPE, user_id)], shared=shared)


#: No entity type is empty. A lock of its own: a type of which a user has nothing yet can be locked by no list of types.
_ANY_TYPE = ""


def announce_change(sender: type, entity_type: str, user_id: int | None) -> None:
    """What is in force for that type and owner was changed by this transaction: the cache and the floors above know.

    The epoch is raised by the database itself.
    """
    schema_changing(entity_type=entity_type, user_id=user_id)
    schema_in_force_changed.send(sender=sender, entity_type=entity_type, user_id=user_id)
