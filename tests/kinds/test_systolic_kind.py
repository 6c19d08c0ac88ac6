"""The systolic kind: the conformance kit, and a table against its folds, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from perfmodel.cost.tiled_traffic import tiled_traffic
from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.kinds.systolic import double_buffered, gemm, gemm_cycles
from perfmodel.kinds.systolic.folds import Dataflow
from perfmodel.predict import predict
from perfmodel.testing import KindConformance
from perfmodel.workload.library import find
from perfmodel.workload.plain_graph import FAMILY_LAYERS, LayersStructure
from perfmodel.workload.workload import from_family

FLOWS: list[Dataflow] = ["output_stationary", "weight_stationary", "input_stationary"]


def array(**changes: Any) -> Device:
    """Return a device of one array; changes are of its engine, ``memories`` of its memories."""
    sram: dict[str, Any] = {
        "name": "sram",
        "kind": "scratchpad",
        "capacity": 2.0**20,
        "bandwidth": 200e9,
        "feeds": ["array"],
    }
    dram: dict[str, Any] = {
        "name": "dram",
        "kind": "dram",
        "capacity": 64e9,
        "bandwidth": 10e9,
        "feeds": ["sram"],
        "energy_per_byte": 100e-12,
    }
    engine: dict[str, Any] = {
        "name": "array",
        "kind": "systolic",
        "clock": 1e9,
        "height": 32,
        "width": 32,
        "dataflow": "weight_stationary",
        "vector_peaks": {"int32": 64e9},
        "energy_per_op": {"int8": 0.2e-12},
    } | changes
    peak = 2.0 * engine["height"] * engine["width"] * engine.get("units", 1)
    peak *= engine["clock"] or 1e9
    engine.setdefault("peaks", {"int8": peak, "int16": peak / 4})
    return Device.model_validate(
        {
            "name": "array",
            "sources": {"none": "made up for a test"},
            "source": "none",
            "confidence": "estimated",
            "default_runtime": "ideal",
            "engines": [engine],
            "memories": [sram, dram],
        }
    )


class TestWeightStationary(KindConformance):
    def device(self) -> Device:
        return array(shadow_weights=True, hop_energy=0.1e-12)


class TestOutputStationary(KindConformance):
    def device(self) -> Device:
        return array(
            dataflow="output_stationary",
            overlap_folds=True,
            replicate_groups="side_by_side",
            units=4,
            kept_share=0.5,
        )


class TestBuffersOfTheirOwn(KindConformance):
    def device(self) -> Device:
        return array(
            weight_buffer=2.0**16,
            output_buffer=2.0**18,
            kept_share=0.75,
            overlap_folds=True,
            shadow_weights=True,
        )


class TestInputStationaryByFolds(KindConformance):
    def device(self) -> Device:
        return array(dataflow="input_stationary", far_traffic="folds", height=12, width=20)


class TestTpu(KindConformance):
    def device(self) -> Device:
        return hardware("tpu_v1")


class TestGemmini(KindConformance):
    def device(self) -> Device:
        return hardware("gemmini_16x16")


@pytest.mark.parametrize("dataflow", FLOWS)
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_rows_are_their_folds(name: str, dataflow: Dataflow) -> None:
    """Cycles and SRAM counts of every convolution, from its shape alone."""
    workload = find(name, {"batch": 3})
    found = predict(workload, array(dataflow=dataflow, replicate_groups="diagonal"))
    columns = found.table
    nests = found.opened[0].nests
    assert nests is not None
    for i, row in enumerate(nests.row.tolist()):
        assert list(nests.row).count(row) == 1
        number = {
            key: int(getattr(nests, key)[i, 0])
            for key in (
                "batch",
                "out_rows",
                "out_columns",
                "out_channels",
                "in_channels",
                "groups",
                "kernel_rows",
                "kernel_columns",
            )
        }
        run = gemm(
            number["batch"] * number["out_rows"] * number["out_columns"],
            number["out_channels"],
            number["in_channels"] * number["kernel_rows"] * number["kernel_columns"],
            rows=32,
            columns=32,
            dataflow=dataflow,
            groups=number["groups"],
            replication="diagonal",
        )
        assert columns["matrix_s"][row] == pytest.approx(int(run.cycles) / 1e9, rel=1e-12)
        for key, want in {
            "folds": run.folds,
            "cycles": run.cycles,
            "sram_input_reads": run.input_reads,
            "sram_weight_reads": run.weight_reads,
            "sram_output_writes": run.output_writes,
            "sram_output_reads": run.output_reads,
            "array_utilization": run.utilization,
        }.items():
            assert columns[key][row] == pytest.approx(float(want), rel=1e-12), key
        assert run.macs == columns["macs"][row]


def test_resnet18_cycles_with_real_padding() -> None:
    """The first convolution has 112 x 112 outputs; SCALE-Sim, without padding, 110 x 110."""
    table = predict(find("resnet18"), array()).table
    assert table["cycles"][0] == 10 * (112 * 112 + 94)
    assert gemm_cycles(110 * 110, 64, 147, rows=32, columns=32, dataflow="weight_stationary") == (
        121940
    )


def test_attention_experts_and_steps() -> None:
    """Heads are groups, masked pairs are skipped, a recurrent step waits for the one before."""
    found = predict(
        find("llama_3_8b", {"phase": "prefill", "batch": 2, "prompt": 64}),
        array(),
        precision="int8",
    )
    columns = found.table
    row = list(columns["kind"]).index("attention")
    skipped = columns["macs"][row] / (2 * 2 * 32 * 64 * 64 * 128)
    assert 0.5 < skipped < 0.52
    scores = gemm_cycles(
        4 * 64, 64, 128, rows=32, columns=32, dataflow="weight_stationary", groups=16
    )
    values = gemm_cycles(
        4 * 64, 128, 64, rows=32, columns=32, dataflow="weight_stationary", groups=16
    )
    assert columns["cycles"][row] == pytest.approx((scores + values) * skipped, rel=1e-12)
    layers = [{"op": "lstm", "hidden": 96, "name": "cell"}]
    data = {"inputs": {"x": [5, 30, 64]}, "layers": layers}
    model = from_family("net", FAMILY_LAYERS, LayersStructure.model_validate(data), {})
    steps = predict(model, array(), precision="int8").table
    step = gemm_cycles(5, 4 * 96, 64 + 96, rows=32, columns=32, dataflow="weight_stationary")
    assert steps["cycles"].sum() == 30 * step
    experts = predict(
        find("mixtral_8x7b", {"phase": "decode", "batch": 4, "context": 64}),
        array(),
        precision="int8",
    )
    assert np.isfinite(experts.latency_s)
    assert experts.table["array_utilization"].max() <= 1


def test_far_traffic_by_tiles_and_by_folds() -> None:
    """Tiles are the shared staircase; folds are the closed form of the windows."""
    workload = find("resnet18")
    tiled = predict(workload, array(kept_share=0.0))
    job, setting = tiled.job, tiled.setting
    table, _, setting = job.rows(workload.parameters, setting.facts, setting.precision, 1)
    want = tiled_traffic(table, setting)
    np.testing.assert_allclose(tiled.table["dram_bytes"], want.traffic["dram"][:, 0], rtol=1e-12)
    by_fold = predict(workload, array(far_traffic="folds"))
    columns = by_fold.table
    run = gemm(56 * 56, 64, 576, rows=32, columns=32, dataflow="weight_stationary")
    windows = double_buffered(run, 10.0, input_bytes=1, weight_bytes=1, output_bytes=1)
    at = [str(n) for n in columns["name"]].index("layer1.0.conv1")
    compute = columns["matrix_s"][at] + columns["vector_s"][at]
    stall = float(windows.cycles - run.cycles) / 1e9
    assert columns["fold_stall_s"][at] == pytest.approx(stall, rel=1e-12)
    assert columns["stall_s"][at] == pytest.approx(stall, rel=1e-9)
    assert columns["row_s"][at] == pytest.approx(compute + stall, rel=1e-12)
    # The folded batch normalisation beside it: scale and shift of 64 channels in 32 bits.
    moved = float(windows.fetched_bytes + windows.written_bytes) + 2 * 64 * 4
    assert columns["dram_bytes"][at] == pytest.approx(moved, rel=1e-12)
    assert by_fold.traffic_bytes["dram"] > tiled.traffic_bytes["dram"]


def test_separate_buffers_move_more_than_one_shared() -> None:
    """The same bytes in three fixed parts leave tiles less room; what all fits moves once.

    Layer by layer: where outputs stay, those of a larger scratchpad may.
    """
    workload = find("resnet18")
    layerwise = array(kept_share=0.0).machine()
    machine = layerwise.vary({"memories.sram.capacity": 2.0**16})
    shared = predict(workload, machine)
    parts = {"input_buffer": 2.0**14, "weight_buffer": 2.0**14, "output_buffer": 2.0**15}
    split = predict(workload, array(kept_share=0.0, **parts))
    assert shared.traffic_bytes["dram"] < split.traffic_bytes["dram"]
    huge = predict(workload, array(kept_share=0.0, **dict.fromkeys(parts, 2.0**30)))
    once = predict(workload, layerwise.vary({"memories.sram.capacity": 2.0**30}))
    assert huge.traffic_bytes["dram"] == pytest.approx(once.traffic_bytes["dram"], rel=1e-12)


def test_weights_of_another_memory() -> None:
    """The same tiles: what two memories move together is what one moves."""
    parts = {"input_buffer": 2.0**14, "weight_buffer": 2.0**14, "output_buffer": 2.0**15}
    both = array(**parts)
    data = both.model_dump(exclude_defaults=True)
    store = {
        "name": "store",
        "kind": "dram",
        "roles": ["weights"],
        "capacity": 8e9,
        "bandwidth": 20e9,
        "feeds": ["array"],
    }
    engine = data["engines"][0] | {"kind": "systolic"}
    apart = Device.model_validate(
        data | {"engines": [engine], "memories": [*data["memories"], store]}
    )
    workload = find("resnet18")
    one, two = predict(workload, both), predict(workload, apart)
    assert sum(two.traffic_bytes[level] for level in ("dram", "store")) == pytest.approx(
        one.traffic_bytes["dram"], rel=1e-12
    )
    weights = sum(
        workload.number(t.elements) for t in workload.graph().tensors.values() if t.role == "weight"
    )
    assert two.traffic_bytes["store"] > weights


def test_wider_operands_take_more_clocks() -> None:
    """16-bit operands at a quarter of the peak take four clocks a product."""
    workload = find("resnet18")
    narrow = predict(workload, array(), precision="int8").table
    wide = predict(workload, array(), precision="int16").table
    np.testing.assert_allclose(wide["matrix_s"], narrow["cycles"] * 4 / 1e9, rtol=1e-12)
    np.testing.assert_allclose(wide["cycles"], narrow["cycles"] * 4, rtol=1e-12)
    np.testing.assert_allclose(wide["array_utilization"], narrow["array_utilization"], rtol=1e-12)


def test_arrays_of_sizes_and_clocks() -> None:
    """Height, width, clock and capacity vary as arrays; a larger array has a higher peak."""
    machine = array().machine()
    side = np.array([8.0, 16.0, 32.0, 128.0])
    varied = machine.vary({"engines.array.height": side, "engines.array.width": side})
    np.testing.assert_allclose(varied.facts["engines.array.peaks.int8"], 2 * side**2 * 1e9)
    workload = find("resnet18")
    together = predict(workload, varied)
    for i, one in enumerate(side):
        alone = predict(
            workload, machine.vary({"engines.array.height": one, "engines.array.width": one})
        )
        assert together.latency_s[i] == pytest.approx(alone.latency_s, rel=1e-12)
        assert together.utilization[i] == pytest.approx(alone.utilization, rel=1e-12)
    assert np.all(together.utilization <= 1)


def test_energy_names_its_parts() -> None:
    """Weight stationary: an input byte and four of a partial sum hop with each product."""
    found = predict(find("resnet18"), array(hop_energy=0.1e-12))
    parts = found.energy.parts
    assert parts["array hops"] == pytest.approx(found.macs * 5 * 0.1e-12, rel=1e-12)
    own = predict(find("resnet18"), array(output_buffer=2.0**18, output_buffer_energy=2e-12))
    columns = own.table
    sums = columns["sram_output_writes"] + columns["sram_output_reads"]
    assert own.energy.parts["output buffer"] == pytest.approx(sums.sum() * 4 * 2e-12, rel=1e-12)
    assert parts["compute int8"] == pytest.approx(2 * found.macs * 0.2e-12, rel=1e-12)


def test_relaxed_has_a_slope_below_the_stairs() -> None:
    workload = find("resnet18", {"width_multiplier": 1.0})
    stairs = predict(workload, array())
    smooth = predict(workload, array(), relaxed=True)
    assert 0.5 * stairs.latency_s < smooth.latency_s <= stairs.latency_s * (1 + 1e-9)


def test_an_array_without_a_clock() -> None:
    with pytest.raises((InputError, ValueError), match="without a clock"):
        array(clock=None)


def test_only_on_its_own_engines() -> None:
    with pytest.raises(InputError, match="no systolic array"):
        predict(find("resnet18"), hardware("a100"), precision="fp16", model="systolic")


def test_a_peak_that_the_array_does_not_make_is_refused() -> None:
    array(peaks={"int8": 2.06e12})
    with pytest.raises(ValidationError, match=r"height x width x units x clock make 2\.048"):
        array(peaks={"int8": 5e12})


@pytest.mark.parametrize("own", [{}, {"input_buffer": 2.0**15, "output_buffer": 2.0**15}])
def test_a_share_for_activations_never_costs(own: dict[str, float]) -> None:
    """Layer by layer is always there to be taken, whatever share may be kept."""
    seconds = [
        predict(find("resnet18", {}), array(kept_share=share, **own)).latency_s
        for share in (0.0, 0.25, 0.5, 0.9, 1.0)
    ]
    assert max(seconds) <= seconds[0] * (1 + 1e-12)


def test_more_scratchpad_moves_less_until_only_the_ends_are_left() -> None:
    """A design that says nothing of its scratchpad keeps activations in what tiles leave."""
    workload = find("resnet18", {"width_multiplier": 1.0})
    sizes = 2.0 ** np.arange(14, 27)
    machine = array().machine().vary({"memories.sram.capacity": sizes})
    moved = predict(workload, machine).traffic_bytes["dram"]
    assert np.all(np.diff(moved) <= 1e-9 * moved[:-1])
    layerwise = array(kept_share=0.0).machine().vary({"memories.sram.capacity": sizes})
    each = predict(workload, layerwise).traffic_bytes["dram"]
    assert np.all(moved <= each * (1.0 + 1e-12))
    # With everything on the chip: weights, the picture and the scores, each once.
    p = predict(workload, array().machine().vary({"memories.sram.capacity": sizes[-1]}))
    ends = 3 * 224 * 224 + 1000
    assert moved[-1] == pytest.approx(p.weight_bytes + ends, rel=0.01)
    assert each[-1] > 1.5 * moved[-1]
