"""Heat and battery: the closed forms against integrated heat equations, limits, and monotony."""

from __future__ import annotations

import json
import pickle
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cli import main
from perfmodel.cost.thermal import (
    ThermalNode,
    burst_s,
    natural_convection_resistance,
    runs_until_limit,
    sustained_power,
    temperature,
    thermal_outcome,
    throttled_speed,
)
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find

PHONE = ThermalNode(3.7, 170.0, 25.0, 45.0)
positive = st.floats(0.1, 50.0)


def integrated(power: list[tuple[float, float]], node: ThermalNode, start: float) -> list[float]:
    """Temperatures at the ends of phases of (watts, seconds), by Runge and Kutta."""
    from scipy import integrate

    solve = cast("Any", integrate).solve_ivp
    found: list[float] = []
    for watts, seconds in power:

        def slope(_: float, t: Any, watts: float = watts) -> Any:
            return (watts - (t - node.ambient) / node.resistance) / node.capacity

        answer = solve(slope, (0.0, seconds), [start], rtol=1e-10, atol=1e-10)
        start = float(answer.y[0, -1])
        found.append(start)
    return found


@pytest.mark.parametrize(("power", "start"), [(4.0, 25.0), (12.0, 30.0), (0.0, 44.0)])
def test_the_temperature_solves_the_heat_equation(power: float, start: float) -> None:
    for seconds in (1.0, 60.0, 900.0):
        (expected,) = integrated([(power, seconds)], PHONE, start)
        assert temperature(PHONE, power, seconds, start) == pytest.approx(expected, rel=1e-8)


@given(power=positive, resistance=positive, capacity=st.floats(1.0, 1e4), head=positive)
def test_a_burst_ends_at_the_limit(
    power: float, resistance: float, capacity: float, head: float
) -> None:
    node = ThermalNode(resistance, capacity, 20.0, 20.0 + head)
    seconds = float(burst_s(node, power))
    if power * resistance <= (20.0 + head) - 20.0:
        assert seconds == np.inf
        assert temperature(node, power, 1e12) <= 20.0 + head + 1e-9
    else:
        assert temperature(node, power, seconds) == pytest.approx(20.0 + head, rel=1e-6)
        assert burst_s(node, power, 20.0 + head) == 0.0


def test_what_is_sustained_stays_at_the_limit() -> None:
    power = sustained_power(PHONE)
    assert temperature(PHONE, power, 1e9) == pytest.approx(45.0)
    assert temperature(PHONE, power, 1e3, 45.0) == pytest.approx(45.0)
    assert sustained_power(PHONE, 2.0) == 2.0
    # Without loss to the surroundings a burst takes C (limit - ambient) / P.
    closed = ThermalNode(1e9, 170.0, 25.0, 45.0)
    assert burst_s(closed, 10.0) == pytest.approx(340.0, rel=1e-6)


@pytest.mark.parametrize(("run", "pause", "rest"), [(5.0, 0.0, 0.0), (20.0, 15.0, 0.5)])
def test_runs_until_the_limit_are_counted(run: float, pause: float, rest: float) -> None:
    count = int(runs_until_limit(PHONE, 12.0, run, pause, rest))
    start = PHONE.ambient + rest * PHONE.resistance
    phases = [(12.0, run), (rest, pause)] * count
    if not pause:
        phases = phases[::2]
    ends = integrated(phases, PHONE, start)
    peaks = ends if not pause else ends[::2]
    assert count > 3
    assert peaks[-1] >= PHONE.limit > peaks[-2]
    assert runs_until_limit(PHONE, 5.0, run, pause) == np.inf
    assert runs_until_limit(PHONE, 1e4, 60.0) == 1.0


def test_a_throttled_device_draws_what_it_sustains() -> None:
    for exponent in (1.0, 2.0, 3.0):
        speed = throttled_speed(18.0, 8.5, 1.0, exponent)
        assert 1.0 + 17.0 * speed**exponent == pytest.approx(8.5)
    # The steeper power falls with speed, the more speed is left.
    speeds = throttled_speed(18.0, 8.5, 1.0, np.array([1.0, 2.0, 3.0]))
    assert np.all(np.diff(speeds) > 0)
    assert throttled_speed(8.0, 8.5) == 1.0
    assert throttled_speed(18.0, 0.5, 1.0) == 0.0
    assert throttled_speed(2.0, 0.5, 2.0) == 0.0


def test_still_air_cools_a_plate_as_the_laminar_law_says() -> None:
    # Churchill and Chu's other form, for laminar flow alone, agrees to some 10 % where both hold.
    area, height, warm, cool = 0.02, 0.15, 45.0, 25.0
    film, k, nu, prandtl = 308.15, 0.0269, 16.7e-6, 0.706
    rayleigh = 9.80665 / film * (warm - cool) * height**3 * prandtl / nu**2
    laminar = 0.68 + 0.670 * rayleigh**0.25 / (1 + (0.492 / prandtl) ** (9 / 16)) ** (4 / 9)
    expected = laminar * k / height
    still = 1 / natural_convection_resistance(area, height, warm, cool, 0.0) / area
    assert still == pytest.approx(expected, rel=0.12)
    # Radiation by Stefan and Boltzmann's law itself.
    both = 1 / natural_convection_resistance(area, height, warm, cool, 0.9) / area
    watts = 0.9 * 5.670374419e-8 * ((warm + 273.15) ** 4 - (cool + 273.15) ** 4)
    assert (both - still) * (warm - cool) == pytest.approx(watts, rel=1e-9)


FACTS = {
    "power.busy": 30.0,
    "power.idle": 1.0,
    "power.thermal_resistance": 2.0,
    "power.heat_capacity": 50.0,
    "power.limit": 45.0,
    "power.battery": 36e3,
}


def test_an_outcome_adds_up() -> None:
    found = thermal_outcome(FACTS, 2.0, 40.0)  # 20 W
    assert found.sustained_power_w == 10.0
    assert found.sustained_speed == pytest.approx(9 / 19)
    assert found.sustained_latency_s == pytest.approx(2.0 * 19 / 9)
    assert found.burst_s == pytest.approx(100 * np.log(2))
    assert found.steady_celsius == 65.0
    assert (found.battery_runs, found.battery_hours) == (900.0, 0.5)
    assert found.battery_share_per_run == pytest.approx(1 / 900)


def test_an_hour_is_stepped_through() -> None:
    """A governor that runs at full speed below the limit and as fast as it may at it."""
    found = thermal_outcome(FACTS, 2.0, 40.0)
    step, warm, work, joule = 0.05, 25.0, 0.0, 0.0
    for _ in range(72_000):
        speed = 1.0 if warm < 45.0 else 9 / 19
        power = 1.0 + 19.0 * speed
        warm += step * (power - (warm - 25.0) / 2.0) / 50.0
        work, joule = work + speed * step, joule + power * step
    assert found.runs_in_an_hour == pytest.approx(work / 2.0, rel=1e-3)
    assert found.battery_share_in_an_hour == pytest.approx(joule / 36e3, rel=1e-3)
    cool = thermal_outcome({"power.battery": 36e3}, 2.0, 10.0)
    assert (cool.runs_in_an_hour, cool.battery_share_in_an_hour) == (1800.0, 0.5)


def test_traced_outcomes_have_a_slope() -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)

    def outcome(resistance: Any) -> Any:
        found = thermal_outcome(FACTS | {"power.thermal_resistance": resistance}, 2.0, 40.0)
        return found.burst_s + found.sustained_speed + found.runs_in_an_hour

    expected = (outcome(2.0001) - outcome(1.9999)) / 2e-4
    assert float(jax.jit(jax.grad(outcome))(2.0)) == pytest.approx(expected, rel=1e-5)


def test_a_device_that_states_nothing_is_never_slowed() -> None:
    found = thermal_outcome({}, 2.0, 40.0)
    assert (found.sustained_power_w, found.sustained_speed, found.burst_s) == (np.inf, 1.0, np.inf)
    assert np.isnan(found.battery_runs)
    assert np.isnan(found.steady_celsius)
    # A ceiling alone acts at once.
    capped = thermal_outcome({"power.busy": 10.0}, 2.0, 40.0)
    assert (capped.sustained_speed, capped.burst_s) == (0.5, 0.0)


@given(st.sampled_from(["power.thermal_resistance", "power.limit", "power.heat_capacity"]))
def test_better_cooling_never_slows(path: str) -> None:
    before = (0.0, 0.0)
    for better in np.linspace(1.0, 2.0, 20).tolist():
        value = FACTS[path] * (1 / better if path.endswith("resistance") else better)
        found = thermal_outcome(FACTS | {path: value}, 2.0, 40.0)
        after = float(found.sustained_speed), float(found.burst_s)
        assert after[0] >= before[0]
        assert after[1] >= before[1]
        before = after


some = st.floats(0.01, 100.0)


@given(
    power=st.lists(some, min_size=2, max_size=8),
    busy=some | st.none(),
    idle=st.floats(0.0, 10.0),
    resistance=some,
    limit=st.floats(1.0, 200.0) | st.none(),
    ambient=st.floats(0.0, 60.0),
    capacity=st.floats(1.0, 1e4),
    exponent=st.floats(1.0, 3.0),
)
def test_more_power_never_lasts_longer(
    power: list[float],
    busy: float | None,
    idle: float,
    resistance: float,
    limit: float | None,
    ambient: float,
    capacity: float,
    exponent: float,
) -> None:
    """Nor gives more runs an hour, nor a higher speed; whatever ceilings and limits are stated."""
    facts = {
        "power.busy": busy,
        "power.idle": idle,
        "power.thermal_resistance": resistance,
        "power.limit": limit,
        "power.ambient": ambient,
        "power.heat_capacity": capacity,
        "power.speed_exponent": exponent,
        "power.battery": 5e4,
    }
    facts = {path: value for path, value in facts.items() if value is not None}
    watts = np.sort(power)
    found = thermal_outcome(facts, 1.0, watts)
    for falling in (found.burst_s, found.runs_in_an_hour, found.sustained_speed):
        later, before = np.asarray(falling)[1:], np.asarray(falling)[:-1]
        assert np.all((later <= before * (1 + 1e-9)) | (later == before))
        assert np.all(later >= 0.0)
    assert np.all(np.asarray(found.sustained_power_w) >= 0.0)
    assert np.all(found.battery_share_in_an_hour >= 0.0)
    # The body never passes the limit before the burst ends, and stands there at its end.
    hot = np.isfinite(found.burst_s)
    top = ambient + np.asarray(found.sustained_power_w) * resistance
    node = ThermalNode(resistance, capacity, ambient)
    ends = temperature(node, watts[hot], np.asarray(found.burst_s)[hot])
    assert ends == pytest.approx(np.broadcast_to(top, watts.shape)[hot], rel=1e-6, abs=1e-6)


def test_a_ceiling_below_the_heat_limit_holds_for_hot_devices_too() -> None:
    facts = {
        "power.busy": 8.0,
        "power.thermal_resistance": 2.0,
        "power.limit": 45.0,
        "power.heat_capacity": 180.0,
    }
    found = thermal_outcome(facts, 1.0, np.array([8.0, 9.0, 9.9, 10.1, 20.0]))
    # RC ln(P / (P - 8)): until the body is as warm as 8 W keep it, 41 degrees.
    expected = [np.inf, *(360 * np.log(p / (p - 8.0)) for p in (9.0, 9.9, 10.1, 20.0))]
    assert found.burst_s == pytest.approx(expected)
    assert found.sustained_speed == pytest.approx([1.0, 8 / 9, 8 / 9.9, 8 / 10.1, 0.4])


def test_surroundings_beyond_the_limit_leave_nothing() -> None:
    facts = FACTS | {"power.ambient": np.array([44.0, 45.0, 60.0])}
    found = thermal_outcome(facts, 2.0, 40.0)
    assert found.sustained_power_w.tolist() == [0.5, 0.0, 0.0]
    assert found.sustained_speed.tolist() == [0.0, 0.0, 0.0]
    assert found.burst_s[0] > 0.0
    assert found.burst_s[1:].tolist() == [0.0, 0.0]
    assert found.runs_in_an_hour[1:].tolist() == [0.0, 0.0]
    # It idles all the same.
    assert found.battery_share_in_an_hour[1:] == pytest.approx(1.0 * 3600 / 36e3)


def test_runs_that_draw_no_more_than_a_pause_never_warm() -> None:
    counts = runs_until_limit(PHONE, np.array([0.0, 1.0, 2.0, 12.0]), 10.0, 5.0, 1.0)
    assert counts[:3].tolist() == [np.inf] * 3
    assert np.isfinite(counts[3])
    assert runs_until_limit(PHONE, 0.0, 10.0) == np.inf
    assert runs_until_limit(PHONE, 12.0, 0.0) == np.inf
    # At rest beyond the limit already.
    assert runs_until_limit(PHONE, np.array([1.0, 9.0]), 10.0, 5.0, 8.0).tolist() == [1.0, 1.0]


def test_air_warmer_than_a_body_heats_it_alike() -> None:
    for warm, cool in ((45.0, 25.0), (20.0, 25.0)):
        given = natural_convection_resistance(0.02, 0.14, np.array([warm]), cool)
        taken = natural_convection_resistance(0.02, 0.14, np.array([cool]), warm)
        assert given == pytest.approx(taken)
    assert isinstance(natural_convection_resistance(0.02, 0.14, 20.0), float)
    still = natural_convection_resistance(0.02, 0.14, 25.0, 25.0, 0.0)
    assert 1 / still / 0.02 == pytest.approx(0.825**2 * 0.0263 * (298.15 / 300) ** 0.85 / 0.14)


def test_a_prediction_opens_its_thermal_outcome() -> None:
    changes = {
        "power.thermal_resistance": "3.7 K/W",
        "power.heat_capacity": "170 J/K",
        "power.limit": "45 degC",
        "power.battery": "15 Wh",
        "power.busy": "8 W",
    }
    machine = hardware("snapdragon_8_gen_3").machine().vary(changes)
    workload = find("llama_3_8b", {"phase": "decode", "context": 512})
    found = predict(workload, machine, precision="w4a16")
    thermal = found.thermal
    assert thermal.battery_runs == pytest.approx(15 * 3600 / found.energy_j)
    assert thermal.steady_celsius == pytest.approx(25 + 3.7 * found.power_w)
    assert 20 / 3.7 < found.power_w < 8.0  # it throttles, and draws less than its limit
    assert thermal.sustained_power_w == pytest.approx(20 / 3.7)
    assert thermal.sustained_latency_s == pytest.approx(found.latency_s / thermal.sustained_speed)
    many = predict(workload, machine.vary({"power.ambient": [15.0, 25.0, 35.0]}), precision="w4a16")
    assert many.thermal.sustained_speed[1] == pytest.approx(thermal.sustained_speed)
    assert many.at(2).thermal.burst_s == pytest.approx(many.thermal.burst_s[2])
    assert pickle.loads(pickle.dumps(machine))["power.battery"] == 54e3


def test_facts_that_vary_along_one_axis_of_many_points() -> None:
    machine = hardware("jetson_agx_orin").machine()
    grid = {
        "power.busy": np.array([[20.0], [40.0]]),
        "power.battery": np.array([[1e5], [2e5]]),
        "memories.main.bandwidth": np.linspace(1e11, 2e11, 9000)[None],
    }
    found = predict(find("resnet18"), machine.vary(grid), precision="fp16")
    assert found.energy_j.shape == (2, 9000)
    assert found.energy_j[1, 77] == pytest.approx(found.at(1, 77).energy_j)
    assert found.thermal.battery_runs[1, 77] == pytest.approx(found.at(1, 77).thermal.battery_runs)
    assert found.utilization[0, 5] == pytest.approx(found.at(0, 5).utilization)


def test_the_command_says_what_lasts(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["predict", "llama_3_8b", "galaxy_s24", "--precision", "w4a16"]
    assert main([*asked, "--set", "phase=prefill", "--runtime", "ideal"]) == 0
    text = capsys.readouterr().out
    assert "% of the speed after" in text
    assert "a charge" in text
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["thermal"]
    assert found["burst_s"] is None  # decoding stays cool: for ever
    assert found["sustained_speed"] == 1.0
    assert main(["predict", "resnet18", "h100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["thermal"] is None
