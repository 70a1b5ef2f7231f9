"""Global schema changes that nobody reviewed: they stand on the first page for some weeks."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from schemaevo.kernel.models import AuditEvent

UNREVIEWED_DAYS: Final = 30
#: The audit log has all.
SHOWN: Final = 20


def changes_without_review() -> list[AuditEvent]:
    """Global schema changes of the last UNREVIEWED_DAYS that nobody reviewed, the newest SHOWN, without contents."""
    since = timezone.now() - timedelta(days=UNREVIEWED_DAYS)
    events = AuditEvent.objects.filter(target_type="schema_version", at__gte=since)
    bypassed = events.filter(after__without_review=True, after__owner=None)
    # A schema that is retired as a whole leaves a row for each version; of those not in force nothing was changed.
    bypassed = bypassed.exclude(action="schema_version.retire", before__in_force=False)
    return list(bypassed.defer("before", "after").order_by("-id")[:SHOWN])
