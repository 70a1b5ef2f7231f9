"""Reactions to news of lower floors: each only asks for a job."""

from typing import Any

from django.dispatch import receiver

from fragments.services.backfill_runs import PROMOTE
from registry.domain.targets import job_target
from registry.events import schema_in_force_changed
from schemaevo.kernel.jobs import job_request


@receiver(schema_in_force_changed)
def ask_for_promotion(entity_type: str, user_id: int | None, **kwargs: Any) -> None:
    """What waited in fragments may fit what is declared from now on: a field, a converter, a wider constraint."""
    job_request(kind=PROMOTE, target=job_target(entity_type, user_id))
