"""Modes of clock and voltage: their physics, their names, and the energy of a period."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import perfmodel as pm
from perfmodel.ask.library import check_specs
from perfmodel.errors import InputError
from perfmodel.hardware.library import entries, hardware
from perfmodel.hardware.machine import Machine
from tests.offenders import each

SPEC = """
schema_version: 1
name: scaled
sources: {s: Invented}
source: s
confidence: estimated
default_runtime: ideal
operating_points:
  fast: {note: "as this spec states it"}
  slow: {facts: {engines.npu.clock: "250 MHz", power.voltage: "0.6 V"}, source: s}
  clocked: {facts: {engines.npu.clock: "250 MHz"}, source: s}
engines:
  - name: npu
    clock: "500 MHz"
    peaks: {int8: "1 TOP/s"}
    energy_per_op: {int8: "1 pJ/OP"}
memories:
  - {name: sram, kind: scratchpad, capacity: "64 MiB", bandwidth: "1 MB/clock",
     energy_per_byte: "1 pJ/B", feeds: [npu]}
  - {name: dram, kind: dram, roles: [main], capacity: "4 GiB", bandwidth: "100 TB/s",
     energy_per_byte: "10 pJ/B", feeds: [sram]}
power: {boundary: module, idle: "0.2 W", sleep: "5 mW", voltage: "0.9 V", battery: "10 Wh"}
"""
CLOCK, VOLTAGE, PERIOD = "engines.npu.clock", "power.voltage", "use.period"


@pytest.fixture
def device(tmp_path: Path) -> pm.Device:
    path = tmp_path / "scaled.yaml"
    path.write_text(SPEC, encoding="utf-8")
    return hardware(path)


def predicted(machine: Machine) -> pm.Prediction:
    return pm.predict(pm.workload("gemm", m=512, n=512, k=512), machine, precision="int8")


def test_a_point_is_its_facts(device: pm.Device) -> None:
    at = device.vary({"operating_point": "slow"})
    assert at.facts == device.vary({CLOCK: 250e6, VOLTAGE: 0.6}).facts
    assert at.operating_point == "slow"
    origin = at.provenance[VOLTAGE]
    assert (origin.writer, origin.source) == ("vary (operating point slow)", "s")
    assert device.vary({"operating_point": "fast"}).operating_point == ""
    again = at.vary({"operating_point": "fast"})
    assert (again.facts, again.operating_point) == (device.machine().facts, "")
    assert at.vary({"operating_point": "clocked"})[VOLTAGE] == 0.9
    both = device.vary({"operating_point": "slow", CLOCK: "400 MHz"})
    assert (both[CLOCK], both[VOLTAGE]) == (400e6, 0.6)


def test_the_same_work_takes_the_square_of_the_voltage(device: pm.Device) -> None:
    """Of the chip, without static power; DRAM has a supply of its own, and a clock is free."""
    machine = device.vary({"power.idle": 0.0})
    fast, slow, clocked = (
        predicted(machine.vary({"operating_point": name})) for name in ("fast", "slow", "clocked")
    )
    for part, exponent in (("compute int8", 2), ("memory sram", 2), ("memory dram", 0)):
        ratio = slow.energy.parts[part] / fast.energy.parts[part]
        assert_allclose(ratio, (0.6 / 0.9) ** exponent, err_msg=part)
    assert_allclose(clocked.energy_j, fast.energy_j)
    assert slow.energy_j < fast.energy_j
    assert_allclose([slow.latency_s, clocked.latency_s], 2.0 * fast.latency_s)


def test_an_idle_power_at_the_core_leaks_with_the_voltage(tmp_path: Path) -> None:
    path = tmp_path / "core.yaml"
    path.write_text(SPEC.replace("boundary: module", "boundary: core"), encoding="utf-8")
    assert_allclose(hardware(path).vary({VOLTAGE: 0.6})["power.idle"], 0.2 * 0.6 / 0.9)


def test_leakage_of_the_blocks_follows_the_voltage(tmp_path: Path) -> None:
    text = SPEC.replace('idle: "0.2 W", ', "").replace("engines:", 'energy: "28 nm"\nengines:')
    path = tmp_path / "leaking.yaml"
    path.write_text(text, encoding="utf-8")
    machine = hardware(path).machine()
    leakage = machine["power.leakage"]
    assert leakage > 0.0
    assert_allclose(machine.vary({VOLTAGE: 0.6})["power.leakage"], leakage * 0.6 / 0.9)


def test_the_least_energy_of_a_run_lies_inside(device: pm.Device) -> None:
    """With V proportional to f, E = a f^2 + p / f is least at f = (p / 2a)^(1/3)."""
    stated = predicted(device.machine())
    on_chip = stated.energy.parts["compute int8"] + stated.energy.parts["memory sram"]
    a = on_chip / 500e6**2
    p = 0.2 * stated.latency_s * 500e6
    best = (p / (2.0 * a)) ** (1.0 / 3.0)
    clocks = best * np.linspace(0.5, 1.5, 1001)
    points = predicted(device.vary({CLOCK: clocks, VOLTAGE: 0.9 * clocks / 500e6}))
    dram = stated.energy.parts["memory dram"]
    assert_allclose(points.energy_j, a * clocks**2 + p / clocks + dram, rtol=1e-9)
    assert clocks[np.argmin(points.energy_j)] == pytest.approx(best, rel=2e-3)
    for i in (0, 400, 1000):
        single = predicted(device.vary({CLOCK: clocks[i], VOLTAGE: 0.9 * clocks[i] / 500e6}))
        assert single.energy_j == pytest.approx(points.energy_j[i], rel=1e-12)


def test_energy_of_a_period_is_that_of_the_run_and_of_sleep(device: pm.Device) -> None:
    run = predicted(device.machine())
    periods = np.array([2.0, 10.0, 0.5]) * run.latency_s
    each_period = predicted(device.vary({PERIOD: periods}))
    expected = run.energy_j + 5e-3 * (periods - run.latency_s)
    assert_allclose(each_period.energy_per_period_j, [*expected[:2], np.nan])
    assert_allclose(each_period.average_power_w[:2], (expected / periods)[:2])
    assert_allclose(each_period.battery_hours[:2], 10.0 / (expected / periods)[:2])
    reason = each_period.missing_reason("energy_per_period_j")
    assert reason == "1 of 3 runs do not end in their period"
    assert reason in each_period.to_dict()["remarks"]
    late = predicted(device.vary({PERIOD: float(periods[2])}))
    assert "does not end in its period" in str(late)
    assert late.energy_j == run.energy_j
    assert run.energy_per_period_j is None
    assert run.missing_reason("energy_per_period_j") == "no period is set (use.period)"


def test_sleep_decides_between_racing_and_slowing_down(device: pm.Device) -> None:
    """Where resting costs as much as running idle, slow and cool wins; else a race to sleep."""
    run = predicted(device.machine())
    common = {PERIOD: 4.0 * run.latency_s}
    for idle, wins in ((0.2, "slow"), (20.0, "fast")):
        machine = device.vary({**common, "power.idle": idle})
        joules = {
            name: predicted(machine.vary({"operating_point": name})).energy_per_period_j
            for name in ("fast", "slow")
        }
        assert min(joules, key=lambda name: joules[name]) == wins, idle


def test_power_under_load_follows_clock_and_voltage() -> None:
    """`P_idle + (P_busy - P_idle) f V^2` of a board whose power under load was measured."""
    board = hardware("raspberry_pi_5").machine()
    idle, busy = board["power.idle"], board["power.busy"]
    low = board.vary({"operating_point": "1500mhz"})
    expected = idle + (busy - idle) * (1.5 / 2.4) * (0.72 / 0.9) ** 2
    assert_allclose(low["engines.cpu.busy_power"], expected)
    assert_allclose(low["power.busy"], expected)
    assert board.vary({"engines.cpu.clock": "1.5 GHz", "power.busy": 5.0})["power.busy"] == 5.0


def test_a_linear_regulator_draws_the_current_of_its_core() -> None:
    """Its power follows V f of the core, behind a switching regulator V^2 f."""
    for name, point, exponent in (("stm32l4r5", "range_2", 1), ("stm32u575", "range_4", 2)):
        machine = hardware(name).machine()
        low = machine.vary({"operating_point": point})
        volts = low[VOLTAGE] / machine[VOLTAGE]
        path = "engines.cpu.clock_energy"
        assert_allclose(low[path] / machine[path], volts**exponent)


def test_ndp9120_at_both_voltages() -> None:
    """MLPerf Tiny energies of NDP9120, published at 0.9 V (30.7 MHz) and 1.1 V (98.7 MHz)."""
    rows = {"mlperf_tiny_ic": (101.833, 139.367), "mlperf_tiny_vww": (71.711, 97.164)}
    chip = hardware("ndp9120").machine()
    for name, published in rows.items():
        low, high = (
            pm.predict(name, chip.vary({"operating_point": point}), precision="int8").energy_j
            for point in ("0v9", "1v1")
        )
        assert high / low == pytest.approx(published[1] / published[0], rel=0.03)


def with_points() -> list[str]:
    return [name for name in sorted(entries("devices")) if hardware(name).operating_points]


def test_enough_devices_have_modes() -> None:
    several = [name for name in with_points() if len(hardware(name).operating_points) > 1]
    assert len(several) >= 40


@each("name", with_points)
def test_every_point_of_the_library_resolves(name: str) -> None:
    device = hardware(name)
    for point, mode in device.operating_points.items():
        machine = device.vary({"operating_point": point})
        if mode.device is None:
            assert machine.device == device
            assert machine.operating_point == (point if mode.facts else "")
            assert not mode.facts or mode.source
        else:
            assert machine.device == hardware(mode.device)


@each("name", with_points)
def test_no_point_of_the_library_draws_more_than_its_limit(name: str) -> None:
    device = hardware(name)
    small = "mcu" in device.tags
    workload, precision = ("mlperf_tiny_ic", "int8") if small else ("resnet18", None)
    for point in device.operating_points:
        run = pm.predict(workload, device.vary({"operating_point": point}), precision=precision)
        assert not run.breaches, point


def test_a_mode_with_a_spec_of_its_own_is_that_device() -> None:
    mode = hardware("jetson_orin_nano").vary({"operating_point": "7w"})
    own = hardware("jetson_orin_nano_7w").machine()
    assert pm.predict("resnet18", mode).to_dict() == pm.predict("resnet18", own).to_dict()


def test_modes_of_a_module_share_its_heat_sink_and_idle_power() -> None:
    """It holds the power of the highest mode at its limit, and a lower mode is as well cooled.

    A module whose idle power was measured in two modes, and is the same, has one too.
    """
    for name, highest in {
        "jetson_orin_nano": 25.0,
        "jetson_orin_nx_16gb": 40.0,
        "jetson_agx_orin": 60.0,
        "jetson_agx_xavier": 30.0,
        "jetson_xavier_nx": 15.0,
    }.items():
        modes = [
            hardware(name).vary({"operating_point": p}) for p in hardware(name).operating_points
        ]
        assert max(mode["power.busy"] for mode in modes) == highest
        sinks = {mode.get("power.thermal_resistance") for mode in modes}
        assert len(sinks) == 1, name
        assert_allclose(sinks.pop() * highest, 95.0 - 25.0, rtol=1e-4)
        reason = pm.predict("resnet18", modes[0]).burst_reason
        assert reason.endswith("sheds at its limit: it never throttles (assumed)"), reason
    for name in ("jetson_orin_nano", "jetson_orin_nx_16gb"):
        module = hardware(name)
        idle = [module.vary({"operating_point": p})["power.idle"] for p in module.operating_points]
        assert_allclose(idle, 3.0)
    reason = pm.predict("resnet18", "jetson_nano").burst_reason
    assert reason.endswith("(assumed, as of an edge module)")


def test_names_of_points_are_mended() -> None:
    for point, text in (("7ww", "did you mean '7w'"), ("nothing", "one of 15w, 7w, 25w")):
        with pytest.raises(InputError) as caught:
            pm.predict("resnet18", "jetson_orin_nano", set={"operating_point": point})
        assert text in str(caught.value)
    with pytest.raises(InputError, match="did you mean 'operating_point'"):
        pm.predict("resnet18", "jetson_orin_nano", set={"operating_pont": "7w"})
    with pytest.raises(InputError, match="a100 has no operating point '7w'"):
        pm.predict("resnet18", "a100", set={"operating_point": "7w"})


def test_sweep_search_and_predict_agree() -> None:
    name, period = "mlperf_tiny_kws", 0.1
    asked: dict[str, Any] = {PERIOD: period, "power.sleep": 1e-3}
    swept = pm.sweep(
        name,
        "stm32u575",
        set={"operating_point": "all", **asked},
        metrics=["latency_s", "energy_per_period_j"],
        precision="int8",
    )
    points = list(hardware("stm32u575").operating_points)
    assert list(swept.table["operating_point"]) == points
    singles = [
        pm.predict(name, "stm32u575", set={"operating_point": p, **asked}, precision="int8")
        for p in points
    ]
    joules = [one.energy_per_period_j for one in singles]
    assert_allclose(swept.table["energy_per_period_j"], joules)
    assert np.isnan(joules).tolist() == [False, False, False, True]  # 173 ms in the slowest
    best = points[int(np.nanargmin(joules))]
    answer = pm.search(
        name,
        "stm32u575",
        choices={"operating_point": points[::-1]},
        objective="energy_per_period_j",
        set=asked,
        precision="int8",
    )
    assert answer.best is not None
    assert answer.best.configuration["operating_point"] == best
    assert_allclose(answer.value, np.nanmin(joules))


def test_all_points_are_those_of_each_device() -> None:
    boards = ["raspberry_pi_5", "raspberry_pi_4"]
    swept = pm.sweep("resnet18", boards, set={"operating_point": "all"}, metrics=["latency_s"])
    pairs = list(zip(swept.table["device"], swept.table["operating_point"], strict=True))
    assert sorted(pairs) == sorted((n, p) for n in boards for p in hardware(n).operating_points)
    with pytest.raises(InputError, match="a device that lists operating points"):
        pm.sweep("resnet18", "a100", set={"operating_point": "all"})


def test_a_clock_is_solved_for_a_deadline(device: pm.Device) -> None:
    """Time is in inverse proportion to the clock of a chip that only computes."""
    run = predicted(device.machine())
    deadline = 2.0 * run.latency_s
    solved = pm.solve(
        pm.workload("gemm", m=512, n=512, k=512),
        device,
        CLOCK,
        until=f"latency_s <= {deadline}",
        precision="int8",
    )
    assert solved.value == pytest.approx(250e6, rel=1e-3)
    late = pm.predict("resnet18", "jetson_orin_nano", set={PERIOD: 1e-3})
    assert "does not end in its period of 1 ms" in str(late)


def test_a_spec_with_a_wrong_mode_is_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        SPEC.replace('power.voltage: "0.6 V"', 'power.voltag: "0.6 V"'), encoding="utf-8"
    )
    faults = [str(fault) for fault in check_specs(path).faults]
    assert len(faults) == 1
    assert "operating_points.slow" in faults[0]
    assert "power.voltage" in faults[0]


def test_the_picture_of_modes_names_the_best() -> None:
    board = hardware("raspberry_pi_5").vary({PERIOD: 0.03})
    figure: Any = pm.predict("resnet18", board).plot.operating_points()
    run, period = figure.data[:2]
    assert len(run.x) == 3
    assert len(period.x) == 2  # the slowest does not end in its period
    assert all(total > part for total, part in zip(period.y, run.y, strict=False))
    assert "least energy at 2000mhz" in figure.layout.meta["alt"]
    with pytest.raises(InputError, match="lists no operating points"):
        pm.predict("resnet18", "a100").plot.operating_points()
