"""The pause of Python's search for cyclic garbage."""

import gc

import pytest

from schemaevo.kernel.bulk import collector_paused


def test_the_collector_rests_until_the_last_of_several_pauses_ends_and_then_runs_again() -> None:
    """As two threads do it: the one that paused first ends while the other still works."""
    assert gc.isenabled()
    first, second = collector_paused(), collector_paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_error_ends_the_pause_too() -> None:
    with pytest.raises(ZeroDivisionError), collector_paused():
        _ = 1 / 0
    assert gc.isenabled()
