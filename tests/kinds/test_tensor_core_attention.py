"""Attention kernels on a GPU: closed forms, brute force over blocks, physics, and measured rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.kinds.tensor_core.attention import (
    BLOCK,
    AttentionExtents,
    Chip,
    decode_parts,
    prefill_parts,
    resident_share,
)
from perfmodel.kinds.tensor_core.constants import TensorCoreKernel
from perfmodel.predict import predict
from perfmodel.workload.workload import Workload

H100 = Chip(989.4e12, 132.0, 1.83e9, 3.35e12, 52.4e6, 8e12)
PREFILL = TensorCoreKernel.constants(
    {
        "launch": 1e-5,
        "peak_share": 0.9,
        "exp_cost": 0.5,
        "block_time": 4e-6,
        "bandwidth_share": 0.95,
        "pnorm": 1.0,
        "narrow_slowdown": 1.2,
    }
)
DECODE = TensorCoreKernel.constants(
    {
        "launch": 1e-5,
        "combine": 1e-7,
        "query_rows": 64.0,
        "peak_share": 0.5,
        "exp_cost": 0.6,
        "bandwidth_share": 0.95,
        "ramp": 5e-6,
        "pnorm": 4.0,
    }
)


def attention(batch: int, queries: int, keys: int) -> Workload:
    """Attention of 32 heads over 8 of 128: of a prompt, or of one new token over a cache."""
    sizes = {"batch": batch, "keys": keys}
    if queries == 1:
        return pm.workload("attention_kernel", phase="decode", **sizes)
    return pm.workload("attention_kernel", queries=queries, **sizes)


@pytest.mark.parametrize(("queries", "keys"), [(128, 128), (300, 300), (1024, 1024), (130, 900)])
def test_products_are_those_of_the_blocks_on_and_below_the_diagonal(
    queries: int, keys: int
) -> None:
    side = int(BLOCK)
    pairs = 0
    past = math.ceil((keys - queries) / side)
    for block in range(math.ceil(queries / side)):
        for other in range(math.ceil(keys / side) + 1):
            if other <= past + block:
                pairs += side * side
    found = prefill_parts(
        AttentionExtents(2.0, queries, keys, 32.0, 32.0, 128.0), H100, PREFILL, moved_bytes=1.0
    )
    flops = 4.0 * 128.0 * 2 * 32 * pairs
    assert float(found.products) == pytest.approx(flops / (0.9 * 989.4e12), rel=1e-12)


def test_half_of_a_square_is_masked() -> None:
    n = 64 * 128
    extents = AttentionExtents(1.0, n, n, 8.0, 8.0, 128.0)
    masked = prefill_parts(extents, H100, PREFILL, moved_bytes=1.0)
    full = prefill_parts(extents, H100, PREFILL, moved_bytes=1.0, causal=False)
    assert float(masked.products / full.products) == pytest.approx((64 + 1) / (2 * 64))


def test_exponentials_of_flash_attention_3_take_half_of_the_products_time() -> None:
    # Shah et al., section 3.1: for heads of 128, 512 times more products than exponentials, at 256
    # times the rate: exponentials take half as long.
    kernel = TensorCoreKernel.constants({"pnorm": 1.0})
    found = prefill_parts(
        AttentionExtents(8.0, 8192, 8192, 16.0, 16.0, 128.0),
        H100._replace(exponentials=16.0),
        kernel,
        moved_bytes=1.0,
    )
    assert float(found.exponentials / found.products) == pytest.approx(0.5, rel=0.01)


def test_a_group_of_heads_is_padded_to_the_tile() -> None:
    def products(heads: int) -> float:
        found = decode_parts(
            AttentionExtents(1.0, 1.0, 4096.0, heads, 1.0, 128.0), H100, DECODE, moved_bytes=1e6
        )
        return float(found.products)

    assert products(1) == products(64)
    assert products(65) == 2 * products(64)


SIZES = st.integers(1, 64).map(lambda n: float(128 * n))


@given(keys=SIZES, batch=st.integers(1, 64), factor=st.floats(1.0, 4.0))
def test_a_better_machine_or_a_smaller_problem_is_never_slower(
    keys: float, batch: int, factor: float
) -> None:
    moved = 2.0 * batch * 8 * keys * 128 * 2

    def decode(chip: Chip, k: float = keys) -> float:
        return float(
            decode_parts(
                AttentionExtents(batch, 1.0, k, 32.0, 8.0, 128.0),
                chip,
                DECODE,
                moved_bytes=moved * k / keys,
            ).total
        )

    def prefill(chip: Chip, k: float = keys) -> float:
        return float(
            prefill_parts(
                AttentionExtents(batch, k, k, 32.0, 8.0, 128.0),
                chip,
                PREFILL,
                moved_bytes=moved * k / keys,
            ).total
        )

    for run in (decode, prefill):
        before = run(H100)
        for field in ("peak", "clock", "bandwidth"):
            better = H100._replace(**{field: getattr(H100, field) * factor})
            assert run(better) <= before * (1 + 1e-12)
        assert run(H100, keys * 2) >= before


def test_what_a_cache_keeps_of_repeats() -> None:
    sizes = np.array([1e6, 3e7, 6e7, 1e9])
    shares = resident_share(sizes, 52.4e6)
    assert np.all(np.diff(shares) < 0)
    assert shares[0] == pytest.approx(1.0)
    assert shares[-1] < 1e-10


RUNTIMES = ("vllm_flash_attention_3", "vllm_flash_attention_2", "vllm_flashinfer", "vllm_0_14")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_batch_of_points_equals_single_points(runtime: str) -> None:
    keys = np.array([128.0, 1000.0, 8192.0])
    for queries in (1, 0):
        many = attention(4, queries or 128, 4096)
        name = "keys" if queries else "queries"
        settings = {"keys": keys} if queries else {"queries": keys, "keys": keys}
        found = predict(many.bind(settings), pm.hardware("h100"), precision="bf16", runtime=runtime)
        for i, size in enumerate(keys.tolist()):
            one = predict(
                many.bind(dict.fromkeys(settings, size)),
                pm.hardware("h100"),
                precision="bf16",
                runtime=runtime,
            )
            assert float(one.latency_s) == pytest.approx(float(found.latency_s[i]), rel=1e-9), name


def test_attention_of_a_whole_model_is_its_layers_kernels() -> None:
    model = pm.workload("llama_3_8b", phase="decode", batch=8, context=4096)
    device = pm.hardware("h100")
    whole = pm.predict(model, device, precision="bf16", runtime="vllm_flash_attention_3")
    table = whole.table.where("kind == 'attention'")
    alone = predict(
        attention(8, 1, 4096),
        device,
        precision="bf16",
        runtime="vllm_flash_attention_3",
    )
    # The layers' activations stay in the L2; the kernel alone brings them from memory.
    each = float(np.asarray(table["row_s"])[0])
    assert each == pytest.approx(float(alone.latency_s), rel=0.02)


def test_serving_finds_no_cache_left_in_the_l2() -> None:
    work = attention(1, 1, 4096)
    device = pm.hardware("h100")
    options = {"precision": "bf16", "runtime": "vllm_flash_attention_3"}
    cold = predict(work, device, **options)
    warm = predict(work, device, warm=True, **options)
    assert float(warm.latency_s) < float(cold.latency_s)


@pytest.fixture(scope="module")
def measured() -> Any:
    """Errors on measured kernels, those with each device left out among them."""
    (result,) = pm.validate("gpu_attention", left_out=True)
    return result


@pytest.mark.data
@pytest.mark.parametrize(("target", "bound"), [("prefill_s", 0.14), ("decode_s", 0.10)])
def test_measured_kernels_with_each_device_left_out(
    measured: Any, target: str, bound: float
) -> None:
    assert measured.coverage == 1.0
    assert measured.left_out[target]["mape"] < bound
    assert measured.targets[target]["mape"] < measured.baselines["roofline"]["mape"] / 4
