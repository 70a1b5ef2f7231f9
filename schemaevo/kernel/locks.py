"""Transaction locks: the only place with advisory-lock SQL.

One order for everything, so that two transactions never wait for each other: the spaces ascending as
numbered here, and within a space by key. Take what a transaction needs in as few calls as possible, before
any row lock, outside nested atomic blocks (the rollback of a savepoint releases what was taken inside), and
never ask for an exclusive lock where the shared one is already held.
"""

import enum
import hashlib
from collections.abc import Iterable

from django.conf import settings
from django.db import connection
from django.db.utils import OperationalError
from psycopg import errors as pg
from psycopg import sql

from schemaevo.kernel.errors import LockTimeout


class LockSpace(enum.IntEnum):
    """What is locked. The number is the place in the lock order and part of the lock's key."""

    MIGRATION = 10
    #: An entity type as a whole: its global schema. Key: (entity_type,).
    SCHEMA_TYPE = 20
    #: One user's part in an entity type. Key: (entity_type, user_id); with '' for the type, which of the user's sources
    #: take part.
    SCHEMA_OWNER = 30
    #: All writes to fragments of one user and type. Key: (user_id, entity_type).
    FRAGMENTS = 40
    #: The switch that pauses everything; taken alone. Key: ("all",).
    PAUSE = 50
    #: The beginning of ingest runs over one content: who is first gives the others its time. Taken alone, in a
    #: transaction that only inserts the run's row. Key: (content_hash, entity_type).
    INGEST_RUN = 60
    #: How many views a login has saved; taken alone. Key: (login_id,).
    SAVED_VIEWS = 70


Key = tuple[str | int, ...]


def key_number(key: Key) -> int:
    """The 32-bit number that stands for `key`. Two keys with one number only wait for each other needlessly."""
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big", signed=True)


def hold(
    space: LockSpace, keys: Iterable[Key], *, shared: bool = False, timeout_s: float | None = None
) -> None:
    """Holds the locks of all `keys` until the transaction ends.

    They are taken in one statement, in the order of their numbers. Read what they protect only in a *later*
    statement: within the same one the snapshot of the data is older than the lock.

    Raises: LockTimeout `lock_timeout` when others hold one of them for longer than `timeout_s` (default
    SCHEMAEVO_LOCK_TIMEOUT_S); the transaction is then lost. RuntimeError outside a transaction, where a
    lock would be gone at once.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("hold() needs a transaction; outside one the lock would be released at once.")
    numbers = sorted({key_number(key) for key in keys})
    if not numbers:
        return
    timeout = settings.SCHEMAEVO_LOCK_TIMEOUT_S if timeout_s is None else timeout_s
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        try:
            # Both in one message: a batch takes locks three times, and each round trip holds it up.
            cursor.execute(
                sql.SQL(
                    "SET LOCAL lock_timeout = {}; "
                    "SELECT {}({}, n) FROM unnest({}::int[]) WITH ORDINALITY AS t(n, i) ORDER BY i"
                ).format(int(timeout * 1000), sql.Identifier(function), int(space), numbers)
            )
        except OperationalError as error:
            if isinstance(error.__cause__, pg.LockNotAvailable):
                raise LockTimeout(
                    "lock_timeout",
                    f"Others held the {space.name} lock for more than {timeout} s; try again.",
                    space=space.name,
                ) from error
            raise
