"""What a job about schemas in force is for: an entity type, or one user's part in it.

A change asks for a job by inserting its row, and whoever asks for the same one meanwhile waits until that transaction
ends. So each owner has a target of their own: one user's change waits for no other user.
"""

from __future__ import annotations


def job_target(entity_type: str, user_id: int | None) -> str:
    """``invoice`` for the type as a whole, ``invoice:42`` for the user 42; no entity type holds a colon."""
    return entity_type if user_id is None else f"{entity_type}:{user_id}"


def of_target(target: str) -> tuple[str, int | None]:
    """The entity type and the user, None for all. Raises ValueError for what `job_target` does not make."""
    entity_type, colon, user_id = target.partition(":")
    return entity_type, int(user_id) if colon else None
