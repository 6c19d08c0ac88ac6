"""Runtimes: overheads, efficiencies by class and format, semantics, round trip."""

from pathlib import Path

import pytest

from perfmodel.catalog import BUILT_IN
from perfmodel.catalog import load as load_built_in
from perfmodel.errors import InputError
from perfmodel.hardware.device import Device
from perfmodel.hardware.kernel import Kernel
from perfmodel.hardware.library import check, hardware, runtime
from perfmodel.hardware.runtime import Runtime

SPEC = """\
schema_version: 1
name: engine_x
title: Engine X 1.2
applies_to: [gpu]
sources: {fit: "A fit", manual: {title: Manual, year: 2024}}
source: fit
confidence: fitted
per_run: "5.4 us"
per_operator: {value: "0.27 us", source: manual, confidence: measured}
per_layer_clocks: 265000
efficiency:
  bandwidth: 0.951
  gemm: {value: "73.2 %", fitted_on: "45 rows"}
  gemm.q4_0: 0.649
draw_bytes_per_clock_per_unit: 13.3
pnorm: 4
kernels:
  gemm: {launch: "1.3 us", peak_share: 0.84}
  gemm.fp8: {launch: {value: "4.6 us", source: manual}, note: CUTLASS}
fusion: {elementwise: false, attention: unfused}
semantics: {causal_skips_masked: false, head_on_every_token: true, runs_dead_branches: true}
"""


def load(folder: Path, text: str) -> Runtime:
    path = folder / "engine_x.yaml"
    path.write_text(text)
    return runtime(path)


def test_a_runtime_reads(tmp_path: Path) -> None:
    made = load(tmp_path, SPEC)
    assert made.per_run.value == pytest.approx(5.4e-6)
    assert made.per_layer_clocks.value == 265000
    assert made.efficiency["gemm"].value == pytest.approx(0.732)
    assert made.fusion.attention == "unfused"
    assert made.semantics.runs_dead_branches


def test_it_reads_back_as_written(tmp_path: Path) -> None:
    made = load(tmp_path, SPEC)
    (tmp_path / "again.yaml").write_text(made.to_yaml())
    again = runtime(tmp_path / "again.yaml")
    assert again == made
    assert hash(again) == hash(made)
    assert made != load(tmp_path, SPEC.replace("0.951", "0.952"))


def test_check_tells_runtimes_from_devices(tmp_path: Path, spec: str) -> None:
    load(tmp_path, SPEC)
    (tmp_path / "card.yaml").write_text(spec)
    assert isinstance(check(tmp_path / "engine_x.yaml"), Runtime)
    assert isinstance(check(tmp_path / "card.yaml"), Device)


def test_suits_goes_by_name_alias_or_tag(card: Device) -> None:
    assert Runtime(name="r").suits(card)
    for word in ("card", "card_80", "gpu"):
        assert Runtime(name="r", applies_to=(word,)).suits(card)
    assert not Runtime(name="r", applies_to=("phone",)).suits(card)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "bandwidth: 0.951",
            "bandwidth: 1.3",
            ("12:14: efficiency.bandwidth: 1.3 is too large; expected at most 1.2"),
        ),
        (
            "bandwidth: 0.951",
            "bandwidth: 0",
            ("12:14: efficiency.bandwidth: is zero; expected a fraction above zero"),
        ),
        (
            "bandwidth: 0.951",
            "bandwith: 0.951",
            (
                "12:3: efficiency.bandwith: 'bandwith' is not an "
                "operator class; did you mean 'bandwidth'?"
            ),
        ),
        (
            "gemm.q4_0",
            "gem.q4_0",
            ("14:3: efficiency.gem.q4_0: 'gem' is not an operator class; did you mean 'gemv'?"),
        ),
        (
            '"5.4 us"',
            "5.4e-6",
            ('8:10: per_run: 5.4e-06 has no unit; expected a time with its unit, such as "30 us"'),
        ),
        (
            "source: manual",
            "source: manul",
            (
                "9:42: per_operator.source: no entry of sources is "
                "named 'manul'; did you mean 'manual'?"
            ),
        ),
        (
            "gemm.fp8:",
            "gem.fp8:",
            ("19:3: kernels.gem.fp8: 'gem' is not a class of kernels; did you mean 'gemv'?"),
        ),
        (
            '"1.3 us", peak_share',
            "1.3, peak_share",
            (
                "18:18: kernels.gemm.launch: 1.3 has no unit; "
                'expected a time with its unit, such as "30 us"'
            ),
        ),
        (
            "attention: unfused",
            "attention: flsh",
            (
                "20:41: fusion.attention: unknown value 'flsh'; "
                "expected one of flash, unfused; did you mean 'flash'?"
            ),
        ),
        (
            "elementwise: false",
            "elementwise: nope",
            ("20:23: fusion.elementwise: 'nope' is neither true nor false; expected true or false"),
        ),
        (
            "peak_share: 0.84",
            "tile_fil: 1 us",
            ("18:28: kernels.gemm.tile_fil: unknown key 'tile_fil'; did you mean 'tile_fill'?"),
        ),
        (
            "peak_share: 0.84",
            "tile_fill: 1 us, tile_rows: 6",
            (
                "18:45: kernels.gemm.tile_rows: "
                "'tile_rows' is a constant of kind simd, and others here are of kind tensor_core"
            ),
        ),
        ("per_run", "pre_run", "8:1: pre_run: unknown key 'pre_run'; did you mean 'per_run'?"),
        ("name: engine_x\n", "", "1:1: missing key 'name'"),
    ],
)
def test_faults_have_their_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in SPEC
    with pytest.raises(InputError) as caught:
        load(tmp_path, SPEC.replace(old, new, 1))
    assert str(caught.value).partition("engine_x.yaml:")[2] == fault


def test_a_constant_is_declared_once() -> None:
    of: dict[str, list[str]] = {}
    for kind in BUILT_IN["perfmodel.kernels"]:
        declared = load_built_in("perfmodel.kernels", kind)
        assert kind == declared.KIND
        for name in declared.model_fields.keys() - Kernel.model_fields.keys():
            of.setdefault(name, []).append(kind)
    assert len(of) > 70
    assert {name: kinds for name, kinds in of.items() if len(kinds) > 1} == {}


def test_a_runtime_inherits(tmp_path: Path) -> None:
    load(tmp_path, SPEC)
    (tmp_path / "heir.yaml").write_text("name: heir\nbase: engine_x\nper_run: '1 us'\n")
    made = runtime(tmp_path / "heir.yaml")
    assert made.per_run.value == 1e-6
    assert made.per_run.source is None, "the base's source says nothing of the heir's number"
    assert made.per_operator.source == "manual"
    assert made.efficiency["bandwidth"].source == "fit"
    assert made.fusion.attention == "unfused"


def test_a_runtime_uses_as_many_cores_as_it_has_threads(tmp_path: Path) -> None:
    board = hardware("raspberry_pi_5")
    every = board.machine(load(tmp_path, SPEC)).facts
    for threads, share in ((1, 0.25), (2, 0.5), (8, 1.0)):
        used = board.machine(load(tmp_path, f"{SPEC}threads: {threads}\n"))
        for path in ("units", "peaks.fp32", "vector_peaks.fp32"):
            at = f"engines.cpu.{path}"
            assert used.facts[at] == pytest.approx(share * every[at])
        varied = used.vary({"engines.cpu.units": 4}).facts["engines.cpu.peaks.fp32"]
        assert varied == pytest.approx(every["engines.cpu.peaks.fp32"])


def test_constants_of_kernels_are_facts(tmp_path: Path, card: Device) -> None:
    machine = card.machine(load(tmp_path, SPEC))
    assert machine.facts["runtime.kernels.gemm.launch"] == pytest.approx(1.3e-6)
    assert machine.facts["runtime.kernels.gemm.fp8.launch"] == pytest.approx(4.6e-6)
    assert "runtime.kernels.gemm.fp8.peak_share" not in machine.facts
    assert machine.provenance["runtime.kernels.gemm.fp8.launch"].source == "manual"


WIDER = """\
schema_version: 1
name: engine_y
sources: {fit: "A fit"}
source: fit
confidence: fitted
per_sequence: "20 us"
per_layer_parallel: "5 us"
blocks: {channels: 16, functions: [add], broadcasts: true}
executes: {softmax: [fp32], gelu: [fp16, fp32]}
kernels:
  conv: {algorithms: [winograd_4x4, direct]}
semantics: {active_neurons: 0.4}
serving: {per_layer_experts: "15 us", prefill_share: 1.2, first_token: "41 ms"}
"""


def test_what_it_executes_and_serves_reads_back_as_written(tmp_path: Path, card: Device) -> None:
    made = load(tmp_path, WIDER)
    (tmp_path / "again.yaml").write_text(made.to_yaml())
    assert runtime(tmp_path / "again.yaml") == made
    assert made.executes["gelu"] == ("fp16", "fp32")
    machine = card.machine(made)
    assert machine["runtime.per_sequence"] == pytest.approx(20e-6)
    assert machine["runtime.serving.first_token"] == pytest.approx(41e-3)
    assert machine.provenance["runtime.serving.prefill_share"].source == "fit"
    assert machine.get("runtime.serving.queued_share") is None
    assert "runtime.serving.queued_share" in machine.paths, "it may be varied"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("channels: 16", "channels: -16", None),
        (
            "softmax: [fp32]",
            "softmx: [fp32]",
            (
                "9:12: executes.softmx: 'softmx' is not a class or "
                "function of operators; did you mean 'softmax'?"
            ),
        ),
        (
            "[fp16, fp32]",
            "[fp16, fp23]",
            ("9:42: executes.gelu.1: 'fp23' is not a compute format; did you mean 'fp32'?"),
        ),
        (
            "winograd_4x4",
            "winograd_4x5",
            (
                "11:23: kernels.conv.algorithms.0: unknown value 'winograd_4x5'; "
                "expected one of direct, im2col, winograd_2x2, winograd_4x4, dense, per_group, "
                "fewest; did you mean 'winograd_4x4'?"
            ),
        ),
        ("active_neurons: 0.4", "active_neurons: 1.4", None),
        ('"20 us"', "20e-6", None),
    ],
)
def test_faults_of_what_it_executes_have_their_place(
    tmp_path: Path, old: str, new: str, fault: str | None
) -> None:
    assert old in WIDER
    with pytest.raises(InputError) as caught:
        load(tmp_path, WIDER.replace(old, new, 1))
    if fault is not None:
        assert str(caught.value).partition("engine_x.yaml:")[2] == fault


def test_constants_of_a_base_keep_their_source_and_confidence(tmp_path: Path, card: Device) -> None:
    load(tmp_path, SPEC + "serving: {first_token: 41 ms}\n")
    path = tmp_path / "engine_y.yaml"
    path.write_text(
        "schema_version: 1\nname: engine_y\nbase: engine_x\nsource: other\nconfidence: estimated\n"
        "sources: {other: Another}\nper_run: 1 us\nkernels: {gemv: {launch: 2 us}}\n"
    )
    told = card.machine(runtime(path)).provenance
    for fact, said in (
        ("runtime.kernels.gemm.launch", ("fit", "fitted")),
        ("runtime.serving.first_token", ("fit", "fitted")),
        ("runtime.efficiency.bandwidth", ("fit", "fitted")),
        ("runtime.kernels.gemv.launch", ("other", "estimated")),
        ("runtime.per_run", ("other", "estimated")),
    ):
        assert (told[fact].source, told[fact].confidence) == said
