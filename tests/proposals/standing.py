"""What there is of a type, as the undo of a proposal has to bring it back."""

from __future__ import annotations

from typing import Any

from fragments.models import RawFragment, RawFragmentAggregate
from registry.models import ExtensionRevision, SchemaVersion, UserQuota
from registry.selectors import effective_schema
from schemaevo.kernel.jobs import run_job
from schemaevo.kernel.models import LIVE_JOB_STATES, Job, JobState, User
from snapshots.models import EntitySnapshot
from tests.factories import THING

SHOWN = (
    "user_id",
    "entity_key",
    "values",
    "provenance",
    "merge_state",
    "deleted",
    "observation_count",
    "last_observation_at",
    "reduction_hash",
)


def work() -> None:
    """All jobs that are owed, in the order in which a worker may take them."""
    while jobs := list(Job.objects.filter(state__in=LIVE_JOB_STATES).order_by("requested_at", "pk")):
        for job in jobs:
            run_job(str(job.pk))
            job.refresh_from_db()
            assert job.state in (JobState.DONE, JobState.PENDING), job.error


def standing(entity_type: str = THING) -> dict[str, Any]:
    """Effective schemas, what users have of their own, quota counters, snapshots, fragments and aggregates."""
    users = list(User.objects.filter(is_staff=False).order_by("pk"))
    return {
        "in force": list(
            SchemaVersion.objects.filter(entity_type=entity_type, is_active=True)
            .order_by("user_id")
            .values_list("user_id", "definition_hash")
        ),
        "effective": {user.pk: _definition(entity_type, user.pk) for user in users},
        "extensions": {
            one.user_id: (one.additional_fields, one.field_overrides)
            for one in ExtensionRevision.objects.filter(entity_type=entity_type, is_active=True)
            if not one.parsed.is_empty
        },
        "quotas": list(
            UserQuota.objects.order_by("user_id").values_list("user_id", "schema_count", "total_fields")
        ),
        "snapshots": list(
            EntitySnapshot.objects.filter(entity_type=entity_type)
            .order_by("user_id", "entity_key")
            .values(*SHOWN)
        ),
        # What is taken back is active, even if it was archived before.
        "fragments": sorted(
            (
                user_id,
                str(entity_id),
                key,
                bytes(value_hash).hex(),
                "waits" if state in ("active", "archived") else state,
                reason,
            )
            for user_id, entity_id, key, value_hash, state, reason in RawFragment.objects.filter(
                entity_type=entity_type
            ).values_list("user_id", "entity_id", "fragment_key", "value_hash", "lifecycle_state", "reason")
        ),
        "aggregates": list(
            RawFragmentAggregate.objects.filter(entity_type=entity_type, sample_count__gt=0)
            .order_by("user_id", "fragment_key")
            .values_list("user_id", "fragment_key", "sample_count", "type_counts", "unique_sources")
        ),
    }


def _definition(entity_type: str, user_id: int) -> Any:
    definition = effective_schema(entity_type=entity_type, user_id=user_id).definition
    return None if definition is None else definition.to_json()
