"""Background work of this floor."""

from registry.domain.targets import of_target
from registry.services.activation import SETTLE
from registry.services.settling import extensions_settle
from schemaevo.kernel.actors import Actor
from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.jobs import Lease, job_kind
from schemaevo.kernel.models import JobQueue


def settle_run(lease: Lease) -> JsonObject:
    """Every user of the target has adopted the global schema, and absorbed fields are gone.

    The cursor is the user up to whom all is settled, and what came of it so far: a job that rests, or whose worker
    dies, reports the whole pass nevertheless. An activation during the pass asks for another one.
    """
    actor = Actor.system(SETTLE)
    user: int | None
    user, adopted, absorbed = _reached(lease.cursor)
    entity_type, only_user = of_target(lease.target)
    while user is not None:
        with lease.batch() as batch:
            settled = extensions_settle(
                entity_type=entity_type, after_user=user, only_user=only_user, actor=actor
            )
            batch.done(settled.adopted + settled.absorbed)
            adopted += settled.adopted
            absorbed += settled.absorbed
            user = settled.up_to_user
            batch.cursor = None if user is None else [user, adopted, absorbed]
    return {"adopted": adopted, "absorbed": absorbed}


def _reached(cursor: Json) -> tuple[int, int, int]:
    """The user, and how much was adopted and absorbed up to there; from the beginning where a pass has no cursor."""
    match cursor:
        case [int(user), int(adopted), int(absorbed)]:
            return user, adopted, absorbed
        case _:
            return 0, 0, 0


def register() -> None:
    """The kinds of this floor are known to the ledger."""
    job_kind(SETTLE, queue=JobQueue.RECOMPUTE, run=settle_run)
