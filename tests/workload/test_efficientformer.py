from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from perfmodel.workload.workload import Workload

#: Multiply-accumulates of L1 in billions by part: stem, embeddings, MLPs of both kinds, attention.
SPLIT = {
    "stem": 0.041,
    "embed": 0.115,
    "mlp4d": 0.997,
    "mlp3d": 0.079,
    "linear": 0.056,
    "products": 0.003,
}


def test_parts_of_l1(load: Callable[..., Workload]) -> None:
    net = load("efficientformer_l1")
    parts = dict.fromkeys(SPLIT, 0.0)
    for block, operator in net.graph().walk():
        macs = net.number(block.count * operator.macs)
        if operator.kind == "attention":
            parts["products"] += macs
        elif operator.name.startswith(("stem", "embed")):
            parts[operator.name.partition(".")[0].rstrip("123")] += macs
        elif "fc" in operator.name:
            parts["mlp3d" if "attention" in operator.name else "mlp4d"] += macs
        elif operator.name.endswith(("qkv", "proj")):
            parts["linear"] += macs
    for name, billions in SPLIT.items():
        assert parts[name] == pytest.approx(billions * 1e9, abs=0.0006e9), name


def test_attention_in_closed_form(load: Callable[..., Workload]) -> None:
    net = load("efficientformer_l7")
    attention = next(op for _, op in net.graph().walk() if op.kind == "attention")
    assert net.number(attention.macs) == 8 * 49 * 49 * (32 + 128)
    # No cache; the table of relative positions is one of the operands.
    assert all(t.role != "kv" for t in net.graph().tensors.values())
    table = next(t for n, t in net.graph().tensors.items() if n.endswith("attention_bias"))
    assert net.number(table.elements) == 8 * 49
    assert table.name in attention.reads


def test_attention_grows_with_the_square_of_the_pixels(load: Callable[..., Workload]) -> None:
    net = load("efficientformer_l1").bind({"height": np.array([224.0, 448.0]), "width": 224})
    attention = next(op for _, op in net.graph().walk() if op.kind == "attention")
    once, twice = net.number(attention.macs)
    assert twice == 4 * once


def test_the_second_classifier_is_a_choice(load: Callable[..., Workload]) -> None:
    both, one = load("efficientformer_l3"), load("efficientformer_l3", distillation=False)
    assert both.macs - one.macs == 512 * 1000
    assert both.weights - one.weights == 512 * 1000 + 1000


def test_models_without_attention_or_with_nothing_else(load: Callable[..., Workload]) -> None:
    none = load("efficientformer_l1", attention_blocks=0).graph()
    assert all(op.kind != "attention" for _, op in none.walk())
    every = load("efficientformer_l7").graph()
    assert not any(block.name == "stage4.pool" for block in every.blocks)
    assert next(b for b in every.blocks if b.name == "stage4.attention").count == 8
