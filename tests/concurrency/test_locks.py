"""Transaction locks between two real connections: who waits for whom, for how long, and in which order."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import pytest
from django.db import connection, transaction

from schemaevo.kernel.errors import LockTimeout
from schemaevo.kernel.locks import LockSpace, hold, key_number
from tests.threads import PATIENCE_S, Aside, side_by_side, waiting_for_locks
from tests.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

SPACE = LockSpace.SCHEMA_TYPE
PACKAGE, INVOICE = ("package",), ("invoice",)


class Holder:
    """Another connection that holds locks until it is told to let go."""

    def __init__(self, *keys: tuple[str, ...], shared: bool = False, space: LockSpace = SPACE) -> None:
        self._has_locks, self._may_end = threading.Event(), threading.Event()

        def work() -> None:
            with transaction.atomic():
                hold(space, keys, shared=shared)
                self._has_locks.set()
                assert self._may_end.wait(PATIENCE_S)

        self._aside: AbstractContextManager[object] = Aside(work)

    def __enter__(self) -> "Holder":
        self._aside.__enter__()
        assert self._has_locks.wait(PATIENCE_S)
        return self

    def let_go(self) -> None:
        self._may_end.set()

    def __exit__(self, *exc_info: object) -> None:
        self.let_go()
        self._aside.__exit__(None, None, None)


def can_take(*keys: tuple[str | int, ...], shared: bool = False, space: LockSpace = SPACE) -> bool:
    """Whether the locks are to be had without waiting longer than an instant."""
    try:
        with transaction.atomic():
            hold(space, keys, shared=shared, timeout_s=0.05)
    except LockTimeout:
        return False
    return True


def locks_held() -> list[tuple[int, int]]:
    """(space, number) of every advisory lock that this connection holds."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT classid::bigint, objid::bigint FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() ORDER BY 1, 2"
        )
        return [(int(space), int(number)) for space, number in cursor.fetchall()]


def test_an_exclusive_lock_keeps_everybody_out():
    with Holder(PACKAGE):
        assert not can_take(PACKAGE)
        assert not can_take(PACKAGE, shared=True)


def test_a_shared_lock_keeps_only_exclusive_ones_out():
    with Holder(PACKAGE, shared=True):
        assert can_take(PACKAGE, shared=True)
        assert not can_take(PACKAGE)


def test_other_keys_and_other_spaces_do_not_wait():
    with Holder(PACKAGE):
        assert can_take(INVOICE)
        assert can_take(PACKAGE, space=LockSpace.FRAGMENTS)
        assert not can_take(INVOICE, PACKAGE)


def test_waiting_ends_when_the_other_transaction_does():
    with Holder(PACKAGE) as other, Aside(lambda: can_take_patiently(PACKAGE)) as waiting:
        wait_for(waiting_for_locks, "the second transaction to wait")
        other.let_go()
        assert waiting.result(PATIENCE_S) is True


def can_take_patiently(key: tuple[str, ...]) -> bool:
    with transaction.atomic():
        hold(SPACE, [key], timeout_s=PATIENCE_S)
    return True


def test_a_timeout_names_the_space_and_loses_the_transaction():
    with Holder(PACKAGE), pytest.raises(LockTimeout) as refusal, transaction.atomic():
        hold(SPACE, [PACKAGE], timeout_s=0.05)

    assert (refusal.value.code, refusal.value.context) == ("lock_timeout", {"space": "SCHEMA_TYPE"})
    with transaction.atomic():
        hold(SPACE, [PACKAGE])


def test_the_timeout_of_one_transaction_is_not_that_of_the_next():
    with transaction.atomic():
        hold(SPACE, [PACKAGE], timeout_s=0.05)

    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_locks_end_with_the_transaction():
    with transaction.atomic():
        hold(SPACE, [PACKAGE, INVOICE])
        assert len(locks_held()) == 2

    assert locks_held() == []


def test_a_lock_outside_a_transaction_is_refused():
    with pytest.raises(RuntimeError, match="transaction"):
        hold(SPACE, [PACKAGE])


def test_no_keys_take_no_lock_and_a_repeated_key_takes_one():
    with transaction.atomic():
        hold(SPACE, [])
        assert locks_held() == []
        hold(SPACE, [PACKAGE, PACKAGE])
        assert len(locks_held()) == 1


def test_a_key_is_more_than_its_text_run_together():
    assert len({key_number(key) for key in [("a", "b"), ("ab",), ("a", 1), ("a", 11), ("a1", 1)]}) == 5
    assert -(2**31) <= key_number(("Straße", 2**63)) < 2**31


@pytest.mark.parametrize("shared", [False, True])
def test_keys_in_any_order_never_deadlock(shared):
    keys = [(f"type_{number}",) for number in range(20)]

    def take(order: list[tuple[str]]) -> Callable[[], int]:
        def work() -> int:
            for turn in range(15):
                with transaction.atomic():
                    hold(SPACE, order, shared=shared and turn % 2 == 0)
            return 15

        return work

    orders = [keys, keys[::-1], keys[10:] + keys[:10], keys[::2] + keys[1::2]]

    assert side_by_side([take(order) for order in orders]) == [15] * 4


def test_locks_are_taken_in_the_order_of_their_numbers():
    """The first key is blocked, so a transaction that wants all of them holds none."""
    keys = sorted([("a",), ("b",), ("c",)], key=key_number)
    with Holder(keys[0]) as other, Aside(lambda: hold_all(keys[::-1])) as waiting:
        wait_for(waiting_for_locks, "the second transaction to wait")
        assert can_take(*keys[1:])
        other.let_go()
        waiting.result(PATIENCE_S)


def hold_all(keys: Sequence[tuple[str, ...]]) -> None:
    with transaction.atomic():
        hold(SPACE, keys)


def test_what_was_committed_under_a_lock_is_seen_by_the_next_statement_of_who_waited():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE lock_probe (n integer)")
    try:
        entered = threading.Event()

        def writer() -> None:
            with transaction.atomic(), connection.cursor() as cursor:
                hold(SPACE, [PACKAGE])
                entered.set()
                wait_for(waiting_for_locks, "the reader to wait")
                cursor.execute("INSERT INTO lock_probe VALUES (1)")

        with Aside(writer) as written:
            assert entered.wait(PATIENCE_S)
            with transaction.atomic(), connection.cursor() as cursor:
                hold(SPACE, [PACKAGE], shared=True)
                cursor.execute("SELECT count(*) FROM lock_probe")
                assert cursor.fetchone() == (1,)
            written.result(PATIENCE_S)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE lock_probe")
