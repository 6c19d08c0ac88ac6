"""LLM servers: cleaning, sharding in closed form, and errors on measured rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.evaluate import validate
from perfmodel.evaluate.data_files import data_folder
from perfmodel.evaluate.datasets import dataset
from perfmodel.evaluate.refit import trial
from perfmodel.evaluate.validation_case import ValidationCase
from perfmodel.system.serving import Parallel, serve
from perfmodel.system.serving.serve import exchanged_bytes
from perfmodel.system.serving.shard import shard
from perfmodel.workload.library import describe

FP8 = "w=fp8,a=fp8,kv=fp8"
HEADER = (
    "backend,backend_version,model_path,system,precision,mode,isl,osl,gemm_quant_mode,"
    "moe_quant_mode,batch_size,tp_size,pp_size,attention_dp_size,moe_tp_size,moe_ep_size,"
    "silicon_ttft_ms,silicon_tpot_ms,id,silicon_data_source"
)


def written(folder: Path, *rows: str) -> list[ValidationCase]:
    (folder / "llm_serving_e2e.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return dataset("llm_serving_e2e").load(data_folder(folder)).cases


def split(case: ValidationCase) -> tuple[int, int, int]:
    """Return tensor, data and expert of what a row asks."""
    load = case.quantities[0].load
    assert load is not None
    return load.choices["tensor"], load.choices["data"], load.choices["expert"]


def test_labels_that_count_devices_twice_are_mended(tmp_path: Path) -> None:
    source = "silicon_concurrency=64"
    twice, groups, right, many, queue = written(
        tmp_path,
        f"trtllm,1,deepseek-ai/DeepSeek-R1,b200_sxm,fp4,agg,1024,1024,nvfp4,nvfp4,64,64,1,1,8,8,300,20,a,{source}",
        f"trtllm,1,deepseek-ai/DeepSeek-R1,b200_sxm,fp4,agg,1024,1024,nvfp4,nvfp4,8,1,1,64,8,8,301,21,b,{source}",
        f"trtllm,1,deepseek-ai/DeepSeek-R1,b200_sxm,fp4,agg,1024,1024,nvfp4,nvfp4,64,4,1,1,2,2,302,22,c,{source}",
        f"vllm,1,meta-llama/Llama-3.1-70B,h100_sxm,fp8,agg,1024,1024,fp8,,16,4,1,,,,303,23,d,{source}",
        f"vllm,1,meta-llama/Llama-3.1-70B,h100_sxm,fp8,agg,1024,1024,fp8,,64,4,1,,,,30300,24,e,{source}",
    )
    assert split(twice) == (8, 1, 8)
    assert split(groups) == (1, 8, 8)
    load = groups.quantities[0].load
    assert load is not None
    assert load.parameters["concurrency"] == 64
    assert split(right) == (4, 1, 2)
    assert "replicas" in many.reason
    assert "saturated" in queue.reason


def test_repeated_measurements_count_once(tmp_path: Path) -> None:
    row = "vllm,1,meta-llama/Llama-3.1-70B,h100_sxm,fp8,agg,1024,1024,fp8,,64,4,1,,,,{},{},{},x"
    rows = written(
        tmp_path,
        row.format(300, 20, "a"),
        row.format(300.01, 20.001, "b"),
        row.format(310, 20, "c"),
    )
    assert [r.name for r in rows] == ["a", "c"]


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "llama_3_8b"),
        ("meta-llama/Meta-Llama-3.1-70B-Instruct", "llama_3_70b"),
        ("Qwen/Qwen3-235B-A22B-FP8", "qwen3_235b_a22b"),
        ("Qwen3-32B (W4)", "qwen3_32b"),
        ("nvidia/DeepSeek-R1-0528-NVFP4", "deepseek_v3"),
        ("Qwen/Qwen3-32B-distilled", ""),
    ],
)
def test_a_model_is_named_without_owner_format_and_tuning(
    path: str, model: str, tmp_path: Path
) -> None:
    (case,) = written(
        tmp_path, f"vllm,1,{path},h100_sxm,fp8,agg,1024,1024,fp8,,16,4,1,,,,303,23,d,x"
    )
    loads = [quantity.load for quantity in case.quantities]
    assert [load.model for load in loads if load is not None] == [model] * 2 * bool(model)
    assert bool(case.reason) is not bool(model)


@pytest.mark.parametrize("tensor", [1, 2, 4, 8])
def test_a_dense_model_is_split_evenly(tensor: int) -> None:
    settings = {"phase": "decode", "batch": 16, "context": 1000}
    whole = pm.workload("llama_3_70b", **settings)
    part = shard("llama_3_70b", Parallel(tensor), settings)
    assert part.macs == pytest.approx(whole.macs / tensor, rel=1e-3)
    # Norms are repeated; everything else is divided, keys and values too.
    vectors = 8192 * 161
    assert part.weights - vectors == pytest.approx((whole.weights - vectors) / tensor, rel=1e-6)


def test_experts_are_dealt_out_and_latents_repeated() -> None:
    settings = {"phase": "decode", "batch": 8, "context": 1000}
    structure = describe("deepseek_v3").structure
    expert = 3 * structure.width * structure.experts.ffn_width
    layers = structure.layers - structure.experts.dense_layers
    for split in (Parallel(8, 1, 8), Parallel(8), Parallel(1, 8, 8)):
        part = shard("deepseek_v3", split, settings)
        stored = sum(
            part.number(times * part.graph().tensors[name].elements)
            for name, times in part.graph().stored_weights().items()
            if part.graph().tensors[name].tag == "expert"
        )
        assert stored == pytest.approx(layers * 256 * expert / 8)
        cache = next(t for t in part.graph().tensors.values() if t.role == "kv")
        assert part.number(cache.elements) == 8 * 1000 * (512 + 64)


def test_keys_are_repeated_beyond_their_heads() -> None:
    settings = {"phase": "decode", "batch": 1, "context": 100}
    four, eight = (shard("qwen3_235b_a22b", Parallel(t), settings) for t in (4, 8))
    caches = [w.graph().tensors["layer.attention.kv"] for w in (four, eight)]
    assert four.number(caches[0].elements) == eight.number(caches[1].elements)


def test_wide_weights_keep_sixteen_bits() -> None:
    settings = {"phase": "decode", "batch": 1, "context": 100}
    precision = "w=nvfp4,a=nvfp4,kv=fp8"
    narrow, wide = (
        pm.predict(
            shard("deepseek_v3", Parallel(8, 1, 8), settings, wide=w),
            pm.hardware("b200"),
            precision=precision,
        ).weight_bytes
        for w in (False, True)
    )
    assert 1.0 < wide / narrow < 1.5


def test_bad_splits_are_refused() -> None:
    with pytest.raises(InputError, match="64 heads do not divide over 3"):
        serve("llama_3_70b", "h100", tensor=3)
    with pytest.raises(InputError, match="generates no tokens"):
        serve("resnet18", "h100")


def test_one_request_on_one_device_is_a_step_and_a_prompt() -> None:
    found = serve("llama_3_8b", "h100", runtime="ideal", prompt=1024, generate=128)
    step = pm.predict(
        pm.workload("llama_3_8b", phase="decode", batch=1, context=1088),
        pm.hardware("h100"),
        runtime="ideal",
    )
    prompt = pm.predict(
        pm.workload("llama_3_8b", phase="prefill", batch=1, prompt=1024),
        pm.hardware("h100"),
        runtime="ideal",
    )
    assert found.tpot_s == pytest.approx(step.latency_s, rel=1e-12)
    assert found.ttft_s == pytest.approx(prompt.latency_s + step.latency_s, rel=1e-12)


def test_parts_add_up_to_the_time() -> None:
    found = serve(
        "deepseek_v3",
        "b200",
        runtime="sglang",
        precision=FP8,
        concurrency=64,
        tensor=1,
        data=8,
        expert=8,
    )
    assert sum(found.parts.values()) == pytest.approx(found.tpot_s, rel=1e-12)
    assert all(value > 0 for value in found.parts.values())


def test_facts_may_be_arrays_beside_the_load() -> None:
    """A refit asks for all its points together: what it fits is what `serve` predicts."""
    machine = pm.hardware("h100").machine("sglang")
    varied = {
        "runtime.efficiency.bandwidth": np.array([0.5, 0.9]),
        "runtime.kernels.all_reduce.bandwidth_share": np.array([0.3, 0.6]),
        "runtime.serving.queued_share": np.array([0.1, 0.5]),
    }
    load = np.array([4.0, 16.0])
    many = serve("llama_3_70b", machine.vary(varied), precision=FP8, concurrency=load, tensor=4)
    for i, each in enumerate(load):
        own = machine.vary({path: values[i] for path, values in varied.items()})
        one = serve("llama_3_70b", own, precision=FP8, concurrency=each, tensor=4)
        assert one.tpot_s == pytest.approx(many.tpot_s[i])
        assert one.admitted_ttft_s == pytest.approx(many.admitted_ttft_s[i])
        assert one.ttft_s == pytest.approx(one.admitted_ttft_s + one.waiting_s)


def test_the_host_launches_as_many_kernels_however_they_are_split() -> None:
    one, eight = (
        serve("llama_3_70b", "h100", runtime="vllm", precision=FP8, tensor=t) for t in (1, 8)
    )
    assert one.ttft_parts["host"] == eight.ttft_parts["host"]
    small = serve("llama_3_8b", "h100", runtime="vllm", precision=FP8)
    # A layer has as many kernels in both, beside the few before and after the layers.
    ratio = one.ttft_parts["host"] / small.ttft_parts["host"]
    assert ratio == pytest.approx(80 / 32, rel=0.02)


def test_points_equal_single_servers_and_load_never_helps_a_request() -> None:
    load = np.array([1.0, 8.0, 64.0, 4096.0])
    many = serve("llama_3_70b", "h100", runtime="vllm", precision=FP8, concurrency=load, tensor=4)
    for i, each in enumerate(load):
        one = serve(
            "llama_3_70b", "h100", runtime="vllm", precision=FP8, concurrency=each, tensor=4
        )
        assert one.tpot_s == pytest.approx(many.tpot_s[i])
        assert one.ttft_s == pytest.approx(many.ttft_s[i])
    assert np.all(np.diff(many.tpot_s) >= -1e-12 * many.tpot_s[0])
    assert many.running[-1] < 4096, "the caches of 4096 requests do not fit"


def test_a_ring_sends_what_it_must() -> None:
    structure = describe("llama_3_8b").structure
    moved = exchanged_bytes(structure, Parallel(4), 10.0)
    assert moved == 2 * 32 * (10 * 4096 * 2) * 2 * 3 / 4
    assert exchanged_bytes(structure, Parallel(1), 10.0) == 0.0


@pytest.mark.data
def test_errors_on_measured_servers(data: Path) -> None:
    (found,) = validate("llm_serving_e2e", data=data)
    assert found.coverage > 0.93
    assert found.mape is not None
    assert found.mape < 0.14
    first = found.targets["ttft_s"]["mape"]
    assert first is not None
    assert first < 0.36, "a fixed time for each engine was 37 % off"
    kinds = found.details["tpot_s"]
    assert kinds["dense"]["mape"] < 0.085
    assert kinds["mixtures of experts"]["mape"] < 0.20
    assert (found.baselines["roofline"]["mape"] or 0.0) > 0.6


@pytest.mark.data
@pytest.mark.exhaustive
def test_models_and_systems_left_out(data: Path) -> None:
    refits = dataset("llm_serving_e2e").refits(data_folder(data))
    tried = {r.target: trial(r) for r in refits if r.target.startswith("tpot_s")}
    models, systems = tried["tpot_s, models"], tried["tpot_s, systems"]
    assert models["mape"] < 0.165
    assert systems["mape"] < 0.17
    dense = [models["groups"][m] for m in ("llama_3_8b", "llama_3_70b", "qwen3_32b")]
    mean = sum(g["mape"] * g["rows"] for g in dense) / sum(g["rows"] for g in dense)
    assert mean < 0.12
    for name, (low, high) in models["constants"].items():
        assert high < 3 * low, name


def test_every_fault_of_a_load_at_once() -> None:
    with pytest.raises(InputError) as caught:
        serve("lama", "h10", runtime="vlm", generate=0, tensor=0, concurrency=-1.0)
    text = str(caught.value)
    for part in ("generate: 0", "concurrency: -1", "tensor: 0", "'lama'", "'h10'", "'vlm'"):
        assert part in text, part
    with pytest.raises(InputError) as caught:
        serve("llama_3_8b", "h100", prompt="many", generate=np.inf, concurrency=np.ones((0,)))  # type: ignore[arg-type]
    for part in (
        "prompt: 'many'",
        "generate: inf",
        "concurrency: an empty array counts no clients",
    ):
        assert part in str(caught.value), part
    with pytest.raises(InputError, match="do not go together"):
        serve("llama_3_8b", "h100", prompt=np.ones(2), concurrency=np.ones(3))
    for split in ({"expert": 5}, {"tensor": 4, "expert": 2}):
        with pytest.raises(InputError, match="expert"):
            serve("llama_3_8b", "h100", **split)


def test_a_model_that_no_device_holds_is_infeasible() -> None:
    assert not serve("llama_3_70b", "h100", precision="bf16").feasible
    assert serve("llama_3_70b", "h100", precision="bf16", tensor=4).feasible
    load = np.array([1.0, 8.0])
    assert serve("llama_3_8b", "h100", concurrency=load).feasible.tolist() == [True, True]
