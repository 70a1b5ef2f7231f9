"""The effective schema of one user: what the global schema and the user's own say together."""

from __future__ import annotations

from dataclasses import dataclass

from registry.domain.definition import UNDECLARED_REDUCTION_HASH, Definition


@dataclass(frozen=True, slots=True)
class EffectiveSchema:
    """What applies to the records of one user and entity type.

    `definition` is None for an undeclared type. `version_id` names the version that records are stamped
    with: the global one where there is one, else the user's own. `extension_revision_id` names the revision of the
    user's extension that takes part in it, if one does. `user_id` is None for the global schema itself.
    """

    entity_type: str
    user_id: int | None
    definition: Definition | None
    version_id: int | None
    number: str
    extension_revision_id: int | None = None

    @property
    def reduction_hash(self) -> str:
        """The hash of just what reduction depends on; snapshots carry it."""
        return UNDECLARED_REDUCTION_HASH if self.definition is None else self.definition.reduction_hash
