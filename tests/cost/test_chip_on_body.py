"""A chip on a body: closed form against numerical integration, limits, and what commands say."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

import perfmodel as pm
from perfmodel.cost.thermal import (
    ChipOnBody,
    ThermalNode,
    burst_s,
    temperature,
    thermal_outcome,
)

BODY = ThermalNode(3.78, 150.0, 25.0, 47.9)
PHONE = ChipOnBody(BODY, 3.1, 5.0, 90.0)


def integrated(part: ChipOnBody, power: float, seconds: float) -> tuple[float, float, float]:
    """Return temperatures of chip and body, and when the first limit is reached, by Runge-Kutta."""

    def slopes(_: float, celsius: list[float]) -> list[float]:
        chip, body = celsius
        through = (chip - body) / part.resistance
        lost = (body - part.body.ambient) / part.body.resistance
        return [(power - through) / part.capacity, (through - lost) / part.body.capacity]

    def chip_left(_: float, celsius: list[float]) -> float:
        return celsius[0] - float(part.limit)

    def body_left(_: float, celsius: list[float]) -> float:
        return celsius[1] - float(part.body.limit)

    span, start = (0.0, seconds), [part.body.ambient] * 2
    solve = cast("Any", integrate).solve_ivp
    answer = solve(
        slopes, span, start, "LSODA", events=[chip_left, body_left], rtol=1e-9, atol=1e-9
    )
    first = min((float(times[0]) for times in answer.t_events if len(times)), default=math.inf)
    return float(answer.y[0][-1]), float(answer.y[1][-1]), first


@given(
    resistance=st.floats(0.5, 20.0),
    capacity=st.floats(5.0, 500.0),
    chip_resistance=st.floats(0.1, 10.0),
    chip_capacity=st.floats(0.5, 50.0),
    power=st.floats(0.5, 40.0),
)
def test_as_integrated(
    resistance: float, capacity: float, chip_resistance: float, chip_capacity: float, power: float
) -> None:
    body = ThermalNode(resistance, capacity, 25.0, 47.9)
    part = ChipOnBody(body, chip_resistance, chip_capacity, 90.0)
    seconds = 0.7 * resistance * capacity
    chip, skin, first = integrated(part, power, seconds)
    assert part.temperatures(power, seconds) == pytest.approx((chip, skin), abs=1e-3)
    closed = float(part.burst_s(power))
    if first < seconds:
        assert closed == pytest.approx(first, rel=1e-4, abs=1e-3)
    else:
        assert closed > 0.999 * seconds
        assert math.isinf(closed) == (power <= float(part.sustained_power_w))


def test_without_resistance_it_is_one_body() -> None:
    """A chip that is part of the body adds its capacity to it."""
    part = ChipOnBody(BODY, 1e-4, 5.0, 90.0)
    alike = BODY._replace(capacity=155.0)
    assert float(part.burst_s(9.0)) == pytest.approx(float(burst_s(alike, 9.0)), rel=1e-3)
    seconds = np.array([10.0, 100.0, 1000.0])
    chip, body = part.temperatures(9.0, seconds)
    assert chip == pytest.approx(temperature(alike, 9.0, seconds), abs=0.01)
    assert body == pytest.approx(chip, abs=0.01)


def test_more_power_never_lasts_longer() -> None:
    powers = np.linspace(1.0, 60.0, 300)
    lasts = np.asarray(PHONE.burst_s(powers))
    assert np.all(lasts[1:] <= lasts[:-1])
    assert np.isinf(lasts[0])
    assert lasts[-1] < 10.0
    # Below 6 W neither ever binds; the body binds first, then the chip.
    chip, body = PHONE.temperatures(powers, np.where(np.isinf(lasts), 1e9, lasts))
    assert np.all(chip < 90.0 + 1e-6)
    assert np.all(body < 47.9 + 1e-6)
    bound = np.isfinite(lasts)
    assert np.maximum(chip - 90.0, body - 47.9)[bound] == pytest.approx(0.0, abs=1e-6)


def test_an_outcome_has_both_limits() -> None:
    facts = {
        "power.thermal_resistance": 3.78,
        "power.heat_capacity": 150.0,
        "power.limit": 47.9,
        "power.chip_resistance": 3.1,
        "power.chip_heat_capacity": 5.0,
        "power.chip_limit": 90.0,
    }
    hot = thermal_outcome(facts, 1.0, 18.0)
    assert float(hot.burst_s) == pytest.approx(float(PHONE.burst_s(18.0)))
    cold = thermal_outcome(facts | {"power.chip_limit": 999.0}, 1.0, 18.0)
    assert float(hot.burst_s) < float(cold.burst_s)
    assert float(hot.sustained_power_w) == pytest.approx(22.9 / 3.78)
    # A chip far from its body is what decides how much lasts.
    far = thermal_outcome(facts | {"power.chip_resistance": 30.0}, 1.0, 18.0)
    assert float(far.sustained_power_w) == pytest.approx(65.0 / 33.78)


def test_what_commands_say_of_a_phone() -> None:
    prompt = pm.workload("llama_3_8b", phase="prefill", prompt=512)
    phone = pm.hardware("galaxy_s24")
    p = pm.predict(prompt, phone, precision="w4a16", runtime="ideal")
    assert "its chip first" not in p.burst_reason
    far = pm.predict(
        prompt, phone.vary({"power.chip_resistance": "6.5 K/W"}), precision="w4a16", runtime="ideal"
    )
    assert far.burst_s < p.burst_s
    assert "its chip first, at 90 degC" in far.burst_reason
    curves: dict[str, Any] = {trace.name: trace for trace in far.plot.temperature().data}
    hot = curves["chip at full speed"]
    assert float(np.interp(far.burst_s, hot.x, hot.y)) == pytest.approx(90.0, abs=0.3)
