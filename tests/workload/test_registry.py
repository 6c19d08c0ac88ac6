"""One entry an operator: every format finds it by its own name, and counts the same work."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import pytest
from onnx import helper as untyped

from perfmodel.workload.importers.keras.topology import HANDLERS as KERAS
from perfmodel.workload.importers.onnx import load_onnx
from perfmodel.workload.importers.onnx.operator_domains import STANDARD
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FUNCTIONS,
    GROUPS,
    LOOKUPS,
    NORMS,
    POOLS,
    REDUCTIONS,
    find_by_name,
    normalise_name,
)
from perfmodel.workload.importers.tflite.registry import OPERATORS
from perfmodel.workload.importers.tflite.translation_table import handler_of
from perfmodel.workload.importers.torch_export.aten_translations import writer_of

#: Functions that other modules call.
SHARED = {
    "quantised_global_pool_shape",
    "stated_shape",
    "price_unknown",
    "same_padding",
    "quantiser_format",
    "conversion_operations",
    "stft_frames",
}

#: Function -> operations an element: a transcendental counts 4, a division 4, a product 1.
OPERATIONS = {
    "Relu": 1,
    "LeakyRelu": 2,
    "Sigmoid": 6,
    "HardSwish": 4,
    "Tanh": 8,
    "Exp": 4,
    "Sqrt": 4,
    "Neg": 1,
    "Sin": 4,
    "Softsign": 6,
    "Swish": 7,
    "Gelu": 12,
    "Mish": 14,
    "Reciprocal": 4,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_function_counts_operations_an_element(name: str, tmp_path: Path) -> None:
    helper: Any = untyped
    shape = ["n", 8]
    graph = helper.make_graph(
        [helper.make_node(name, ["x"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", 1, shape)],
        [helper.make_tensor_value_info("y", 1, shape)],
    )
    path = tmp_path / "one.onnx"
    opset = helper.make_opsetid("", 24 if name == "Swish" else 22)
    model: Any = helper.make_model(graph, opset_imports=[opset])
    path.write_bytes(model.SerializeToString())
    (operator,) = (op for _, op in load_onnx(path).graph().walk())
    assert operator.vector_ops == OPERATIONS[name] * operator.accesses[0].elements
    assert operator.accesses[0].elements == operator.accesses[1].elements


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("LeakyRelu", ("LEAKY_RELU", "leaky_relu", "LeakyReLU")),
        ("Div", ("DIV", "true_divide", "TrueDivide", "FLOOR_DIV")),
        ("LessOrEqual", ("LESS_EQUAL", "le")),
        ("Swish", ("silu", "SWISH")),
    ],
)
def test_formats_spell_a_function_their_own_way(name: str, spellings: tuple[str, ...]) -> None:
    for spelling in spellings:
        found = find_by_name(spelling, FUNCTIONS)
        assert found is not None
        assert found.name == name


def test_every_operator_has_a_price_or_says_why() -> None:
    unpriced = {name for name, operator in STANDARD.items() if operator.price is None}
    assert unpriced == {"Scan"}


def test_every_rule_and_price_is_of_an_entry() -> None:
    """A function of a node that no entry names prices nothing, unless another one calls it."""
    operators = [each for group in (*GROUPS.values(), OPERATORS) for each in group.values()]
    named = {getattr(f, "func", f) for each in operators for f in (each.shape, each.price)}
    for module in {sys.modules[f.__module__] for f in named if f is not None}:
        source = inspect.getsource(module)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                assert function in named or source.count(name) > 1 or name in SHARED, name


def test_no_name_stands_for_two_operators_of_a_group() -> None:
    for group in (FUNCTIONS, REDUCTIONS, NORMS, POOLS, COPIES):
        for operator in group.values():
            for name in (operator.name, *operator.other_names):
                assert group[normalise_name(name)] is operator
    # What ATen calls gather and scatter are other operators of ONNX than those of these names.
    assert LOOKUPS["Gather"].name == "Gather"
    assert LOOKUPS["gather"].name == "GatherElements"


def test_a_format_may_mean_another_thing_by_a_name() -> None:
    assert handler_of("WHERE") is None
    assert handler_of("SELECT_V2") is not None
    assert handler_of("MEAN") is not None
    assert writer_of("aten_of_no_such_name") is None
    assert writer_of("gather") is not None
    assert KERAS["Add"] is not KERAS["Divide"]
