"""What becomes of edges without operation: counted anew from the published figure of a cell."""

from __future__ import annotations

import pickle
from typing import cast

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.search.oracle import Oracle
from perfmodel.workload.nas_spaces import space
from perfmodel.workload.nas_spaces.nas_bench_201 import EDGES, NasBench201
from perfmodel.workload.nas_spaces.nas_bench_cell import CONV_1X1, CONV_3X3, NONE, SKIP, Zeros

#: Multiply-accumulates of the three stages of five cells, by operation of an edge.
EDGE_MACS = {CONV_1X1: 15 * 512**2, CONV_3X3: 15 * 9 * 512**2}

SAMPLE = space("nas_bench_201").sample(150, seed=3).tolist()


def there(zeros: Zeros) -> NasBench201:
    return cast("NasBench201", space("nas_bench_201", batch_norm="folded", zeros=zeros))


def running(choice: tuple[int, ...], zeros: Zeros) -> int:
    """Return the work of a cell's edges that run, by reachability over the edges themselves."""
    if zeros in ("multiplied", "eager"):
        return sum(EDGE_MACS.get(op, 0) for op in choice)
    live = [edge for edge, op in zip(EDGES, choice, strict=True) if op != NONE]
    ahead = {3}
    for node in (2, 1, 0):
        if any(a == node and b in ahead for a, b in live):
            ahead.add(node)
    behind = {0}
    for node in (1, 2, 3):
        if any(b == node and a in behind for a, b in live):
            behind.add(node)
    return sum(
        EDGE_MACS.get(op, 0)
        for (a, b), op in zip(EDGES, choice, strict=True)
        if op != NONE and b in ahead and (zeros == "folded" or a in behind)
    )


@pytest.mark.parametrize("zeros", ["removed", "multiplied", "folded", "eager"])
def test_every_cell_runs_the_convolutions_that_it_should(zeros: Zeros) -> None:
    made = there(zeros)
    base = made.workload((SKIP,) * 6).macs
    for choice in map(tuple, SAMPLE):
        assert made.workload(choice).macs == base + running(choice, zeros), choice


def test_a_cell_by_hand() -> None:
    # Node 2 is zero; a convolution reads it: gone, run on a constant, run behind two products.
    text = "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    kinds = {
        zeros: [
            dict(op.attributes).get("function", op.kind)
            for _, op in made.graph(made.encode(text)).walk()
            if op.name.startswith("cells1")
        ]
        for zeros in ("removed", "multiplied", "folded", "eager")
        if (made := there(zeros))
    }
    assert kinds["removed"] == []
    assert sorted(kinds["folded"]) == ["add", "conv", "relu"]
    assert sorted(kinds["multiplied"]) == [
        "add",
        "add",
        "add",
        "conv",
        "mul",
        "mul",
        "pool",
        "relu",
    ]
    # Each edge adds, the first one to zero; no two edges share a product with zero.
    assert sorted(kinds["eager"]) == [*["add"] * 6, "conv", *["mul"] * 3, "pool", "relu"]


def test_networks_that_are_the_same_have_one_canonical_choice() -> None:
    modes: tuple[Zeros, ...] = ("removed", "folded", "multiplied")
    removed, folded, multiplied = (
        len({there(zeros).canonical(choice) for choice in there(zeros)}) for zeros in modes
    )
    # A constant stands as the cell's input: every network of the one is among the other's.
    assert removed == folded < multiplied < 15625
    made = there("multiplied")
    # Both inner nodes are the input itself, so that it does not matter which one is read.
    left = (SKIP, SKIP, NONE, CONV_3X3, NONE, CONV_1X1)
    assert made.canonical(left) == made.canonical(made.canonical(left))
    assert made.workload(left).macs == made.workload(made.canonical(left)).macs


def test_a_space_keeps_what_becomes_of_zeros() -> None:
    made = there("folded")
    again = pickle.loads(pickle.dumps(made))
    assert again == made != there("removed")
    assert again.zeros == "folded"
    with pytest.raises(InputError, match="zeros"):
        space("nas_bench_201", zeros="dropped")


@pytest.mark.parametrize(
    "zeros",
    [
        pytest.param("multiplied", marks=pytest.mark.exhaustive),
        "folded",
        pytest.param("eager", marks=pytest.mark.exhaustive),
    ],
)
def test_the_oracle_agrees_with_predict(zeros: Zeros) -> None:
    made = there(zeros)
    oracle = Oracle("zen4_core", made, ("latency_s", "traffic_bytes.dram"), warm=True)
    device = hardware("zen4_core")
    assert oracle.method == "tabled"
    for choice in SAMPLE[:40]:
        found = predict(made.workload(tuple(choice)), device, warm=True)
        told = oracle(tuple(choice))
        assert told["latency_s"] == pytest.approx(found.latency_s, rel=1e-9)
        assert told["traffic_bytes.dram"] == pytest.approx(
            float(np.asarray(found.traffic_bytes["dram"])), rel=1e-9, abs=1e-6
        )
