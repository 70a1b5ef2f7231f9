"""Reactions to news of lower floors: each only asks for a job."""

from typing import Any

from django.dispatch import receiver

from registry.domain.targets import job_target
from registry.events import schema_in_force_changed
from schemaevo.kernel.jobs import job_request
from snapshots.services.observations import RECOMPUTE


@receiver(schema_in_force_changed)
def ask_for_recomputation(entity_type: str, user_id: int | None, **kwargs: Any) -> None:
    """What was reduced by the rules that were in force waits from now on."""
    job_request(kind=RECOMPUTE, target=job_target(entity_type, user_id))
