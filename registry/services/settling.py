"""What users have of their own, settled with a global schema that came or moved.

Composition does it on every read, so nothing waits for this: it tidies up what composition would otherwise settle for
ever. Own schemas become extensions (adoption); fields that the global schema declares by now leave the extension
(absorption) and with it the owner's quota. Neither changes any effective schema, so the floors above hear nothing of
it: nothing is to be recomputed. Only the cache does, which remembers the revision as well.
"""

from dataclasses import dataclass

from django.db import transaction

from registry.cache import schema_changing
from registry.domain.composition import compose
from registry.domain.extension import Extension
from registry.models import ExtensionRevision, RevisionCause, SchemaVersion
from registry.selectors import extension_in_force, version_in_force
from registry.selectors_extensions import users_with_own
from registry.services.activation import versions_retire
from registry.services.extensions import revision_write
from registry.services.proposal_effects import absorbed_count
from registry.services.quotas import quota_may_pass
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import JsonObject
from schemaevo.kernel.locks import LockSpace, hold

#: Users settled in one transaction, which holds up their ingest and nobody else's.
CHUNK_USERS = 50


@dataclass(frozen=True, slots=True)
class Settled:
    """What a chunk did, and the user up to whom all is settled; None at the end."""

    adopted: int
    absorbed: int
    up_to_user: int | None


@transaction.atomic
def extensions_settle(
    *, entity_type: str, after_user: int, actor: Actor, only_user: int | None = None
) -> Settled:
    """The next users after `after_user`, or one of them alone, have adopted the global schema, and no extension of
    theirs declares what it declares. Where no global schema is in force nothing happens. Raises: Denied; LockTimeout.
    """
    actor.require("registry.extend_schema")
    if only_user is None:
        user_ids = users_with_own(entity_type=entity_type, after=after_user, limit=CHUNK_USERS)
    else:
        user_ids = [only_user] if only_user > after_user else []
    if not user_ids:
        return Settled(0, 0, None)
    hold(LockSpace.SCHEMA_TYPE, [(entity_type,)], shared=True)
    hold(LockSpace.SCHEMA_OWNER, [(entity_type, user_id) for user_id in user_ids])
    shared = version_in_force(entity_type=entity_type, user_id=None)
    if shared is None:
        return Settled(0, 0, None)
    adopted = absorbed = 0
    for user_id in user_ids:
        extension = extension_in_force(entity_type=entity_type, user_id=user_id)
        if extension is not None:
            absorbed += _absorb(shared, extension, actor)
        else:
            adopted += _adopt(shared, user_id, actor)
    return Settled(adopted, absorbed, user_ids[-1] if len(user_ids) == CHUNK_USERS else None)


def _adopt(shared: SchemaVersion, user_id: int, actor: Actor) -> int:
    """The user's own version in force is an extension, and the own schema retired. Gives how many that were."""
    own = version_in_force(entity_type=shared.entity_type, user_id=user_id)
    if own is None:
        return 0
    whole = Extension.of_own_schema(own.parsed, shared.number)
    names = compose(shared.parsed, whole).absorbed
    note = f"adopted from {own.number} for {shared.number}"
    with quota_may_pass(cause=RevisionCause.ADOPTION, actor=actor):
        versions_retire(
            versions=list(SchemaVersion.objects.filter(schema=own.schema_id, retired_at__isnull=True)),
            actor=actor,
            note=note,
        )
        revision_write(
            entity_type=shared.entity_type,
            user_id=user_id,
            extension=whole.without(names),
            before=None,
            actor=actor,
            cause=RevisionCause.ADOPTION,
            cause_version=own,
            absorbed=_declarations(whole, names),
            note=note,
        )
        absorbed_count(entity_type=shared.entity_type, names=names)
    schema_changing(entity_type=shared.entity_type, user_id=user_id)
    return 1


def _absorb(shared: SchemaVersion, revision: ExtensionRevision, actor: Actor) -> int:
    """The extension has no field that the global schema has as well. Gives how many it had."""
    extension = revision.parsed
    names = compose(shared.parsed, extension).absorbed
    if not names:
        return 0
    revision_write(
        entity_type=shared.entity_type,
        user_id=revision.user_id,
        extension=extension.without(names),
        before=revision,
        actor=actor,
        cause=RevisionCause.ABSORPTION,
        cause_version=shared,
        absorbed=_declarations(extension, names),
        note=f"absorbed by {shared.number}",
    )
    absorbed_count(entity_type=shared.entity_type, names=names)
    schema_changing(entity_type=shared.entity_type, user_id=revision.user_id)
    return len(names)


def _declarations(extension: Extension, names: tuple[str, ...]) -> JsonObject:
    return {name: extension.declaration(name).to_json() for name in names}
