"""Solutions: the condition holds at the value and fails just beyond it."""

from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.expressions import parse_expression


def holds(variable: str, value: float, until: str, workload: str, device: str, **more: Any) -> bool:
    found = pm.predict(workload, device, set={variable: value, **more.pop("set", {})}, **more)
    names = parse_expression(until).names
    columns = {name: getattr(found, name) for name in names}
    return bool(parse_expression(until)(columns)) and bool(found.feasible)


@pytest.mark.parametrize(
    ("variable", "until", "workload", "device", "direction"),
    [
        ("memories.main.bandwidth", "tokens_per_s >= 20", "llama_3_8b", "a100", "at least"),
        ("memories.main.bandwidth", "latency_s <= 20 ms", "resnet18", "raspberry_pi_5", "at least"),
        ("engines.main.clock", "frames_per_s >= 60", "resnet18", "raspberry_pi_5", "at least"),
        ("memories.main.capacity", "feasible", "llama_3_8b", "raspberry_pi_5", "at least"),
        ("batch", "tpot_s <= 50 ms", "llama_3_8b", "a100", "at most"),
        ("batch", "tokens_per_s >= 1000", "llama_3_8b", "a100", "at least"),
        ("context", "tpot_s <= 12 ms and energy_j < 10 J", "llama_3_8b", "a100", "at most"),
        ("weight_bits", "tokens_per_s >= 20", "llama_3_8b", "jetson_agx_orin", "at most"),
        ("width_multiplier", "latency_s <= 50 ms", "resnet18", "raspberry_pi_5", "at most"),
        ("power.busy", "energy_j <= 1 J", "llama_3_8b", "a100", "at most"),
    ],
)
def test_the_condition_flips_at_the_value(
    variable: str, until: str, workload: str, device: str, direction: str
) -> None:
    found = pm.solve(workload, device, variable, until)
    assert found.feasible
    assert found.direction == direction
    assert found.value is not None
    value = found.value
    assert holds(variable, value, until, workload, device)
    whole = variable in ("batch", "context")
    step = 1.0 if whole else value * 1e-9
    beyond = value - step if direction == "at least" else value + step
    assert not holds(variable, beyond, until, workload, device)
    if whole:
        assert value == int(value)


@pytest.mark.parametrize("device", ["raspberry_pi_5", "raspberry_pi_5_active_cooler"])
def test_a_body_that_never_throttles_lasts_longer_than_any_time(device: str) -> None:
    """Below 55 K over 9.7 W a burst has no end, and that is more than two hours."""
    found = pm.solve("resnet50", device, "power.thermal_resistance", "burst_s >= 2 h")
    assert (found.direction, found.unknown) == ("at most", 0)
    assert found.value == pytest.approx((80.0 - 25.0) / 9.7, rel=2e-3)
    short = pm.solve("resnet50", device, "power.thermal_resistance", "burst_s <= 600 s")
    assert short.direction == "at least"
    assert short.prediction.burst_s == pytest.approx(600.0, rel=1e-3)


def test_a_variable_that_is_not_set_has_no_value_now() -> None:
    until = "average_power_w <= 3 W"
    found = pm.solve("resnet50", "raspberry_pi_5", "use.period", until)
    assert "(not set now)" in found.headline
    found = pm.solve("resnet50", "raspberry_pi_5", "power.ambient", "sustained_speed >= 0.5")
    assert "(now 25 degC)" in found.headline


def test_modes_are_no_numbers_to_solve_for() -> None:
    with pytest.raises(InputError, match="modes have names"):
        pm.solve("resnet18", "jetson_orin_nano", "operating_point", "energy_j <= 1 J")


def test_a_battery_that_is_not_stated_is_sized() -> None:
    found = pm.solve("mobilenet_v2", "apple_a18", "power.battery", "battery_hours >= 10 h")
    power = pm.predict("mobilenet_v2", "apple_a18").power_w
    assert found.value == pytest.approx(10.0 * 3600.0 * power, rel=1e-3)


def test_a_closed_form() -> None:
    """On the bare roofline, a decode bound by memory takes bytes / bandwidth."""
    found = pm.solve(
        "llama_3_8b", "a100", "memories.main.bandwidth", "tpot_s <= 10 ms", model="roofline"
    )
    moved = found.prediction.traffic_bytes["hbm"]
    assert found.prediction.bottleneck == "hbm"
    assert found.value == pytest.approx(moved / 0.01, rel=1e-9)


def test_brute_force_over_batches() -> None:
    found = pm.solve("llama_3_8b", "a100", "batch", "tokens_per_s >= 5000", precision="w8a8")
    batches = np.arange(1, 400)
    rate = pm.predict("llama_3_8b", "a100", precision="w8a8", set={"batch": batches}).tokens_per_s
    assert found.value == batches[int(np.argmax(rate >= 5000))]


def test_what_no_value_reaches_is_a_result_with_what_binds() -> None:
    found = pm.solve(
        "llama_3_8b",
        "raspberry_pi_5",
        "memories.main.bandwidth",
        "tokens_per_s >= 100000",
        precision="w4a16",
    )
    assert not found.feasible
    assert found.value is None
    assert found.binds in ("matrix", "vector")
    everywhere = pm.predict(
        "llama_3_8b",
        "raspberry_pi_5",
        precision="w4a16",
        set={"memories.main.bandwidth": np.geomspace(found.low, found.high, 1001)},
    )
    assert found.reached["tokens_per_s"] >= everywhere.tokens_per_s.max() * (1 - 1e-9)
    assert "what binds there" in repr(found)


def test_what_every_value_satisfies() -> None:
    found = pm.solve("resnet18", "a100", "memories.main.latency", "latency_s < 1 h")
    assert found.feasible
    assert found.direction == "any"
    assert "every" in repr(found)


def test_memory_is_part_of_the_condition_unless_told_otherwise() -> None:
    found = pm.solve("llama_3_8b", "a100", "batch", "tpot_s <= 10 s")
    assert found.memory_binds
    assert found.value is not None
    capacity = pm.predict("llama_3_8b", "a100", set={"batch": found.value + 1})
    assert not capacity.feasible
    free = pm.solve("llama_3_8b", "a100", "batch", "tpot_s <= 10 s", ignore_memory=True)
    assert free.value is not None
    assert free.value > found.value
    assert not free.memory_binds


def test_a_workload_that_never_fits() -> None:
    found = pm.solve("llama_3_70b", "stm32h743", "engines.main.clock", "latency_s <= 1 s")
    assert not found.feasible
    assert "must hold" in found.binds


def test_other_settings_hold() -> None:
    a = pm.solve(
        "llama_3_8b",
        "a100",
        "memories.main.bandwidth",
        "tpot_s <= 20 ms",
        set={"batch": 1, "context": 128},
    )
    b = pm.solve(
        "llama_3_8b",
        "a100",
        "memories.main.bandwidth",
        "tpot_s <= 20 ms",
        set={"batch": 64, "context": 4096},
    )
    assert a.value is not None
    assert b.value is not None
    assert b.value > 1.5 * a.value
    assert b.prediction.workload.parameters["batch"] == 64


@pytest.mark.parametrize(
    ("variable", "until", "message"),
    [
        ("batc", "latency_s < 1 ms", "did you mean 'batch'"),
        ("memories.main.bandwith", "latency_s < 1 ms", "did you mean 'memories.main.bandwidth'"),
        ("batch", "latencys < 1 ms", "did you mean 'latency_s'"),
        ("batch", "latency_s < 1 GB", "cannot be compared"),
        ("batch", "tokens_per_s > 5", "did you mean 'frames_per_s'"),
        ("batch", "latency_s", "is not a condition"),
        ("batch", "latency_s <", "stops short"),
        ("phase", "latency_s < 1 ms", "phase"),
    ],
)
def test_faults(variable: str, until: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pm.solve("resnet18", "raspberry_pi_5", variable, until)


def test_faults_at_once() -> None:
    with pytest.raises(InputError) as caught:
        pm.solve("resnet1", "a1000", "batch", "latncy < 1 XB", precision="w4")
    assert len(caught.value.faults) == 4


def refused_below(low: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have predictions refused for a batch below a bound, as arrays that hold one are."""
    from perfmodel import threshold_problem as module

    real = module.predict

    def predict(workload: Any, *rest: Any, **more: Any) -> Any:
        if np.any(np.asarray(workload.parameters["batch"]) < low):
            raise InputError(f"no batch below {low:g}")
        return real(workload, *rest, **more)

    monkeypatch.setattr(module, "predict", predict)


def test_values_that_cannot_be_predicted_count_as_not_satisfying(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workload = pm.workload("resnet18", batch=8)
    until = "latency_s <= 1 ms"
    free = pm.solve(workload, "a100", "batch", until)
    assert (free.direction, free.unknown, free.edge) == ("at most", 0, "")
    refused_below(3, monkeypatch)
    found = pm.solve(workload, "a100", "batch", until)
    assert (found.value, found.direction) == (free.value, "at most")
    assert found.unknown == 2  # 1 and 2
    assert "no number at 2 of the values" in repr(found)
    # What holds wherever there is a number is bounded by where there is none, and says so.
    found = pm.solve(workload, "a100", "batch", "latency_s >= 1 ns", ignore_memory=True)
    assert (found.value, found.direction) == (3, "at least")
    assert found.edge == "no batch below 3"
    assert "beyond it there is no number: no batch below 3" in repr(found)
    assert found.to_dict()["unknown"] == 2
    never = pm.solve(workload, "a100", "batch", "latency_s <= 1 ns")
    assert never.value is None
    assert never.nearest_value == 3
    refused_below(9, monkeypatch)
    with pytest.raises(InputError, match="no batch below 9"):  # of the value to start with
        pm.solve(workload, "a100", "batch", until)


def test_a_period_is_found_in_which_a_device_averages_a_power() -> None:
    """``E + P (T - t) = W T`` has one period T, also where shorter ones end before the run."""
    p = pm.predict("resnet18", "jetson_orin_nano")
    idle, wanted = p.machine["power.idle"], p.machine["power.idle"] + 0.4
    answer = pm.solve("resnet18", "jetson_orin_nano", "use.period", f"average_power_w <= {wanted}")
    period = (p.energy_j - idle * p.latency_s) / (wanted - idle)
    assert answer.value == pytest.approx(period, rel=1e-3)
