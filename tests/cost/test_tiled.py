"""Tiled traffic of whole networks: against staircases nest by nest, and physics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.cost.tiled_traffic import tiled_traffic
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.cost.traffic.staircase import staircase
from perfmodel.formats import as_precision
from perfmodel.workload.library import find
from perfmodel.workload.lower import lower
from perfmodel.workload.operator_table import OperatorTable
from tests.draws import draws

KIB = 1024.0


def table_of(name: str, points: int = 1, **parameters: object) -> OperatorTable:
    workload = find(name, parameters)
    return lower(workload.graph()).bind(workload.parameters, points, nests=True)


def setting_of(capacity: object, precision: str = "int8", weights: str = "dram") -> Setting:
    facts = {
        "memories.sram.capacity": capacity,
        "memories.dram.capacity": 1e12,
        "memories.dram.bandwidth": 1e10,
        "memories.flash.bandwidth": 1e9,
    }
    return Setting(facts, "npu", ("sram", "dram"), weights, as_precision(precision))


def network(table: OperatorTable, setting: Setting, **options: object) -> np.ndarray:
    found = tiled_traffic(table, setting, **options)  # type: ignore[arg-type]
    return sum((table.count * moved).sum(axis=0) for moved in found.traffic.values())


def test_a_network_is_the_sum_of_its_staircases() -> None:
    """VGG-like layers without padding: nothing but staircases and what crosses once."""
    table = table_of("resnet18", height=230, width=230)
    setting = setting_of(64 * KIB)
    found = tiled_traffic(table, setting)
    nests = table.nests
    assert nests is not None
    i = nests.name.index("conv1")
    nest = TileNest(115, 115, 64, 3, 7, 7, 2, 2)
    alone = staircase(nest, Widths(1, 1, 1, 4), Conventions())
    # Padding of 3 a side lies in the tile and is not fetched.
    real = (230 / (2 * 114 + 7)) ** 2
    steps = alone.input_bytes * real + alone.weight_bytes + alone.output_bytes
    fits = alone.capacity_bytes <= 64 * KIB
    total = found.nests.input[i] + found.nests.weight[i] + found.nests.output[i]
    np.testing.assert_allclose(total, steps[fits].min(), rtol=1e-12)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "vit_b_16", "llama_3_8b"])
def test_plenty_of_room_is_compulsory(name: str) -> None:
    """Where every operand fits, what each row touches crosses once: the residency rule's figure."""
    table = table_of(name)
    found = tiled_traffic(table, setting_of(1e12))
    moved = level_traffic(table, replace(setting_of(1e12), levels=("dram",)))["dram"]
    total = found.traffic["dram"]
    strided = [i for i, row in enumerate(table.rows) if "downsample" in row.name]
    keep = [i for i in range(len(table.rows)) if i not in strided]
    np.testing.assert_allclose(total[keep], moved[keep], rtol=1e-9)
    # A 1x1 convolution of stride 2 needs a quarter of its input.
    assert np.all(total[strided] <= moved[strided])


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "llama_3_8b", "mixtral_8x7b"])
def test_more_capacity_never_adds_traffic(name: str, keep: float) -> None:
    capacity = np.geomspace(4 * KIB, 1e9, 200)
    table = table_of(name, 200)
    total = network(table, setting_of(capacity), keep=keep)
    assert np.all(np.diff(total) <= 1e-12 * total[0])
    singles = [network(table_of(name), setting_of(float(c)), keep=keep)[0] for c in capacity[::40]]
    np.testing.assert_allclose(total[::40], singles, rtol=1e-12)


def test_keeping_activations_never_costs() -> None:
    table = table_of("mobilenet_v2", 60)
    capacity = np.geomspace(8 * KIB, 1e8, 60)
    alone = network(table, setting_of(capacity))
    kept = network(table, setting_of(capacity), keep=0.5)
    assert np.all(kept <= alone)
    assert kept[-1] < 0.6 * alone[-1]


@settings(max_examples=draws(15))
@given(st.lists(st.integers(1, 3000), min_size=2, max_size=40), st.floats(4e3, 1e7))
def test_arrays_of_batches_equal_singles(batches: list[int], capacity: float) -> None:
    """Staircases for few shapes and closed forms for many agree with one call a point."""
    batch = np.array(batches, dtype=float)
    table = table_of("llama_3_8b", len(batch), phase="decode", batch=batch, context=77)
    exact = network(table, setting_of(capacity))
    singles = [
        network(
            table_of("llama_3_8b", phase="decode", batch=float(b), context=77), setting_of(capacity)
        )[0]
        for b in batch
    ]
    np.testing.assert_allclose(np.broadcast_to(exact, len(batch)), singles, rtol=1e-12)


def test_closed_forms_take_over_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = np.arange(1.0, 200.0)
    table = table_of("llama_3_8b", len(batch), phase="decode", batch=batch, context=77)
    setting = setting_of(100 * KIB)
    exact = network(table, setting)
    monkeypatch.setattr("perfmodel.cost.tiled_traffic.SHAPES", 3)
    closed = network(table, setting)
    assert np.all(closed >= exact * (1 - 1e-12))
    assert np.all(closed <= exact * 1.01)


@pytest.mark.parametrize("allocation", ["even", "uneven"])
def test_closed_forms_of_convolutions_take_over(
    allocation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = np.arange(1.0, 7.0)
    table = table_of("mobilenet_v2", len(batch), batch=batch, height=96, width=96)
    rule = Conventions(allocation=allocation)  # type: ignore[arg-type]
    exact = network(table, setting_of(100 * KIB), conventions=Conventions())
    monkeypatch.setattr("perfmodel.cost.tiled_traffic.SHAPES", 0)
    closed = network(table, setting_of(100 * KIB), conventions=rule)
    if allocation == "even":
        assert np.all(closed >= exact * (1 - 1e-12))
    assert np.all(closed <= exact * 1.02)


def test_weights_of_their_own_memory_cross_there() -> None:
    table = table_of("resnet18")
    together = tiled_traffic(table, setting_of(256 * KIB)).traffic
    apart = tiled_traffic(table, setting_of(256 * KIB, weights="flash")).traffic
    assert set(apart) == {"dram", "flash"}
    np.testing.assert_allclose(apart["dram"] + apart["flash"], together["dram"], rtol=1e-12)
    stored = 11.69e6
    assert float((table.count * apart["flash"]).sum()) >= stored


def test_too_small_a_scratchpad_is_infinite() -> None:
    assert np.isinf(network(table_of("resnet18"), setting_of(4.0))[0])


@pytest.mark.parametrize(
    "name",
    # JAX compiles every layer of a network of convolutions for itself: 15 seconds.
    ["llama_3_8b", pytest.param("tiny_cnn", marks=pytest.mark.exhaustive)],
)
def test_relaxed_traffic_under_numpy_and_jax(name: str) -> None:
    """Continuous forms: alike in both namespaces, near the exact ones, at least compulsory."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        table = table_of(name)
        sizes = [24 * KIB, 200 * KIB]
        exact = [network(table, setting_of(size))[0] for size in sizes]
        least = network(table, setting_of(1e12))[0]
        plain = [network(table, replace(setting_of(s), relaxed=True))[0] for s in sizes]
        compiled = jax.jit(
            lambda s: network(table, replace(setting_of(s), relaxed=True, xp=jnp))[0]
        )
        traced = [float(compiled(s)) for s in sizes]
    np.testing.assert_allclose(traced, plain, rtol=1e-9)
    assert np.all(np.array(plain) >= 0.97 * least)
    assert np.all(np.abs(np.array(plain) / exact - 1) < 0.25)
