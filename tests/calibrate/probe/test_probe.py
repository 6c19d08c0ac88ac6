"""A machine whose facts are known, probed: the spec has them."""

from dataclasses import replace
from pathlib import Path

import pytest

import perfmodel as pm
from perfmodel.calibrate.probe import device_of, differences, probe, runtime_of
from perfmodel.calibrate.probe.dispatch import Dispatch
from perfmodel.calibrate.probe.facts import HostFacts
from perfmodel.calibrate.probe.measure import Figure, Measure, MeterError, measure_all
from perfmodel.calibrate.probe.nearest import nearest_device
from perfmodel.calibrate.probe.plan import plan_of
from perfmodel.errors import InputError
from perfmodel.hardware.grade import grade
from perfmodel.hardware.library import check, hardware, runtime
from tests.calibrate.probe.known_machine import (
    IDENTITY,
    KIB,
    MIB,
    FakeMeter,
    Machine,
    Ticks,
    kernels,
)


def probed(meter: FakeMeter, cores: int = 1) -> HostFacts:
    return probe(1000.0, cores, meter=meter, identity=IDENTITY, clock=Ticks())


def test_the_spec_has_the_facts_of_the_machine(meter: FakeMeter, machine: Machine) -> None:
    device = device_of(probed(meter))
    engine = device.engine().model_dump()
    assert engine["kind"] == "simd"
    value = {
        name: entry["value"]
        for name, entry in engine.items()
        if isinstance(entry, dict) and "value" in entry
    }
    assert value["clock"] == machine.clock_hz
    assert value["vector"] == 32
    assert value["fma_per_clock"] == machine.fma_per_clock
    assert value["fma_latency"] == machine.fma_latency
    assert (value["loads_per_clock"], value["stores_per_clock"]) == (2, 1)
    assert engine["peaks"]["fp32"]["value"] == pytest.approx(96e9)
    assert engine["peaks"]["int8"]["value"] == pytest.approx(192e9)
    assert engine["vector_peaks"]["fp32"]["value"] == pytest.approx(48e9)
    memories = {m.name: m for m in device.memories}
    assert memories["l2"].bandwidth.value == machine.l2
    assert memories["l3"].bandwidth.value == machine.l3
    assert memories["dram"].bandwidth.value == machine.dram
    for level, memory in enumerate(device.memories, 1):
        assert memory.latency is not None
        assert memory.latency.value == pytest.approx(machine.latencies[level], rel=1e-3)
    assert memories["l3"].ramp_start is not None
    assert memories["l3"].ramp_end is not None
    assert memories["l3"].ramp_start.value == pytest.approx(machine.ramp[0], rel=0.01)
    assert memories["l3"].ramp_end.value == pytest.approx(machine.ramp[1], rel=0.01)
    assert memories["l2"].ramp_start is None
    assert memories["dram"].capacity.value == IDENTITY.memory_bytes


def test_levels_are_ordered_and_no_slower_nearer(meter: FakeMeter) -> None:
    facts = probed(meter)
    sizes = [level.size_bytes for level in facts.levels]
    rates = [level.bandwidth.best for level in facts.levels if level.bandwidth]
    assert sizes == sorted(sizes)
    assert rates == sorted(rates, reverse=True)
    for level, following in zip(facts.levels, facts.levels[1:], strict=False):
        assert level.cache is not None
        assert level.size_bytes <= level.cache.size_bytes < following.size_bytes


def test_a_probe_is_deterministic(machine: Machine) -> None:
    first, second = (
        device_of(probed(FakeMeter(machine, kernels(128, 256)))).to_yaml() for _ in range(2)
    )
    assert first == second


def test_the_written_spec_is_accepted_and_predicts(meter: FakeMeter, tmp_path: Path) -> None:
    path = tmp_path / "host.yaml"
    device = device_of(probed(meter), year=2026)
    path.write_text(device.to_yaml())
    assert check(path) == device
    assert grade(device).letter == "A"
    p = pm.predict(pm.workload("resnet18"), pm.hardware(path))
    work = 2 * 1.8e9 / 96e9
    assert work < p.latency_s < 4 * work


@pytest.mark.parametrize("cores", [2, 4])
def test_several_cores(meter: FakeMeter, machine: Machine, cores: int) -> None:
    device = device_of(probed(meter, cores))
    assert device.engine().units.value == cores
    assert device.engine().clock is not None
    assert device.engine().clock.value == machine.clock_hz
    assert device.engine().peaks["fp32"].value == pytest.approx(96e9 * cores)
    memories = {m.name: m for m in device.memories}
    assert memories["l1"].capacity.value == 32 * KIB * cores
    assert memories["l3"].capacity.value == 16 * MIB
    assert memories["dram"].unit_bandwidth is not None
    assert memories["dram"].unit_bandwidth.value <= memories["dram"].bandwidth.value


def test_wider_vectors_that_multiply_no_faster_are_still_the_vectors(machine: Machine) -> None:
    class Halved(Machine):
        def rate(self, measure: Measure) -> float:
            rate = super().rate(measure)
            return rate / 2 if measure.kernel == "fma_512" else rate

    found = probe(
        10.0,
        meter=FakeMeter(Halved(width=512), kernels(128, 256, 512)),
        identity=IDENTITY,
        clock=Ticks(),
    )
    assert found.best_width == 512
    assert device_of(found).engine().model_dump()["fma_per_clock"]["value"] == 1.0


def test_without_a_compiler_it_is_a_roofline(machine: Machine) -> None:
    class Coarse(FakeMeter):
        def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
            if measure.kernel == "product":
                return [80e9] * trials
            return super().run(measure, trials, seconds)

    meter = Coarse(machine, frozenset({"product", "copy", "triad"}))
    facts = probed(meter)
    device = device_of(facts)
    assert device.engine().kind == "roofline"
    assert [m.name for m in device.memories] == ["l2", "l3", "dram"]
    assert device.engine().peaks["fp32"].value == 80e9
    assert "floor" in (device.engine().peaks["fp32"].note or "")
    assert pm.predict(pm.workload("resnet18"), device).latency_s > 0


def test_without_caches_there_is_main_memory_alone(meter: FakeMeter) -> None:
    bare = replace(IDENTITY, caches=(), cores=None, memory_bytes=None, notes=("no caches",))
    device = device_of(probe(10.0, meter=meter, identity=bare, clock=Ticks()))
    assert [m.name for m in device.memories] == ["dram"]
    assert device.memories[0].capacity.confidence == "estimated"
    assert "No caches." in (device.note or "")


def test_kernels_that_fail_are_left_out_and_said(machine: Machine) -> None:
    class Failing(FakeMeter):
        def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
            if measure.kernel.startswith(("chase", "triad")):
                raise MeterError("it broke")
            return super().run(measure, trials, seconds)

    facts = probed(Failing(machine, kernels(128, 256)))
    device = device_of(facts)
    assert all(m.latency is None for m in device.memories)
    assert any("it broke" in note for note in facts.notes)
    assert pm.predict(pm.workload("resnet18"), device).latency_s > 0


def test_nothing_measured_is_a_fault(machine: Machine) -> None:
    class Broken(FakeMeter):
        def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
            raise MeterError("it broke")

    facts = probed(Broken(machine, kernels(256)))
    with pytest.raises(InputError, match="it broke"):
        device_of(facts)


def test_a_busy_machine_is_said(machine: Machine) -> None:
    class Disturbed(FakeMeter):
        def run(self, measure: Measure, trials: int, seconds: float) -> list[float]:
            rates = super().run(measure, trials, seconds)
            return rates[:1] + [rate / 2 for rate in rates[1:]]

    meter = Disturbed(machine, kernels(128, 256))
    device = device_of(probed(meter))
    assert device.memories[-1].bandwidth.value == machine.dram
    assert "machine was busy" in (device.note or "")


def test_rounds_fit_the_budget(meter: FakeMeter) -> None:
    measures = plan_of(IDENTITY, meter.kernels, 1).measures()
    # A look at the clock at the start, one before and one after each round, one to decide.
    outcome = measure_all(measures, meter, 20.0, Ticks())
    assert outcome.rounds == len(meter.asked) / len(measures)
    assert 1 < outcome.rounds <= 20
    assert measure_all(measures, meter, 1e-3, Ticks()).rounds == 1
    assert all(isinstance(f, Figure) and f.median <= f.best for f in outcome.figures.values())


def test_the_nearest_device_and_what_differs() -> None:
    known = hardware("raspberry_pi_5_core")
    found = nearest_device(known)
    assert found is not None
    assert found.name == "raspberry_pi_5_core"
    memories = [m.model_dump(exclude_unset=True) for m in known.memories]
    memories[-1]["sustained_bandwidth"] = {"value": 4.8e9, "source": "tinymembench"}
    slower = type(known).model_validate(
        known.model_dump(exclude_unset=True) | {"memories": memories}
    )
    table = differences(known, slower)
    assert list(table["fact"]) == ["memories.main.sustained_fraction"]
    assert table["ratio"][0] == pytest.approx(0.5)
    assert list(table["differs"]) == [True]


def test_the_runtime_takes_the_dispatch_of_the_host(meter: FakeMeter, tmp_path: Path) -> None:
    facts = replace(probed(meter), dispatch=Dispatch("1.99", 3e-7, 6e-6, 2e-7, 7e-7))
    base = runtime("onnxruntime_cpu")
    found = runtime_of(facts, "here", base)
    assert (found.per_operator.value, found.per_run.value) == (3e-7, 6e-6)
    assert found.per_subgraph.value == 7e-7
    assert found.efficiency == base.efficiency
    path = tmp_path / "here.yaml"
    path.write_text(found.to_yaml())
    assert check(path) == found
    device = device_of(facts)
    assert "onnxruntime 1.99" in (device.note or "")
    slow = pm.predict(pm.workload("resnet18"), device, runtime=found.name and runtime(path))
    assert slow.latency_s > 0
