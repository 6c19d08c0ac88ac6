"""What a spec's fields allow holds for varied, swept and solved facts too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import Field

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine, register_engine
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime

Load = Callable[..., Device]
#: One device of each kind of engine and memory.
DEVICES = ("h100", "ufs_4_phone", "cambricon_llm_s", "eyeriss", "tpu_v1", "galaxy_s24")


def told(machine: Machine, changes: dict[str, Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        machine.vary(changes)
    return [str(fault) for fault in caught.value.faults]


@pytest.mark.parametrize("name", DEVICES)
def test_every_fact_keeps_to_its_span(name: str) -> None:
    machine = hardware(name).machine()
    for path in machine.paths:
        low, high, whole = machine.span(path)
        ends = np.ceil([low, low]) if whole else np.array([low, high])
        assert machine.vary({path: ends})[path].shape == (2,)
        held = machine.facts.get(path)
        if held is not None:
            assert low <= held <= high, path
            assert machine.vary({path: float(held)}).facts == dict(machine.facts) | {path: held}
        for wrong in (min(-1.0, low - 1.0), np.nextafter(high, np.inf) * 1.001, np.nan):
            assert told(machine, {path: wrong})[0].startswith(f"{path}: ")
            # Anywhere in an array.
            assert told(machine, {path: np.array([[ends[0], wrong], [ends[0], ends[0]]])})
        if whole:
            (fault,) = told(machine, {path: [1.0, 2.5]})
            assert fault == (
                f"{path}: 2.5 is not a whole number; expected a whole number above zero"
            )
        if low > 0:
            assert told(machine, {path: 0.0})


@pytest.mark.parametrize(
    ("device", "path", "value", "message"),
    [
        (
            "ufs_4_phone",
            "memories.storage.hit_fraction",
            [0.5, 1.5],
            "1.5 is too large; expected at most 1",
        ),
        ("ufs_4_phone", "memories.storage.depth", 0.1, "0.1 is too small; expected at least 1"),
        (
            "cambricon_llm_s",
            "memories.flash.chips",
            2.5,
            "2.5 is not a whole number; expected a whole number above zero",
        ),
        ("h100", "runtime.efficiency.gemm", 1.3, "1.3 is too large; expected at most 1.2"),
        ("h100", "runtime.pnorm", 101, "101 is too large; expected at most 100"),
        ("h100", "memories.main.sustained_fraction", 1.01, "1.01 is too large; expected at most 1"),
        (
            "h100",
            "engines.main.units",
            0.5,
            "0.5 is not a whole number; expected a whole number above zero",
        ),
        ("eyeriss", "engines.main.input_zeros", 1.5, "1.5 is absurd; expected at most 1"),
        ("eyeriss", "engines.main.height", "12.5", "12.5 is not a whole number"),
        ("galaxy_s24", "energy.node", "1 m", "1 m is too large; expected at most 180 nm"),
        ("galaxy_s24", "energy.node", "1 nm", "1 nm is too small; expected at least 2 nm"),
        (
            "galaxy_s24",
            "power.ambient",
            [20, 50, 60],
            "50 degC is above power.limit; expected at most 47.9 degC",
        ),
        (
            "galaxy_s24",
            "power.limit",
            20.0,
            "20 degC is below power.ambient; expected at least 25 degC",
        ),
        # The limit is that of its class.
        (
            "raspberry_pi_5",
            "power.ambient",
            "500 degC",
            "500 degC is above power.limit; expected at most 80 degC",
        ),
        (
            "galaxy_s24",
            "power.chip_limit",
            "20 degC",
            "20 degC is below power.ambient; expected at least 25 degC",
        ),
        ("h100", "power.ambient", -300.0, "-300 degC is too small; expected at least -273.2 degC"),
    ],
)
def test_what_the_spec_would_refuse(device: str, path: str, value: Any, message: str) -> None:
    (fault,) = told(hardware(device).machine(), {path: value})
    assert fault.startswith(f"{path}: {message}")


def test_the_body_changes_no_run_and_its_heat_is_shown() -> None:
    """A cold room has a temperature below zero, in which the board never throttles."""
    stated = pm.predict("resnet50", "raspberry_pi_5")
    for celsius, shown in ((-10.0, "full speed"), (45.0, "% of the speed after")):
        p = pm.predict("resnet50", "raspberry_pi_5", set={"power.ambient": celsius})
        assert (p.latency_s, p.energy_j, p.basis) == (stated.latency_s, stated.energy_j, "measured")
        assert "sustained" in str(p)
        assert shown in str(p)
        assert "without a unit" not in str(p)
    assert "sustained" not in str(stated)


def test_every_fault_at_once() -> None:
    changes = {
        "energy.node": "1 m",
        "power.ambient": 60.0,
        "engines.npu.units": 1.5,
        "memories.dram.latency": -1.0,
        "power.bsy": 1.0,
    }
    faults = told(hardware("galaxy_s24").machine(), changes)
    assert sorted(fault.partition(":")[0] for fault in faults) == sorted(changes)


def test_pairs_are_compared_where_they_meet() -> None:
    machine = hardware("galaxy_s24").machine()
    warm = machine.vary({"power.ambient": 60.0, "power.limit": 80.0})
    assert warm["power.ambient"] == 60.0
    assert machine.span("power.ambient").high == machine["power.limit"]
    assert machine.vary({"power.ambient": [30, 40]}).span("power.limit").low == 40.0
    step = {"power.ambient": np.array([30.0, 60.0]), "power.limit": np.array([45.0, 70.0])}
    assert machine.vary(step)["power.limit"][1] == 70.0
    crossed = step | {"power.limit": np.array([[45.0], [70.0]])}
    assert told(machine, crossed) == [
        "power.ambient: 60 degC is above power.limit; expected at most 45 degC"
    ]


def test_a_ramp_starts_before_it_ends() -> None:
    machine = hardware("zen4_core").machine()
    start, end = "memories.l3.ramp_start", "memories.l3.ramp_end"
    assert machine.span(start).high == machine[end] == 30 * 2**20
    assert told(machine, {start: "40 MiB"}) == [
        f"{start}: 40 MiB is above {end}; expected at most 30 MiB"
    ]
    assert told(machine, {end: "4 MiB"}) == [
        f"{end}: 4 MiB is below {start}; expected at least 6 MiB"
    ]
    assert machine.vary({start: "40 MiB", end: "50 MiB"})[start] == 40 * 2**20
    ramps = {start: ["8 MiB", "40 MiB"], end: ["20 MiB", "50 MiB"]}
    found = pm.sweep("resnet18", "zen4_core", ramps, zip=[f"{start},{end}"])
    assert len(found) == 2
    with pytest.raises(InputError, match="40 MiB is above"):
        pm.sweep("resnet18", "zen4_core", ramps)


def test_tracers_have_no_numbers_to_look_at() -> None:
    jax = pytest.importorskip("jax")
    machine = hardware("cambricon_llm_s").machine()

    def chips(count: Any) -> Any:
        varied = machine.vary({"memories.flash.chips": count, "engines.npu.units": count})
        return varied["memories.flash.chips"]

    assert float(jax.grad(chips)(2.5)) == 1.0


class Bounded(Engine):
    """A kind with plain numbers of its own."""

    rows: int = Field(ge=2, le=64)
    share: float = Field(default=0.5, ge=0, le=1)
    speed: float = 1.0


def test_plain_numbers_of_a_kind_keep_their_bounds(load: Load, spec: str, bare: Runtime) -> None:
    register_engine("test_bounded", Bounded)
    text = spec.replace("    kind: roofline\n", "    kind: test_bounded\n    rows: 8\n")
    machine = Machine(load(text), bare)
    at = "engines.tensor."
    assert machine.span(f"{at}rows") == (2.0, 64.0, True)
    assert machine.vary({f"{at}share": 0.0, f"{at}rows": 3, f"{at}speed": 0.25})
    faults = told(machine, {f"{at}rows": 1, f"{at}share": 1.5, f"{at}speed": 0.0})
    assert [fault.partition(": ")[2] for fault in faults] == [
        "1 is too small; expected at least 2",
        "1.5 is too large; expected at most 1",
        "0 is zero; expected a count above zero",
    ]
    assert "2.5 is not a whole number" in told(machine, {f"{at}rows": 2.5})[0]


def test_a_node_beyond_the_tables_is_a_fault_of_the_file(load: Load, spec: str) -> None:
    with pytest.raises(
        InputError,
        match=r"card\.yaml:7:9: energy\.node: 1 m is too large; "
        r"expected at most 180 nm",
    ):
        load(spec.replace("year: 2020\n", 'year: 2020\nenergy: "1 m"\n'))


# sweeps and solutions


def swept(settings: dict[str, Any], device: str = "galaxy_s24", **more: Any) -> Any:
    return pm.sweep(
        "tinyllama_1_1b",
        device,
        {"phase": "decode", **settings},
        precision="w8a8",
        metrics=["latency_s"],
        **more,
    )


def test_a_sweep_tells_before_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "sweep",
        "tinyllama_1_1b",
        "--device",
        "ufs_4_phone",
        "--precision",
        "w4a16",
        "--set",
        "memories.storage.hit_fraction=0.5,1.5",
        "--set",
        "engines.npu.units=1,1.5",
    ]
    assert main(asked) == 2
    told = capsys.readouterr().err
    assert "memories.storage.hit_fraction: 1.5 is too large; expected at most 1" in told
    assert "engines.npu.units: 1.5 is not a whole number" in told
    assert (
        main(
            [
                "predict",
                "tinyllama_1_1b",
                "ufs_4_phone",
                "--precision",
                "w4a16",
                "--set",
                "memories.storage.hit_fraction=1.5",
            ]
        )
        == 2
    )
    assert "expected at most 1" in capsys.readouterr().err


def test_a_sweep_compares_pairs_of_its_own_points() -> None:
    both = {"power.ambient": [30, 60], "power.limit": [45, 70]}
    assert len(swept(both, zip=["power.ambient,power.limit"])) == 2
    with pytest.raises(InputError) as caught:
        swept(both)
    (fault,) = caught.value.faults
    assert fault.message == "60 degC is above power.limit"
    assert len(swept({"power.ambient": 60, "power.limit": 80})) == 1


def test_a_sample_of_what_is_counted_is_whole() -> None:
    found = swept(
        {"engines.npu.units": "uniform(1, 16)", "power.ambient": "uniform(5, 35)"}, sobol=32
    )
    units = np.asarray(found["engines.npu.units"])
    assert np.array_equal(units, np.rint(units))
    assert len(set(units.tolist())) > 8
    assert not np.array_equal(found["power.ambient"], np.rint(found["power.ambient"]))


def test_solutions_answer_what_may_be_set() -> None:
    found = pm.solve(
        "llama_2_7b",
        "cambricon_llm_s",
        "memories.flash.chips",
        "tokens_per_s >= 6",
        precision="w8a8",
    )
    assert found.direction == "at least"
    assert found.value is not None
    assert found.value == int(found.value)

    def rate(chips: float) -> float:
        machine = hardware("cambricon_llm_s").vary({"memories.flash.chips": chips})
        return float(pm.predict("llama_2_7b", machine, precision="w8a8").tokens_per_s)

    assert rate(found.value) >= 6.0
    assert found.value == 1 or rate(found.value - 1) < 6.0
    assert found.low == 1.0


def test_solutions_stay_within_the_span() -> None:
    share = "memories.main.sustained_fraction"
    found = pm.solve("llama_3_8b", "jetson_agx_orin", share, "tokens_per_s >= 1e5")
    assert not found.feasible
    assert found.high == 1.0
    node = pm.solve(
        "tinyllama_1_1b", "galaxy_s24", "energy.node", "energy_j <= 1 nJ", precision="w8a8"
    )
    assert (node.low, node.high) == (2e-9, 180e-9)


def test_intervals_stay_within_the_span(load: Load, spec: str, bare: Runtime) -> None:
    """A guessed speed-up of 1.2 by 60 % either way must not slow down."""
    text = spec.replace('"2:4": 2.0', '"2:4": 1.2').replace(
        "confidence: datasheet\nengines", "confidence: estimated\nengines"
    )
    machine = Machine(load(text), bare)
    found = pm.predict("resnet18", machine, precision="fp16")
    span = found.interval("latency_s")
    assert span.low < found.latency_s < span.high
