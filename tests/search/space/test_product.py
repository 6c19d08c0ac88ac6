"""Architecture, sparsity and bits at once: against brute force and graphs rewritten by hand."""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from perfmodel.catalog import loaded
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.pareto import front
from perfmodel.predict import predict
from perfmodel.search.evolve import evolve
from perfmodel.search.oracle import Oracle
from perfmodel.search.space import product_space
from perfmodel.workload.graph import Tensor
from perfmodel.workload.image_builder import ImageBuilder
from perfmodel.workload.nas_spaces import ArchitectureDecision, ArchitectureSpace, Segment, space
from perfmodel.workload.nas_spaces.architecture_space import Choice, SizedSettings

WIDTHS = (8, 16, 32)


@dataclass(frozen=True)
class Tiny(ArchitectureSpace):
    """Two convolutions, each of three widths, the second of them may be left out."""

    def encode(self, native: Any) -> Choice:
        return self.checked([int(part) for part in native])

    def decode(self, choice: Sequence[int]) -> str:
        return "".join(map(str, choice))

    def normal(self, choice: Choice) -> Choice:
        return choice if choice[1] else (choice[0], 0)


def first(g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    return g.conv(x, WIDTHS[choice[0]], 3, padding=1, name="conv")


def second(g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    return g.conv(x, WIDTHS[choice[0] - 1], 3, padding=1, name="conv") if choice[0] else x


def head(g: ImageBuilder, x: Tensor, choice: Choice) -> Tensor:
    del choice
    return g.linear(g.global_pool(x, name="pool"), 10, name="fc")


@cache
def tiny() -> Tiny:
    return Tiny(
        "tiny",
        SizedSettings(height=16, width=16),
        (ArchitectureDecision("width1", WIDTHS), ArchitectureDecision("width2", (0, *WIDTHS))),
        (
            Segment("first", (0,), 1, first),
            Segment("second", (1,), 1, second),
            Segment("head", (), 1, head),
        ),
    )


def tiny_product() -> Any:
    return product_space(
        tiny(),
        weights=("int8", "int4", "int8+2:4"),
        activations=("int8",),
        stages={"first": ["first"], "second": ["second"]},
        precision="w8a8",
    )


def noise(choices: Any) -> Any:
    """A loss that width lowers, and that bits and sparsity raise, more in wide layers."""
    rows = np.asarray(choices)
    lost = np.array([0.0, 0.9, 0.4])
    one, two = np.array(WIDTHS)[rows[:, 0]], np.array((0, *WIDTHS))[rows[:, 1]]
    bits = lost[rows[:, 2]] + lost[rows[:, 3]] * 0.5 * (two > 0)
    return 3.0 - np.sqrt(one) / 3 - np.sqrt(two) / 4 + bits


def whole(s: Any) -> Any:
    sizes = [len(d.options) for d in s.decisions]
    rows = np.stack(np.meshgrid(*(np.arange(n) for n in sizes), indexing="ij"), -1)
    return sorted({s.canonical(r) for r in rows.reshape(-1, len(sizes)).tolist()})


def test_members_are_graphs_in_formats() -> None:
    s = tiny_product()
    assert s.size == 3 * 4 * 3 * 3
    assert [d.name for d in s.decisions] == ["width1", "width2", "first.weights", "second.weights"]
    made = s.workload((2, 1, 1, 2), batch=1)
    graph = made.graph()
    formats = {n: t.format for n, t in graph.tensors.items() if t.role == "weight" and t.format}
    assert formats == {"first.conv.weight": "int4", "second.conv.weight": "int8+2:4"}
    # Bytes by hand: 3x3 convolutions 3 -> 32 at 4 bits and 32 -> 8 at 8 bits, every other weight
    # left out with 2 bits of index each that stays; the classifier at 8; biases as predicted.
    weights = 3 * 32 * 9 * 0.5 + 32 * 8 * 9 * 0.5 * (1 + 2 / 8) + 8 * 10
    device = hardware("raspberry_pi_5")
    plain = predict(tiny().workload((2, 1)), device, precision="w8a8")
    full = 3 * 32 * 9 + 32 * 8 * 9 + 8 * 10
    told = predict(made, device)
    saved = float(plain.weight_bytes) - float(told.weight_bytes)
    assert saved == pytest.approx(full - weights, rel=1e-12)


def test_formats_of_what_is_left_out_do_not_count() -> None:
    s = tiny_product()
    assert s.canonical((1, 0, 2, 1)) == (1, 0, 2, 0)
    assert s.workload((1, 0, 2, 1)).graph() == s.workload((1, 0, 2, 2)).graph()
    assert len(whole(s)) == 3 * 3 + 3 * 3 * 9
    for choice in ((2, 1, 1, 2), (0, 0, 2, 0)):
        assert s.encode(s.decode(choice)) == choice
    assert pickle.loads(pickle.dumps(product_space(space("fbnet")))).size == 9**22 * 2**24


def test_activations_and_their_conversions() -> None:
    s = product_space(tiny(), weights=(), activations=("int8", "fp16"), precision="w8a8")
    same = s.workload((1, 1, 0, 0, 0)).graph()
    mixed = s.workload((1, 1, 0, 1, 0)).graph()
    kinds = [[o.kind for _, o in g.walk()] for g in (same, mixed)]
    assert "quantise" not in kinds[0]
    assert kinds[1].count("quantise") == 2  # into the second stage and out of it
    assert mixed.tensors["second.conv.out"].format == "fp16"


@pytest.mark.parametrize(
    "method",
    [
        pytest.param(
            "nsga2",
            marks=pytest.mark.skipif(
                not loaded("pymoo"),
                reason="pymoo is not installed: pip install 'perfmodel[search]'",
            ),
        ),
        "regularised",
    ],
)
def test_joint_search_finds_the_front_of_brute_force(method: str) -> None:
    s = tiny_product()
    oracle = Oracle("raspberry_pi_5", s, ("latency_s", "weight_bytes"))
    assert oracle.method == "predicted"
    rows = np.array(whole(s))
    told = oracle.batch(rows)
    limit = float(np.median(told["latency_s"])) * (1 + 1e-12)
    fits = told["latency_s"] <= limit
    values = np.stack([told["weight_bytes"], noise(rows)], axis=1)
    best = {tuple(r) for r in rows[fits][front(values[fits])].tolist()}
    assert len({(c[2], c[3]) for c in best}) > 2  # formats are mixed on the front
    assert len({(c[0], c[1]) for c in best}) > 2  # and so are architectures
    found = evolve(
        oracle,
        s,
        ["weight_bytes", "loss"],
        [f"latency_s <= {limit!r}"],
        method=method,
        population=16,
        evaluations=80,
        extra={"loss": noise},
        seed=2,
    )
    assert found.evaluations <= 80 < len(rows)
    got = {tuple(c) for c in found.choices.tolist()}
    assert len(got & best) >= 0.9 * len(best)


def test_every_fault_at_once() -> None:
    with pytest.raises(InputError) as told:
        product_space(
            tiny(),
            weights=("int9x", "int8", "int8"),
            activations=("int8+2:4",),
            stages={"a": ["frst"], "b": ["head"], "c": ["head"]},
        )
    text = str(told.value)
    for part in (
        "weights[0]",
        "twice",
        "activations[0]",
        "stages.a",
        "did you mean 'first'",
        "is in 'b' already",
    ):
        assert part in text
    s = tiny_product()
    with pytest.raises(InputError) as told:
        s.encode({"architecture": [0, 9], "formats": {"first.weights": "int2", "x": "int4"}})
    assert len(told.value.faults) == 4
