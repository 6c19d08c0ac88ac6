"""What a runtime's kernels add to the roofline: closed forms, and the physics of each fact."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.formats import as_precision, format_named
from perfmodel.formats.gguf import for_rows
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.testing.results import check_explanation
from perfmodel.workload.library import find
from tests.draws import draws

MODEL = {"layers": 2, "width": 512, "heads": 8, "ffn_width": 1024, "vocabulary": 512}


def rows(found: Prediction) -> dict[str, float]:
    return dict(zip(found.table["name"], found.table["row_s"], strict=True))


def test_issue_bound_product_is_instructions_over_slots() -> None:
    machine = hardware("apple_m2_ultra").machine("t_mac_neon")
    units, share = 8.0, machine["runtime.issue_share"]
    machine = machine.vary(
        {
            "engines.main.units": units,
            "memories.main.bandwidth": 1e16,
            "runtime.per_layer_doubling": 0.0,
        }
    )
    found = predict(
        find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 1}),
        machine,
        precision="w=int4g128,a=fp16",
    )
    up = rows(found)["layer.ffn_up"]
    weights, slots = 4096 * 11008, units * 3.5e9 * 4 * share
    assert up == pytest.approx(weights * 0.258 / slots, rel=1e-3)


@pytest.mark.parametrize("core", ["apple_m2_ultra", "jetson_orin_nano", "raspberry_pi_5"])
def test_a_core_issues_what_its_vector_peak_implies(core: str) -> None:
    stated = hardware(core).machine("llama_cpp_cpu_neon")
    work = find("llama_2_7b", {"phase": "prefill", "batch": 1, "prompt": 64})

    def latency_s(machine: Machine) -> float:
        return float(predict(work, machine, precision="q4_0").latency_s)

    name = f"engines.{stated.engine}.vector_issue"
    device = stated.device.model_copy(
        update={
            "engines": tuple(
                engine.model_copy(update={"vector_issue": None}) for engine in stated.device.engines
            )
        }
    )
    derived = device.machine("llama_cpp_cpu_neon")
    assert name in stated
    assert name not in derived
    assert latency_s(derived) == pytest.approx(latency_s(stated), rel=0.01)
    # A look-up is counted in the same instructions.
    both = (device, stated.device)
    tabled = [
        predict(work, each, runtime="t_mac_neon", precision="w2a16").latency_s for each in both
    ]
    assert tabled[0] == pytest.approx(tabled[1], rel=0.01)


def test_table_look_ups_take_time_with_the_bits() -> None:
    machine = (
        hardware("raspberry_pi_5")
        .machine("t_mac_neon")
        .vary({"memories.main.bandwidth": 1e16, "memories.main.sustained_fraction": 1.0})
    )
    work = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 1})
    tables = [
        predict(work, machine, precision=f"w={name},a=fp16").table
        for name in ("int4g128", "int2g128")
    ]
    four, two = (dict(zip(t["name"], t["matrix_s"], strict=True))["layer.ffn_up"] for t in tables)
    assert four == pytest.approx(2 * two, rel=1e-6)


def test_unpacking_joins_the_stream_of_weights_by_a_p_norm() -> None:
    work = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 1})
    machine = hardware("apple_m1").machine("llama_cpp_metal")
    table = {
        name: rows(predict(work, machine, precision=name))["layer.ffn_up"] for name in ("q4_k_m",)
    }
    slow = machine.vary({"runtime.unpack_weights_per_clock_per_unit.q4_k": 1e5})
    stream = rows(predict(work, slow, precision="q4_k_m"))["layer.ffn_up"]
    found = predict(work, slow, precision="q4_k_m").table
    layer = dict(zip(found["name"], found["layer_s"], strict=True))["layer.ffn_up"]
    unpack = 4096 * 11008 / (8.5 * 8 * 1.278e9)
    assert table["q4_k_m"] - layer == pytest.approx(
        ((stream - layer) ** 4 + unpack**4) ** 0.25, rel=2e-3
    )


def test_old_units_unpack_slowly_and_new_ones_do_not() -> None:
    work = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 512})
    for name, least, most in (("apple_m1_max", 1.1, 1.6), ("apple_m3_max", 1.0, 1.1)):
        machine = hardware(name).machine("llama_cpp_metal")
        free = machine.vary(
            {"engines.main.unpack_speedup": 1e3}
            if "m3" in name
            else {
                "runtime.unpack_weights_per_clock_per_unit.q4_k": 1e5,
                "runtime.unpack_weights_per_clock_per_unit.q6_k": 1e5,
            }
        )
        slow, fast = (predict(work, m, precision="q4_k_m").latency_s for m in (machine, free))
        assert least <= slow / fast <= most


def expand_s(tokens: int, precision: str = "q4_0") -> float:
    work = find("llama_2_7b", {"phase": "prefill", "batch": 1, "prompt": tokens})
    found = predict(work, hardware("rtx_3090").machine("llama_cpp_cuda"), precision=precision)
    if "expand_s" not in found.table.columns:
        return 0.0
    return dict(zip(found.table["name"], found.table["expand_s"], strict=True))["layer.ffn_up"]


def test_long_prompts_write_packed_weights_out_once_a_micro_batch() -> None:
    weights = 4096 * 11008
    rate = 936e9 * 0.938
    ceiling = 6.98 * 82 * 1.695e9
    bandwidth = (rate**-4 + ceiling**-4) ** -0.25
    once = weights * (4.5 / 8 + 2) / bandwidth
    assert expand_s(32) == 0.0
    assert expand_s(33) == pytest.approx(once, rel=1e-3)
    assert expand_s(512) == pytest.approx(once, rel=1e-3)
    assert expand_s(513) == pytest.approx(2 * once, rel=1e-3)
    assert expand_s(1024, "fp16") == 0.0


def test_a_token_passes_all_parts_and_a_prompt_fills_the_pipeline() -> None:
    machine = hardware("rtx_3090").machine("llama_cpp_cuda")
    token = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 512})
    one, four = (
        predict(token, machine.vary({"runtime.split": n}), precision="q4_k_m").latency_s
        for n in (1.0, 4.0)
    )
    assert four - one == pytest.approx(3 * machine["runtime.per_split"], rel=1e-9)
    prompt = find("llama_3_8b", {"phase": "prefill", "batch": 1, "prompt": 2048})
    plain = machine.vary({"runtime.per_split": 0.0})
    one, four = (
        predict(prompt, plain.vary({"runtime.split": n}), precision="q4_k_m").latency_s
        for n in (1.0, 4.0)
    )
    # Four micro-batches over four parts: seven steps of a sixteenth each.
    assert four / one == pytest.approx(7 / 16, rel=1e-9)


def test_layers_split_over_devices_have_all_their_memories() -> None:
    machine = hardware("rtx_3090").machine("llama_cpp_cuda")
    token = find("llama_3_70b", {"phase": "decode", "batch": 1, "context": 512})
    one, two = (
        predict(token, machine.vary({"runtime.split": n}), precision="q4_k_m") for n in (1.0, 2.0)
    )
    assert not one.feasible
    assert two.feasible


def test_a_board_runs_long_products_at_the_rate_its_power_allows() -> None:
    machine = hardware("rtx_6000_ada").machine("llama_cpp_cuda")
    prompt = find("llama_3_8b", {"phase": "prefill", "batch": 1, "prompt": 1024})
    watts = np.array([100.0, 200.0, 300.0, 600.0, 1e6])
    seconds = predict(prompt, machine.vary({"power.busy": watts}), precision="fp16").latency_s
    assert np.all(np.diff(seconds) < 0)
    # Far below the peak it is energy over power.
    ratio = predict(prompt, machine.vary({"power.busy": np.array([1.0, 2.0])}), precision="fp16")
    assert ratio.latency_s[0] / ratio.latency_s[1] == pytest.approx(2.0, rel=1e-2)


def test_threads_wait_a_layer_for_every_doubling() -> None:
    machine = hardware("surface_book_3").machine("llama_cpp_cpu_avx2_2024")
    work = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 64})
    found = predict(work, machine, precision="q4_0")
    layer = float(np.sum(found.table["count"] * found.table["layer_s"]))
    assert layer == pytest.approx(32 * 0.124e-3 * math.log2(4), rel=1e-9)
    alone = predict(work, machine.vary({"engines.main.units": 1.0}), precision="q4_0")
    assert float(np.sum(alone.table["layer_s"])) == 0.0


MACHINES = (
    ("rtx_3090", "llama_cpp_cuda", "q4_k_m"),
    ("rtx_3090", "llama_cpp_cuda_2025", "q4_0"),
    ("gb10", "llama_cpp_cuda_spark", "q8_0"),
    ("apple_m1", "llama_cpp_metal", "q4_k_m"),
    ("surface_book_3", "llama_cpp_cpu_avx2_2024", "q2_k"),
    ("radeon_rx_9070", "llama_cpp_vulkan", "q4_0"),
    ("raspberry_pi_5", "llama_cpp_cpu_neon", "q8_0"),
    ("raspberry_pi_5", "t_mac_neon", "ternary"),
)


@pytest.mark.parametrize(("device", "runtime", "precision"), MACHINES)
@pytest.mark.parametrize("phase", ["decode", "prefill"])
def test_explanations_evaluate_and_batches_equal_singles(
    device: str, runtime: str, precision: str, phase: str
) -> None:
    machine = hardware(device).machine(runtime)
    tokens = {"decode": "context", "prefill": "prompt"}[phase]
    work = find("llama_2_7b", {**MODEL, "phase": phase, "batch": 1, tokens: 600})
    found = predict(work, machine, precision=precision)
    check_explanation(found.explain(), found.latency_s)
    sizes = np.array([16.0, 600.0, 1500.0])
    together = predict(work.bind({tokens: sizes}), machine, precision=precision).latency_s
    for size, seconds in zip(sizes, together, strict=True):
        one = predict(work.bind({tokens: float(size)}), machine, precision=precision)
        assert one.latency_s == pytest.approx(seconds, rel=1e-12)


@settings(max_examples=draws(25), deadline=None)
@given(st.sampled_from(MACHINES), st.floats(1.0, 8.0), st.sampled_from(["decode", "prefill"]))
def test_faster_parts_are_never_slower(
    chosen: tuple[str, str, str], factor: float, phase: str
) -> None:
    device, runtime, precision = chosen
    machine = hardware(device).machine(runtime)
    tokens = {"decode": "context", "prefill": "prompt"}[phase]
    work = find("llama_2_7b", {**MODEL, "phase": phase, "batch": 1, tokens: 600})
    slow = predict(work, machine, precision=precision).latency_s
    engine = f"engines.{machine.engine}"
    rising = [
        f"memories.{machine.main_memory}.bandwidth",
        f"{engine}.clock",
        "power.busy",
        f"{engine}.vector_issue",
        f"{engine}.unpack_speedup",
    ]
    rising += [
        p
        for p in machine.facts
        if p.startswith(("runtime.macs_per", "runtime.unpack_weights", "runtime.draw"))
    ]
    for path in rising:
        if machine.get(path) is not None:
            fast = faster(machine, path, factor)
            assert predict(work, fast, precision=precision).latency_s <= slow * (1 + 1e-12), path


def faster(machine: Machine, path: str, factor: float) -> Machine:
    return machine.vary({path: min(machine[path] * factor, machine.span(path).high)})


def test_bare_roofline_knows_no_kernels() -> None:
    work = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 64})
    bare = [
        predict(
            work,
            hardware("apple_m2_ultra").machine(r),
            model="roofline",
            precision="q4_0",
            engine="cpu",
        ).latency_s
        for r in ("llama_cpp_cpu_neon", "llama_cpp_cpu_neon_2024", "ideal")
    ]
    assert bare[0] == bare[1] == bare[2]


def test_rows_that_no_block_divides_are_stored_wider() -> None:
    weights = for_rows(format_named("q4_k_m"), {"attn_q": 896, "ffn_down": 4864}, tied=True)
    assert weights.parts_of("attn_q") == ((1.0, "q5_0"),)
    assert weights.parts_of("ffn_down") == ((0.5, "q6_k"), (0.5, "q4_k"))
    assert weights.parts_of("embedding") == ((1.0, "q6_k"),)
    assert for_rows(format_named("fp16"), {"attn_q": 896}).bits == 16


def test_look_ups_take_bits_as_an_array() -> None:
    """The law holds for any bits; whole ones are those of the formats."""
    machine = (
        hardware("raspberry_pi_5")
        .machine("t_mac_neon")
        .vary({"memories.main.bandwidth": 1e16, "memories.main.sustained_fraction": 1.0})
    )
    work = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 1})
    bits = np.array([1.0, 2.0, 3.0, 4.0])
    together = predict(
        work, machine, precision=as_precision("w=int4,a=fp16").with_bits(weights=bits)
    ).latency_s
    alone = [predict(work, machine, precision=f"w=int{b:g},a=fp16").latency_s for b in bits]
    np.testing.assert_allclose(together, alone, rtol=1e-12)
    assert np.all(np.diff(together) > 0)


#: Tokens per second of Llama 2 7B that llama.cpp measured in pull request 4766. Those of formats of
#: two and three bits are in a fit; the others rest on the bandwidth that check bits leave.
ON_A_P40 = {"q2_k": 33.52, "q4_0": 56.79, "q4_1": 55.52, "q4_k_s": 54.23, "q5_0": 48.30}


@pytest.mark.parametrize("precision", ON_A_P40)
def test_formats_on_a_p40_take_what_was_measured(precision: str) -> None:
    work = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 64})
    machine = hardware("p40").machine("llama_cpp_cuda")
    found = predict(work, machine, precision=precision)
    assert found.tokens_per_s == pytest.approx(ON_A_P40[precision], rel=0.13)


def test_two_bits_on_a_small_gpu_wait_for_its_units_and_not_for_its_memory() -> None:
    # T-MAC measured 20.03 tokens per second on a Jetson AGX Orin, which is in no fit.
    work = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 64})
    machine = hardware("jetson_agx_orin").machine("llama_cpp_cuda")
    found = predict(work, machine, precision="q2_k")
    assert found.tokens_per_s == pytest.approx(20.03, rel=0.25)


#: Tokens per second of Llama 2 7B in Q4_0 on Intel's graphics with SYCL (docs/backend/SYCL.md of
#: llama.cpp, February 2025), which are in no fit.
WITH_SYCL = {"data_center_gpu_flex_170": 50.0, "core_ultra_7_155h": 16.0, "core_ultra_7_255h": 17.0}


@pytest.mark.parametrize("name", WITH_SYCL)
def test_graphics_of_alchemist_unpack_as_many_weights_in_a_clock_as_each_other(name: str) -> None:
    work = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 64})
    found = predict(work, hardware(name).machine("llama_cpp_sycl"), precision="q4_0")
    assert found.tokens_per_s == pytest.approx(WITH_SYCL[name], rel=0.1)
