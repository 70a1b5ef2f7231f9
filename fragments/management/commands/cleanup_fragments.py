"""cleanup_fragments [--dry-run]"""

from fragments.management.lifecycle_command import LifecycleCommand
from fragments.services.lifecycle import CLEANUP, DELETE, EXPIRE, EXPIRE_ARCHIVED


class Command(LifecycleCommand):
    help = (
        "Deletes fragments that waited long enough for it, and lets promoted ones that have expired begin to wait; so "
        "do archived ones, if SCHEMAEVO_ARCHIVE_RETENTION_DAYS is set. What waits can be restored. A job does the same "
        "every SCHEMAEVO_LIFECYCLE_INTERVAL_S seconds, unless SCHEMAEVO_CLEANUP_ENABLED is off."
    )
    name = "cleanup"
    moves = CLEANUP
    words = {
        DELETE.name: "deleted, having waited for it",
        EXPIRE.name: "pending deletion, promoted and expired",
        EXPIRE_ARCHIVED.name: "pending deletion, archived for too long",
    }
