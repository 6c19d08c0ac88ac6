"""Typed views of facts: the numbers of a machine by the fields of its spec classes."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Quantity
from perfmodel.kinds.systolic import SystolicArray


def test_a_view_has_the_numbers_as_they_are_now() -> None:
    machine = pm.hardware("gemmini_16x16").machine()
    array = machine.engine_as(SystolicArray, "systolic")
    assert array.height == machine["engines.main.height"]
    assert array.dataflow == machine.device.engine("main").model_dump()["dataflow"]
    assert machine.memory("main").capacity == machine["memories.main.capacity"]
    clocks = np.array([1e8, 2e8])
    varied = machine.vary({"engines.main.clock": clocks})
    assert varied.engine_as(Engine).clock is varied["engines.main.clock"]
    peak = next(iter(array.peaks))
    assert np.shape(varied.engine_as(Engine).peaks[peak]) == clocks.shape


def test_what_nobody_states_is_none_and_no_field_is_a_fault() -> None:
    engine = pm.hardware("gemmini_16x16").machine().engine_as(Engine)
    assert engine.unpack_speedup is None
    with pytest.raises(AttributeError, match="Engine has no field 'unpack_speed'"):
        _ = getattr(engine, "unpack_speed")  # noqa: B009


def test_an_engine_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="is no systolic array"):
        pm.hardware("rtx_3080").machine().engine_as(SystolicArray, "systolic")


def test_a_quantity_counts_as_its_number() -> None:
    two = Quantity(value=2.0, source="a")
    assert two * np.array([1.0, 3.0]) == pytest.approx([2.0, 6.0])
    assert 1.0 / two == 0.5
    assert two != Quantity(value=2.0)
