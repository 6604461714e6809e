"""The pause of Python's garbage collector."""

import gc

import pytest

from datasetdm.utils.collector import collector_paused


def test_the_collector_works_again_afterwards_even_after_an_error() -> None:
    @collector_paused()
    def fail() -> None:
        assert not gc.isenabled()
        raise ValueError("broken file")

    assert gc.isenabled()
    with pytest.raises(ValueError, match="broken"):
        fail()
    assert gc.isenabled()


def test_who_has_switched_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
