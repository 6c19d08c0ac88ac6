"""Whether intervals from residuals of measured rows hold what they promise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

import perfmodel as pm
from perfmodel.evidence import (
    Evidence,
    Subject,
    coverage,
    gathered,
    library_evidence,
    read_evidence,
    scatter,
    spread,
    stretched,
)
from perfmodel.evidence.interval_coverage import scored_devices
from perfmodel.hardware.library import names
from perfmodel.hardware.technology.power_classes import unmeasured_factor
from perfmodel.package_data import data_root

#: Scatter of the devices of a made-up population, and of the rows of a device.
BETWEEN, WITHIN = 0.2, 0.1


def test_the_file_of_evidence_is_what_is_written_of_it() -> None:
    file = data_root() / "evidence.yaml"
    assert read_evidence(file).to_yaml() == file.read_text(encoding="utf-8")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    entry = content["time"]["frames"]["ncnn"]["cortex_a72"]
    device = read_evidence(file).classes["time", "frames"]["ncnn"]["cortex_a72"]
    assert device.rows == entry["rows"]
    assert device.residuals["as_is"] == pytest.approx(
        [int(word) / 1000 for word in entry["as_is"].split()], abs=1e-12
    )


def population(seed: int, *, runtimes: int = 3, devices: int = 12, rows: int = 30) -> Evidence:
    """Return evidence of devices whose residuals scatter about a mean of their own."""
    draw = np.random.default_rng(seed)
    rows_of = [
        (Subject(f"runtime_{r}", f"device_{r}_{d}", "frames"), "as_is", float(residual))
        for r in range(runtimes)
        for d in range(devices)
        for residual in draw.normal(draw.normal(0.0, BETWEEN), WITHIN, rows)
    ]
    return gathered(rows_of)


def test_intervals_of_known_residuals_hold_what_they_promise() -> None:
    """Over made-up populations the shares inside are the nominal ones."""
    each = [coverage(population(seed))[0] for seed in range(30)]
    assert np.mean([one.half for one in each]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([one.most for one in each]) == pytest.approx(0.9, abs=0.04)


def test_the_width_is_that_of_the_residuals() -> None:
    """The ends are quantiles: those of the scatter of all rows of many devices."""
    known = population(1, runtimes=1, devices=400, rows=20)
    one = spread(known, Subject("runtime_0", "new", "frames"), "measured")
    assert one is not None
    low, high = np.log(one.factors(0.9))
    expected = 1.645 * np.hypot(BETWEEN, WITHIN)
    assert (low, high) == pytest.approx((-expected, expected), rel=0.12)


def test_a_wider_level_holds_a_narrower_one() -> None:
    """Residuals of both signs and one size, whose stretches are 1.2 at 50 % and 0.9 at 90 %."""
    rows = [
        (Subject("runtime", f"device_{d}", "frames"), "as_is", sign * 0.12)
        for d in range(4)
        for sign in (-1.0, 1.0)
    ]
    one = spread(gathered(rows), Subject("runtime", "device_0", "frames"), "measured")
    assert one is not None
    for stretch in ((1.2, 0.9), (0.9, 1.2)):
        stretched_one = one._replace(stretch=stretch)
        (low, high), (lowest, highest) = (stretched_one.factors(level) for level in (0.5, 0.9))
        assert lowest <= low < high <= highest, stretch


def test_few_devices_are_wider_than_many() -> None:
    few, many = (population(4, runtimes=1, devices=n) for n in (2, 200))
    subject = Subject("runtime_0", "new", "frames")
    ends = [spread(known, subject, "measured") for known in (few, many)]
    assert ends[0] is not None
    assert ends[1] is not None
    assert ends[0].draws < ends[1].draws


def test_what_is_transferred_is_never_narrower_than_what_was_measured() -> None:
    """Constants fitted without a device leave little on devices that are alike."""
    rows = [
        (Subject("runtime", f"device_{d}", "frames"), way, place * size)
        for d in range(8)
        for way, size in (("as_is", 0.3), ("left_out", 0.01))
        for place in (-1.0, 0.0, 1.0)
    ]
    known, subject = gathered(rows), Subject("runtime", "new", "frames")
    measured, transferred = (spread(known, subject, basis) for basis in ("measured", "transferred"))
    assert measured is not None
    assert transferred is not None
    assert transferred.factors(0.9) == pytest.approx(measured.factors(0.9), rel=1e-9)
    assert transferred.factors(0.9)[1] > 1.3


def test_rows_without_their_network_come_before_rows_as_they_are() -> None:
    subject = Subject("runtime", "device", "frames")
    rows = [(subject, way, size) for way, size in (("as_is", 0.0), ("rows_left_out", 0.5))]
    one = spread(gathered(rows), subject, "measured")
    assert one is not None
    assert one.residuals.tolist() == [0.5] * len(one.residuals)


@pytest.mark.parametrize("device", ["h100", "apple_m2", "raspberry_pi_5", "stm32h743", "tpu_v1"])
@pytest.mark.parametrize("network", ["resnet50", "tinyllama"])
def test_no_assumed_interval_promises_more_than_any_software_can_do(
    device: str, network: str
) -> None:
    workload = pm.workload(network, batch=np.array([1.0, 16.0]))
    bound = pm.predict(workload, device, runtime="ideal")
    for runtime in ("generic", None):
        found = pm.predict(workload, device, runtime=runtime)
        if found.basis == "assumed":
            low = found.interval().low
            assert np.all(low >= np.minimum(bound.latency_s, found.latency_s) * (1 - 1e-9))


def test_memory_has_intervals_of_its_own() -> None:
    rows = [(Subject("runtime", "device", "frames", "process_memory"), "as_is", 0.2)]
    assert spread(gathered(rows), Subject("runtime", "device", "frames"), "measured") is None
    with pytest.raises(pm.InputError, match="process_bytes"):
        pm.predict("resnet50", "rtx_4090").interval("macs")


def test_one_device_tells_no_bias_of_another() -> None:
    """That of several is the one that they have; of one, a factor of 2 is taken instead."""
    subject = Subject("runtime_0", "new", "frames")
    one, many = (
        scatter(population(4, runtimes=1, devices=n), subject, "measured") for n in (1, 200)
    )
    assert one.bias == np.log(2.0)
    assert many.bias == pytest.approx(BETWEEN, rel=0.2)
    assert (one.noise, many.noise) == (pytest.approx(WITHIN, rel=0.3),) * 2
    # A fitted runtime beside others: its only device says as little.
    fitted = [(Subject("fitted", "mine", "frames"), "as_is", 0.001 * i) for i in range(-9, 10)]
    others = [
        (Subject(f"runtime_{r}", "other", "frames"), "as_is", 0.1 * r + 0.01 * i)
        for r in range(3)
        for i in range(9)
    ]
    beside = scatter(gathered(fitted + others), Subject("fitted", "mine", "frames"), "measured")
    assert beside.bias == np.log(2.0)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_stretched_widths_hold_what_they_promise_where_runtimes_differ(level: float) -> None:
    """Runtimes that scatter differently are pooled: plain widths hold too many rows, or too few."""
    draw = np.random.default_rng(8)
    known = gathered(
        (Subject(f"runtime_{r}", f"device_{r}_{d}", "frames"), "as_is", float(residual))
        for r, scatter in enumerate((0.02, 0.1, 1.0, 0.05))
        for d in range(16)
        for residual in draw.normal(draw.normal(0.0, scatter), 0.3 * scatter, 30)
    )
    ((_, devices),) = scored_devices(known, lambda name: ())
    stretch = stretched(known, lambda name: ()).stretches["time", "frames", "measured"]
    at = (0.5, 0.9).index(level)
    scores = np.concatenate([one.scores[at] for one in devices])
    # 64 devices beside three without a stretch.
    quantile = stretch[at] ** (67 / 64)
    assert np.mean(scores <= quantile) == pytest.approx(level, abs=0.01)
    (one,) = [one for one in coverage(known) if not one.part]
    assert (one.half if level == 0.5 else one.most) == pytest.approx(level, abs=0.03)


def test_a_device_is_absent_from_the_width_that_it_is_held_against() -> None:
    subject = Subject("runtime_0", "device_0_0", "frames")
    base = population(2)
    ways = [(s, "as_is", 9.0) for s in [subject] * 30]
    far = Evidence({**base.classes})
    odd = gathered(ways).classes["time", "frames"]["runtime_0"]
    classes = {r: dict(d) for r, d in base.classes["time", "frames"].items()}
    classes["runtime_0"]["device_0_0"] = odd["device_0_0"]
    far = Evidence({("time", "frames"): classes})
    held = [spread(e, subject, "measured", without="device_0_0") for e in (base, far)]
    assert held[0] is not None
    assert held[1] is not None
    assert held[0].factors(0.9) == held[1].factors(0.9)


def test_the_bias_of_one_other_device_may_have_either_sign() -> None:
    rows = [(Subject("r", "measured", "frames"), "as_is", 0.1 + i / 100) for i in range(10)]
    known = gathered(rows)
    own = spread(known, Subject("r", "measured", "frames"), "measured")
    other = spread(known, Subject("r", "next", "frames"), "measured")
    assert own is not None
    assert other is not None
    assert own.ends(0.9)[0] > 0.0
    low, _, high = other.ends(0.9)
    assert low == pytest.approx(-high, rel=0.1)


@pytest.mark.parametrize(("quantity", "wide"), [("class_power", True), ("power", False)])
def test_an_interval_is_no_narrower_than_the_meter_reads(quantity: str, wide: bool) -> None:
    rows = [(Subject("r", f"device_{i}", "runs", quantity), "as_is", 0.0) for i in range(9)]
    known = gathered(rows)
    one = spread(known, Subject("r", "next", "runs", quantity), "measured")
    assert one is not None
    low, high = one.factors(0.9)
    assert high / low == pytest.approx(np.exp(0.09) if wide else 1.0)


def energies(quantity: str, scale: float, count: int = 400) -> list[tuple[Subject, str, float]]:
    """Return residuals of devices left out, normal with a standard deviation."""
    drawn = np.random.default_rng(len(quantity)).normal(0.0, scale, (count, 10))
    return [
        (Subject("r", f"device_{i}", "frames", quantity), "left_out", residual)
        for i, row in enumerate(drawn.tolist())
        for residual in row
    ]


def test_an_energy_that_nobody_measured_is_as_wide_as_its_time_times_its_power() -> None:
    """Variances of logarithms of independent factors add up: 0.3^2 + 0.4^2 = 0.5^2."""
    known = gathered([*energies("time", 0.3), *energies("class_power", 0.4)])
    one = spread(known, Subject("r", "next", "frames", "class_energy"), "transferred")
    assert one is not None
    for level, deviations in ((0.5, 0.6745), (0.9, 1.6449)):
        low, middle, high = one.ends(level)
        assert (low, middle, high) == pytest.approx(
            (-0.5 * deviations, 0.0, 0.5 * deviations), abs=0.05
        )
    # A factor of e up or down for nine in ten has a standard deviation of 1 / 1.6449.
    both = math.hypot(0.5, 1.0 / 1.6449)
    assert one.beside(np.e).ends(0.9)[2] == pytest.approx(1.6449 * both, abs=0.05)
    assert one.beside(np.e).ends(0.5)[2] == pytest.approx(0.6745 * both, abs=0.05)


@pytest.mark.parametrize("runtime", ["vllm", "llama_cpp_cuda"])
def test_the_energy_of_known_software_is_as_sure_as_its_time(runtime: str) -> None:
    """Under vLLM, rows of servers stand for the time of one sequence, and for its energy."""
    p = pm.predict("llama_3_8b", "rtx_4090", runtime=runtime, set={"phase": "decode"})
    within = {metric: p.interval(metric) for metric in ("latency_s", "energy_j")}
    assert within["latency_s"].basis in ("measured", "transferred")
    subject = Subject(runtime, "rtx_4090", "tokens/decode", "class_power")
    power = spread(library_evidence(), subject, "transferred")
    assert power is not None
    low, _, high = power.ends(0.9)
    time = math.log(within["latency_s"].high / within["latency_s"].low) / 2.0
    energy = math.log(within["energy_j"].high / within["energy_j"].low) / 2.0
    assert energy == pytest.approx(math.hypot(time, (high - low) / 2.0, math.log(3.0)), rel=0.15)


@pytest.mark.parametrize(
    ("device", "factor"), [("h100", 1.0), ("rtx_4090", 3.0), ("raspberry_pi_5", 3.0)]
)
def test_powers_of_sorts_of_devices_that_nobody_measured_are_less_sure(
    device: str, factor: float
) -> None:
    spec = pm.hardware(device)
    assert unmeasured_factor(spec, spec.engine()) == factor


def test_a_device_with_many_rows_counts_as_one() -> None:
    rows = [(Subject("r", "many", "frames"), "as_is", 1.0)] * 3000
    rows += [(Subject("r", f"few_{i}", "frames"), "as_is", 0.0) for i in range(9)]
    one = spread(gathered(rows), Subject("r", "new", "frames"), "measured")
    assert one is not None
    assert one.factors(0.5) == (1.0, 1.0)


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    known = population(3)
    path = tmp_path / "evidence.yaml"
    path.write_text(known.to_yaml(), encoding="utf-8")
    again = read_evidence(path)
    assert again.to_yaml() == known.to_yaml()
    path.write_text("schema_version: 2\n", encoding="utf-8")
    with pytest.raises(pm.InputError, match="not a file of evidence"):
        read_evidence(path)


def test_the_library_has_evidence_of_its_own_devices_and_runtimes() -> None:
    path = data_root() / "evidence.yaml"
    assert path.stat().st_size < 200_000
    known = library_evidence()
    devices, runtimes = set(pm.hardware.list()), set(names("runtimes"))
    for by_runtime in known.classes.values():
        assert set(by_runtime) <= runtimes
        assert {device for of in by_runtime.values() for device in of} <= devices
        assert not any("bound" in pm.runtime(name).tags for name in by_runtime)


def test_intervals_hold_in_the_classes_that_have_rows() -> None:
    """Of measured and transferred classes most hold what they promise, and none is far off.

    Joules of served tokens by the power model of a class were measured on one GPU alone. Without
    it nothing but kernels says how far off they are, so that their intervals are too wide.
    """
    each = [
        one
        for one in coverage(library_evidence(), lambda name: pm.runtime(name).lineage)
        if not one.part and one.rows >= 50 and one.basis != "assumed"
    ]
    off = [one for one in each if one.most < 0.8 or not 0.35 <= one.half <= 0.65]
    assert len(each) >= 8
    assert sum(one.holds for one in each) >= 0.75 * len(each)
    assert [(one.quantity, one.workload_class) for one in off] == [
        ("class_energy", "served/decode")
    ]


@pytest.mark.parametrize("device", ["rtx_4090", "raspberry_pi_5", "jetson_agx_orin"])
def test_an_energy_without_rows_of_its_basis_has_an_interval_all_the_same(device: str) -> None:
    """Constants of a class were fitted without any device: nothing is known of a transfer."""
    p = pm.predict("llama_3_2_1b", device, precision="q4_0", set={"phase": "decode"})
    within = p.interval("energy_j")
    assert 0.0 < within.low <= within.value <= within.high < np.inf
