"""Products of convolutions in panels: counts by running the loops, on rooflines their clocks."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.hardware.library import hardware, runtime
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.testing.results import check_explanation
from perfmodel.workload.convolution_panels import EXTENTS, Panels
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.library import find
from perfmodel.workload.lower import lower
from perfmodel.workload.symbols import symbol
from perfmodel.workload.workload import Workload
from tests.draws import draws

HEAD = "runtime.kernels.conv."
FIELDS = ("pack_clocks", "copy_clocks", "strided_clocks", "row_clocks", "store_clocks")


def convolution(
    rows: int, columns: int, ins: int, outs: int, kernel: int, stride: int, groups: int = 1
) -> Workload:
    """Return a convolution, padded by half of its kernel; its rows are free where they are 0."""

    def build(semantics: ExecutionSemantics) -> Graph:
        del semantics
        g = ImageBuilder("convolution")
        x = g.input("x", (symbol("batch"), ins, rows or symbol("rows"), columns))
        y = g.conv(x, outs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
        g.output(y)
        return g.build()

    return Workload("convolution", build, {"batch": 1.0})


def run_loops(
    rows: int, columns: int, ins: int, outs: int, kernel: int, stride: int, panels: Panels
) -> dict[str, int]:
    """Return what the loops do, one step at a time: padded images, as the builder has them."""
    down, across = -(-rows // stride), -(-columns // stride)
    done = dict.fromkeys((*EXTENTS, "macs"), 0)
    taps = list(product(range(ins), range(kernel), range(kernel)))
    for _ in taps:
        if kernel > 1 or stride > 1:
            for _ in range(down):
                done["unfolded_rows"] += 1
                for _ in range(across):
                    done["unfolded" if stride == 1 else "strided"] += 1
    for start in range(0, down * across, panels.columns):
        done["packed"] += len(taps) * panels.columns
        done["macs"] += len(taps) * panels.columns * outs
        for _ in range(start, min(start + panels.columns, down * across)):
            for _ in range(outs):
                done["stored"] += len(range(0, len(taps), panels.depth)) + 1
    return done


SHAPES = st.tuples(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from([1, 3]),
    st.integers(1, 2),
)


@given(SHAPES, st.integers(1, 8), st.integers(1, 12), st.integers(1, 3))
@settings(deadline=None, max_examples=draws(60))
def test_counts_are_those_of_the_loops(
    shape: tuple[int, int, int, int, int, int], columns: int, depth: int, batch: int
) -> None:
    panels = Panels(columns, depth)
    graph = convolution(*shape).graph(ExecutionSemantics())
    table = lower(graph, FusionRules(panels=panels)).bind({"batch": float(batch)})
    wanted = run_loops(*shape, panels)
    assert table.executed_macs[0, 0] == batch * wanted.pop("macs")
    for name, count in wanted.items():
        found = table.extents[name][0, 0] if name in table.extents else 0
        assert found == batch * count, name


def test_nothing_is_padded_in_the_relaxed_form() -> None:
    graph = convolution(0, 4, 64, 64, 3, 1).graph(ExecutionSemantics())
    lowered = lower(graph, FusionRules(panels=Panels(16, 128)))
    numbers = {"batch": 1.0, "rows": 13.0}
    exact, relaxed = (lowered.bind(numbers, relaxed=way) for way in (False, True))
    assert exact.executed_macs[0, 0] == pytest.approx(exact.macs[0, 0] * 64 / 52, rel=1e-12)
    assert relaxed.executed_macs[0, 0] == pytest.approx(exact.macs[0, 0], rel=1e-12)


def test_groups_are_left_alone() -> None:
    graph = convolution(5, 5, 8, 8, 3, 1, groups=8).graph(ExecutionSemantics())
    table = lower(graph, FusionRules(panels=Panels(16, 128))).bind({"batch": 1.0})
    assert table.executed_macs is None
    assert not table.extents


def core() -> Machine:
    return hardware("raspberry_pi_5_core").machine("onnxruntime_arm")


def test_time_and_energy_are_those_of_the_clocks() -> None:
    """A convolution bound by arithmetic: each constant adds its count over the clock."""
    machine = core()
    work = convolution(13, 4, 64, 64, 3, 1)
    none = machine.vary({HEAD + name: 0.0 for name in FIELDS})
    counts = run_loops(13, 4, 64, 64, 3, 1, Panels(8, 128))
    bare = predict(work, none, precision="fp32", warm=True)
    product_s = (
        2
        * counts["macs"]
        / (machine.facts["engines.cpu.peaks.fp32"] * machine.facts["runtime.efficiency.conv"])
    )
    assert bare.latency_s == pytest.approx(product_s, rel=1e-9)
    names = dict(
        zip(("packed", "unfolded", "strided", "unfolded_rows", "stored"), FIELDS, strict=True)
    )
    for count, field in names.items():
        one = predict(work, none.vary({HEAD + field: 2.0}), precision="fp32", warm=True)
        seconds = 2.0 * counts[count] / machine.facts["engines.cpu.clock"]
        assert one.latency_s - bare.latency_s == pytest.approx(seconds, rel=1e-6, abs=1e-15)
        moved = 2.0 * counts[count] * machine.facts["engines.cpu.move_energy"]
        static = seconds * machine.facts["power.idle"]
        assert one.energy_j - bare.energy_j == pytest.approx(moved + static, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("columns", [1, 3, 4, 8, 13, 16])
def test_a_padded_image_takes_the_product_of_a_full_one(columns: int) -> None:
    machine = core().vary({HEAD + name: 0.0 for name in FIELDS})
    found, full = (
        predict(convolution(1, n, 64, 64, 3, 1), machine, precision="fp32", warm=True).latency_s
        for n in (columns, -(-columns // 8) * 8)
    )
    assert found == pytest.approx(full, rel=1e-9)


def test_the_bare_roofline_knows_no_panels() -> None:
    work = convolution(13, 4, 64, 64, 3, 1)
    found = predict(work, core(), precision="fp32", model="roofline")
    ideal = predict(
        work, hardware("raspberry_pi_5_core"), runtime="ideal", precision="fp32", model="roofline"
    )
    assert found.latency_s == pytest.approx(ideal.latency_s, rel=1e-12)


def test_other_runtimes_know_none_either() -> None:
    assert runtime("litert").kernels.get("conv") is None
    found = predict(
        convolution(13, 4, 64, 64, 3, 1),
        hardware("raspberry_pi_5_core"),
        runtime="litert",
        precision="fp32",
    )
    assert "panels" not in found.explain()


class TestPanelsOnARoofline(KindConformance):
    """The kit, on a machine whose runtime states panels."""

    def precision(self) -> str | None:
        return "fp32"

    def _machine(self) -> Machine:
        return core()

    def workloads(self) -> list[Workload]:
        return [find("resnet18", {}), convolution(13, 4, 64, 64, 3, 1)]


def test_the_explanation_shows_the_clocks() -> None:
    found = predict(convolution(13, 4, 64, 64, 3, 1), core(), precision="fp32")
    text = found.explain()
    check_explanation(text, found.latency_s)
    assert "panels" in text


def test_batches_on_many_points_are_singles() -> None:
    work = convolution(13, 4, 16, 24, 3, 2)
    clocks = np.array([0.0, 1.0, 12.5])
    machine = core()
    many = predict(work, machine.vary({HEAD + "row_clocks": clocks}), precision="fp32").latency_s
    for i, value in enumerate(clocks.tolist()):
        one = predict(work, machine.vary({HEAD + "row_clocks": value}), precision="fp32").latency_s
        assert many[i] == pytest.approx(one, rel=1e-12)
