"""How much memory the embedded PostgreSQL keeps pages in."""

from __future__ import annotations

import os
from pathlib import Path

MIB = 1024 * 1024
#: What PostgreSQL's manual begins with ("Resource Consumption", shared_buffers); pages are read back from elsewhere
#: only where a store outgrows it.
SHARE = 4
LOWEST = 128 * MIB
HIGHEST = 8192 * MIB
#: A container's limit: of cgroups version 2, and of version 1.
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory() -> int:
    """The bytes of memory that this machine has, or this container may use."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *filter(None, map(_limit, LIMITS))])


def shared_buffers(available: int) -> int:
    """The bytes of memory that pages are kept in, of so many that are available. Pages take it up as they are read."""
    return max(LOWEST, min(HIGHEST, available // SHARE))


def _limit(path: Path) -> int | None:
    """None where there is no limit, or no such file."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
