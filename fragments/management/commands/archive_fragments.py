"""archive_fragments [--dry-run]"""

from fragments.management.lifecycle_command import LifecycleCommand
from fragments.models import ARCHIVED_BELOW
from fragments.services.lifecycle import ARCHIVAL, ARCHIVE


class Command(LifecycleCommand):
    help = (
        f"Archives fragments that were seen fewer than {ARCHIVED_BELOW} times, and not for "
        "SCHEMAEVO_ARCHIVE_AFTER_DAYS days. They are kept, count as evidence, and are active again once they are seen "
        "again. A job does the same every SCHEMAEVO_LIFECYCLE_INTERVAL_S seconds, unless SCHEMAEVO_ARCHIVE_ENABLED is "
        "off."
    )
    name = "archive"
    moves = ARCHIVAL
    words = {ARCHIVE.name: "archived, seen rarely and not for long"}
