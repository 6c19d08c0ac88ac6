"""Streaming kernels through ``predict``, and the caches that know of them."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.kinds.cache import Cache, cycles_per_line

CORES = (
    "xeon_gold_6148_core",
    "xeon_gold_6248_core",
    "xeon_platinum_8360y_core",
    "epyc_7452_core",
    "epyc_7543_core",
    "zen4_core",
)


@pytest.mark.parametrize("device", CORES)
@pytest.mark.parametrize(
    ("workload", "kernel", "arrays"),
    [("schoenauer_triad", "triad", 4), ("ddot", "ddot", 2), ("daxpy", "daxpy", 2)],
)
def test_predict_gives_the_clocks_of_the_model(
    device: str, workload: str, kernel: str, arrays: int
) -> None:
    elements = np.array([200.0, 1e4, 2e5, 1e8])
    spec = pm.hardware(device)
    found = pm.predict(pm.workload(workload, elements=elements), spec, runtime="ideal")
    clocks = cycles_per_line(kernel, spec, elements * 8.0 * arrays)
    seconds = clocks * elements / 8.0 / spec.machine("ideal").facts["engines.cpu.clock"]
    assert found.latency_s == pytest.approx(seconds, rel=1e-12)
    assert np.all(np.diff(clocks) > 0)
    single = pm.predict(pm.workload(workload, elements=2e5), spec, runtime="ideal")
    assert single.latency_s == pytest.approx(found.latency_s[2], rel=1e-12)
    per_line = single.table.to_pandas()["cycles_per_line"].iloc[0]
    assert per_line == pytest.approx(clocks[2])


@pytest.mark.parametrize("runtime", ["ideal", "onnxruntime_cpu"])
def test_kinds_of_engine_and_runtimes_agree_on_the_loop(runtime: str) -> None:
    """A runtime adds its dispatch, no kind of engine changes the clocks of a line."""
    spec = pm.hardware("zen4_core")
    found = pm.predict(pm.workload("ddot", elements=1e6), spec, runtime=runtime)
    per_line = found.table.to_pandas()["cycles_per_line"].iloc[0]
    assert per_line == pytest.approx(float(cycles_per_line("ddot", spec, 16e6)), rel=1e-12)
    loop = per_line * 1e6 / 8.0 / 3.69e9
    assert loop <= found.latency_s <= loop + 20e-6
    expression, number = found.explain().split("row_s = ")[1].splitlines()[0].split(" = ")
    assert eval(expression) == pytest.approx(float(number), rel=1e-8)


def test_cores_add_until_the_memory_is_busy() -> None:
    """``min(n, T / T_mem)``, the scaling law of the model, with a socket's bandwidth."""
    machine = pm.hardware("xeon_gold_6148_core").machine("ideal")
    cores = np.array([1.0, 2.0, 4.0, 10.0, 20.0])
    work = pm.workload("stream_load", elements=4e8)
    many = machine.vary({"engines.cpu.units": cores, "memories.dram.bandwidth": 110e9})
    found = pm.predict(work, many).latency_s
    assert found[0] == pytest.approx(pm.predict(work, machine).latency_s)
    shared = 4e8 * 8 / 110e9
    assert found == pytest.approx(np.maximum(found[0] / cores, np.where(cores > 1, shared, 0.0)))
    assert found[0] / found[-1] == pytest.approx(found[0] / shared)
    single = machine.vary({"engines.cpu.units": 4.0, "memories.dram.bandwidth": 110e9})
    assert pm.predict(work, single).latency_s == pytest.approx(found[2])


def test_a_stencil_breaks_its_layer_condition() -> None:
    """Eighteen rows that grow: three of them leave the first cache at 1,365 columns."""
    spec = pm.hardware("zen4_core")
    columns = np.array([512.0, 4096.0])
    found = pm.predict(
        pm.workload("jacobi_2d_5pt", rows=18, columns=columns), spec, runtime="ideal"
    )
    lines = found.traffic_bytes["l2"] / (16 * (columns - 2) * 8)
    # Grid, written grid read and written back; then two more rows of the grid each line.
    assert lines == pytest.approx([3.0, 5.0], abs=0.1)


@pytest.mark.parametrize(
    ("path", "factor"),
    [
        ("engines.cpu.clock", 2.0),
        ("memories.l1.line_in", 0.5),
        ("memories.l2.line_in", 0.5),
        ("memories.l3.line_in_time", 0.5),
        ("memories.l1.loads_per_clock", 2.0),
        ("memories.l1.overlap_exponent", 2.0),
        ("memories.l2.edge_centre", 2.0),
    ],
)
def test_a_better_machine_is_never_slower(path: str, factor: float) -> None:
    machine = pm.hardware("xeon_gold_6148_core").machine("ideal")
    better = machine.vary({path: machine.facts[path] * factor}) if path in machine.facts else None
    if better is None:
        better = machine.vary({path: 4e6})
    work = pm.workload("schoenauer_triad", elements=np.geomspace(100, 1e8, 20))
    before, after = (pm.predict(work, m).latency_s for m in (machine, better))
    assert np.all(after <= before * (1 + 1e-9))


def test_rows_of_other_classes_keep_their_times() -> None:
    network = pm.workload("resnet18")
    spec = pm.hardware("zen4_core")
    plain = {"memories.l1.loads_per_clock": 2.0}
    before = pm.predict(network, spec)
    after = pm.predict(network, spec.machine(spec.default_runtime).vary(plain))
    assert before.latency_s == pytest.approx(after.latency_s, rel=1e-12)
    assert "cycles_per_line" not in before.table.to_pandas().columns


def test_the_bare_roofline_knows_main_memory_alone() -> None:
    work = pm.workload("stream_copy", elements=1000)
    found = pm.predict(work, pm.hardware("zen4_core"), model="roofline", runtime="ideal")
    assert found.latency_s == pytest.approx(16e3 / 32e9)


def test_caches_without_ports_are_what_they_were() -> None:
    memory = pm.hardware("rtx_4090").memories[0]
    assert isinstance(memory, Cache)
    assert memory.loads_per_clock is None
    with pytest.raises(InputError, match="states no load ports"):
        cycles_per_line("copy", pm.hardware("pixel_6a_core"), 1e4)


def test_a_kernel_that_nobody_knows_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="daxpi"):
        cycles_per_line("daxpi", pm.hardware("zen4_core"), 1e4)


@pytest.mark.parametrize("device", CORES)
@pytest.mark.parametrize("workload", ["schoenauer_triad", "jacobi_2d_5pt", "jacobi_3d_7pt"])
def test_the_explanation_evaluates_to_the_time(device: str, workload: str) -> None:
    found = pm.predict(pm.workload(workload), pm.hardware(device), runtime="ideal")
    (line,) = [text for text in found.explain().splitlines() if "row_s = " in text]
    _, expression, number = line.split(" = ")
    assert eval(expression) == pytest.approx(float(number), rel=1e-8)
    assert float(number) == pytest.approx(found.latency_s, rel=1e-8)


@pytest.mark.parametrize("device", ["zen4_core", "h100"])
@pytest.mark.parametrize(("planes", "rows"), [(1.0, 100.0), (2.0, 100.0), (1.0, 1.0)])
def test_a_grid_that_is_all_rim_moves_nothing(device: str, planes: float, rows: float) -> None:
    work = pm.workload("jacobi_3d_7pt", planes=planes, rows=rows, columns=100000)
    table = pm.predict(work, device).table.to_pandas()
    for column in table.columns:
        if column.endswith(("_bytes", "_s")) or column == "vector_ops":
            assert np.all(table[column] >= 0.0), column
    assert table["vector_ops"].iloc[0] == 0.0
