"""A whole request: sums over a growing context against every token costed by itself."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.datasets import dataset
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.system.request import request
from perfmodel.system.request.contexts import ContextSums, Floats
from perfmodel.workload.library import find
from tests.draws import draws

CASES = [
    ("llama_3_8b", "apple_m2_max", "q4_k_m", None, 2000, 700),
    ("llama_3_8b", "raspberry_pi_5", "q4_0", None, 100, 300),
    # Windows that fill on the way, beside layers without one.
    ("gemma_2_2b", "apple_m1", "q8_0", None, 3000, 2500),
    ("gpt_oss_20b", "rtx_4090", "mxfp4_moe", "llama_cpp_cuda_2025", 60, 500),
    ("deepseek_v3", "h200", "fp8", "generic", 500, 200),
    ("mamba_130m", "apple_m2_max", None, None, 512, 400),
    # Attention in tiles: a staircase.
    ("llama_3_8b", "h100_sxm", None, "torch_cuda", 1000, 400),
]


@pytest.mark.parametrize(("model", "device", "precision", "runtime", "prompt", "generate"), CASES)
def test_the_sum_is_that_over_every_token(
    model: str, device: str, precision: str | None, runtime: str | None, prompt: int, generate: int
) -> None:
    found = request(
        model, device, precision=precision, runtime=runtime, prompt=prompt, generate=generate
    )
    machine = hardware(device)
    contexts = np.arange(prompt + 1, prompt + generate)
    step = predict(
        find(model, {"phase": "decode", "context": contexts}),
        machine,
        precision=precision,
        runtime=runtime,
    )
    assert found.decode_s == pytest.approx(float(np.sum(step.latency_s)), rel=1e-9)
    assert found.decode_energy_j == pytest.approx(float(np.sum(step.energy_j)), rel=1e-9)
    single = [
        float(
            predict(
                find(model, {"phase": "decode", "context": int(c)}),
                machine,
                precision=precision,
                runtime=runtime,
            ).latency_s
        )
        for c in (contexts[0], contexts[-1])
    ]
    assert [found.first_step_s, found.last_step_s] == pytest.approx(single, rel=1e-12)
    read = predict(
        find(model, {"phase": "prefill", "prompt": prompt}),
        machine,
        precision=precision,
        runtime=runtime,
    )
    assert found.ttft_s == pytest.approx(read.latency_s, rel=1e-12)
    assert found.latency_s == pytest.approx(read.latency_s + math.fsum(step.latency_s), rel=1e-9)
    assert found.peak_memory_bytes >= step.peak_memory_bytes[-1]


def test_where_time_is_linear_a_request_is_its_mean_context() -> None:
    """The phase ``request`` has one step more than tokens after the first."""
    found = request("llama_2_7b", "apple_m2_max", precision="q4_0", prompt=512, generate=129)
    whole = predict(
        find("llama_2_7b", {"phase": "request", "prompt": 512, "generate": 128}),
        hardware("apple_m2_max"),
        precision="q4_0",
    )
    assert found.latency_s == pytest.approx(float(whole.latency_s), rel=1e-6)


def test_many_questions_equal_single_ones() -> None:
    prompts, generated = np.array([[1], [700], [5000]]), np.array([1, 2, 900])
    many = request("gemma_2_2b", "apple_m1", prompt=prompts, generate=generated, batch=[1, 1, 3])
    assert many.shape == (3, 3)
    for i in range(3):
        for j in range(3):
            one = request(
                "gemma_2_2b",
                "apple_m1",
                prompt=int(prompts[i, 0]),
                generate=int(generated[j]),
                batch=(1, 1, 3)[j],
            )
            for name in ("ttft_s", "tpot_s", "latency_s", "energy_j", "peak_memory_bytes"):
                assert getattr(many, name)[i, j] == pytest.approx(getattr(one, name), rel=1e-9)
            assert many.feasible[i, j] == one.feasible
    table = many.table
    assert len(table) == 9
    assert table.units["ttft_s"] == "s"


def test_a_request_never_gets_cheaper_as_it_grows() -> None:
    lengths = np.arange(1, 60) * 97
    for found in (
        request("gemma_2_2b", "apple_m1", prompt=lengths, generate=50),
        request("gemma_2_2b", "apple_m1", prompt=50, generate=lengths),
    ):
        assert np.all(np.diff(found.latency_s) > 0)
        assert np.all(np.diff(found.energy_j) > 0)
        assert np.all(np.diff(found.peak_memory_bytes) > 0)


def test_one_token_takes_no_step() -> None:
    found = request("llama_3_8b", "apple_m2_max", precision="q4_0", prompt=100, generate=1)
    assert found.latency_s == found.ttft_s
    assert found.decode_energy_j == 0.0
    assert found.tpot_s == found.first_step_s


def test_what_does_not_fit_is_a_result() -> None:
    found = request("llama_3_70b", "apple_m1", precision="q4_0")
    assert found.feasible is False
    assert "must hold" in found.violations[0]
    assert "does not fit" in repr(found)


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError) as error:
        request("resnet18", "apple_m2_mox", prompt=0, generate=[2.5], set={"context": 3})
    text = str(error.value)
    for part in (
        "0 counts no tokens",
        "2.5 counts no tokens",
        "'context' is not set here",
        "did you mean 'apple_m2_max'",
    ):
        assert part in text
    with pytest.raises(InputError, match="generates no tokens"):
        request("resnet18", "apple_m2_max")
    with pytest.raises(InputError, match="generates no tokens"):
        request("bert_base", "apple_m2_max")
    with pytest.raises(InputError, match="do not go together"):
        request("llama_3_8b", "apple_m2_max", prompt=[1, 2, 3], generate=[1, 2])
    with pytest.raises(InputError, match="varies over points"):
        request(
            "llama_3_8b", "apple_m2_max", set={"memories.dram.bandwidth": np.array([1e11, 2e11])}
        )


def test_a_context_beyond_the_trained_one_is_told(checkout: Path) -> None:
    file = checkout / "examples" / "llama_3_8b_q4_k_m.gguf"  # llama.context_length 8192
    within = request(file, "h100", prompt=8000, generate=192)
    beyond = request(file, "h100", prompt=[1000, 8000], generate=193)
    assert not any("8193" in note for note in within.notes)
    assert any("8193 tokens" in note and "up to 8192" in note for note in beyond.notes)
    config = checkout / "examples" / "qwen3_4b" / "config.json"  # max_position_embeddings 40960
    changed = request(config, "h100", prompt=40960, generate=1, set={"layers": 2})
    assert any("40961 tokens" in note for note in changed.notes)


def test_hostile_lengths_are_refused() -> None:
    for bad in (float("nan"), float("inf"), -1, 2**60, "many", []):
        with pytest.raises(InputError):
            request("llama_3_8b", "apple_m2_max", generate=bad)


@settings(deadline=None, max_examples=draws(60))
@given(
    st.lists(st.integers(1, 20_000), min_size=0, max_size=4),
    st.lists(st.tuples(st.integers(1, 20_000), st.integers(0, 4000)), min_size=1, max_size=5),
    st.sampled_from([0, 16, 128]),
)
def test_sums_equal_brute_force(
    kinks: list[int], asked: list[tuple[int, int]], stairs: int
) -> None:
    """Piecewise linear costs, with or without stairs on top, over ranges that overlap."""

    def costs(contexts: Floats) -> Floats:
        line = 1.0 + 1e-4 * contexts
        for i, kink in enumerate(kinks):
            line = line + 3e-4 * (i + 1) * np.maximum(contexts - kink, 0.0)
        if stairs:
            line = line + 1e-3 * np.ceil(contexts / stairs)
        return np.array([line, 2.0 * line + 5.0])

    ranges = [(first, first + more) for first, more in asked]
    sums = ContextSums(costs, ranges)
    for first, last in ranges:
        every = costs(np.arange(first, last + 1, dtype=float)).sum(axis=1)
        np.testing.assert_allclose(sums.between(first, last), every, rtol=1e-9)


def test_few_contexts_are_costed_where_the_cost_is_linear() -> None:
    def costs(contexts: Floats) -> Floats:
        return np.array([2.0 + 1e-4 * contexts])

    sums = ContextSums(costs, [(1, 1_000_000)])
    assert sums.evaluated < 20
    assert sums.between(1, 1_000_000)[0] == pytest.approx(2e6 + 1e-4 * 500_000.5e6, rel=1e-12)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "group", "rows", "mean", "most"),
    [
        ("llamacpp_apple_4167", "", 45, 0.035, 0.10),
        ("llamacpp_gpu_llama2_7b_q4_0", "CUDA", 8, 0.03, 0.09),
    ],
)
def test_measured_requests(
    name: str, group: str, rows: int, mean: float, most: float, data: Path
) -> None:
    """pp512 and then tg128 of llama-bench, which starts from an empty context."""
    errors: list[float] = []
    for case in dataset(name).load(DataFolder(data)).cases:
        told = {q.target: q.measured for q in case.quantities}
        if len(told) < 2 or (group and case.group != group):
            continue
        measured = told["prefill_latency_s"] + 128 * told["latency_s"]
        read = request(
            "llama_2_7b",
            case.machine,
            prompt=512,
            generate=1,
            precision=case.precision,
            runtime=case.runtime,
        )
        steps = request(
            "llama_2_7b",
            case.machine,
            prompt=1,
            generate=129,
            precision=case.precision,
            runtime=case.runtime,
        )
        errors.append((read.latency_s + steps.decode_s) / measured - 1.0)
    assert len(errors) == rows
    assert np.mean(np.abs(errors)) < mean
    assert np.max(np.abs(errors)) < most


@pytest.mark.data
def test_measured_steps_far_into_a_context(data: Path) -> None:
    """tg32 of llama-bench after up to 32,768 tokens: gpt-oss 20B and Qwen3 30B-A3B on a GB10."""
    errors: list[float] = []
    for case in dataset("llamacpp_dgx_spark_depth").load(DataFolder(data)).cases:
        for asked in case.quantities:
            if asked.target != "latency_s":
                continue
            before = max(round(float(asked.workload.parameters["context"]) - 16), 1)
            found = request(
                asked.workload.name,
                case.machine,
                prompt=before,
                generate=33,
                precision=case.precision,
                runtime=case.runtime,
            )
            errors.append(found.decode_s / 32 / asked.measured - 1.0)
    assert len(errors) == 10
    assert np.mean(np.abs(errors)) < 0.02
    assert np.max(np.abs(errors)) < 0.06


def test_the_energy_of_a_request_has_an_interval_made_of_those_of_its_phases() -> None:
    answer = request("llama_3_8b", "h100", prompt=512, generate=64)
    within = answer.interval("energy_j")
    assert within.low < answer.energy_j < within.high
    assert within.basis == answer.energy_basis
    ends = [each.interval("energy_j").low / each.energy_j for each in (answer.prefill, answer.last)]
    assert min(ends) <= within.low / answer.energy_j <= max(ends)
    assert "energy_j" in answer.intervals
    assert "90 % in" in str(answer).partition("energy (module)")[2]
