"""The garbage collector is paused while objects are made, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from perfmodel.bulk_allocation import collector_paused


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_before_afterwards(enabled: bool) -> None:
    @collector_paused()
    def fails() -> None:
        assert not gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise KeyError

    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        for _ in range(2):
            with pytest.raises(KeyError):
                fails()
            assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
