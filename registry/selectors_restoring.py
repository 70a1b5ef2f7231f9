"""What applied proposals took from owners, and the undo of them gives back."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet

from registry.domain.extension import Extension, parse_extension
from registry.models import ExtensionRevision, Proposal, RevisionCause, SchemaVersion
from schemaevo.kernel.canonical import JsonObject


def revisions_that_took(proposal: Proposal) -> QuerySet[ExtensionRevision]:
    """The revisions by which owners gave something up since the proposal was applied."""
    return ExtensionRevision.objects.filter(
        entity_type=proposal.entity_type,
        cause__in=[RevisionCause.ABSORPTION, RevisionCause.ADOPTION],
        created_at__gte=proposal.applied_at,
    )


def absorbed_in(revisions: Sequence[ExtensionRevision]) -> Extension:
    """What one owner gave up by these revisions, in their order, as an extension would declare it."""
    absorbed: JsonObject = {}
    for revision in revisions:
        absorbed.update(revision.absorbed)
    return parse_extension({"additional_fields": absorbed})


def own_version_adopted(
    present: ExtensionRevision | None, revisions: Sequence[ExtensionRevision]
) -> SchemaVersion | None:
    """The own version that one of these revisions adopted, unless the owner has it back already."""
    adopted = next((one for one in revisions if one.cause == RevisionCause.ADOPTION), None)
    if present is None or present.cause == RevisionCause.RESTORATION or adopted is None:
        return None
    return adopted.cause_version
