"""Plain graphs: what may be written, and every fault with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from perfmodel.errors import InputError
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph
from perfmodel.workload.layer_expressions import Scope, SizeError
from perfmodel.workload.layer_extents import parse_extent
from perfmodel.workload.layer_operators import ELSEWHERE, OPERATORS
from perfmodel.workload.library import find
from perfmodel.workload.plain_graph import FAMILY_LAYERS, LayersStructure
from perfmodel.workload.symbols import evaluate, symbol
from perfmodel.workload.workload import Workload, from_family


def net(layers: list[dict[str, Any]], shape: list[Any] | None = None, **rest: Any) -> Workload:
    data = {"inputs": {"x": shape or [1, 3, 8, 8]}, "layers": layers, **rest}
    structure = LayersStructure.model_validate(data)
    return from_family("net", FAMILY_LAYERS, structure, {})


def kinds(graph: Graph) -> list[str]:
    return [operator.kind for _, operator in graph.walk()]


def test_the_example_counts_what_its_layers_multiply(load: Callable[..., Workload]) -> None:
    file = find("tiny_cnn")
    c, h = 16, 16
    stem = h * h * c * 27
    blocks = 3 * 2 * h * h * c * c * 9
    expand = h * h * c * 4 * c
    depthwise = (h // 2) ** 2 * 4 * c * 25
    head = 4 * c * 10
    assert file.macs == stem + blocks + expand + depthwise + head
    assert file.unit == "frames"
    assert file.bind({"batch": 5}).items() == 5
    weights = (27 * c + c) + 3 * 2 * (9 * c * c + c) + 4 * c * c + 2 * 4 * c + 26 * 4 * c
    assert file.weights == weights + head + 10


def test_free_dimensions_take_arrays() -> None:
    channels, batch = np.array([8.0, 16.0, 24.0]), np.array([[1.0], [3.0]])
    many = find("tiny_cnn", {"channels": channels, "batch": batch}).macs
    assert many.shape == (2, 3)
    for (i, j), macs in np.ndenumerate(many):
        one = find("tiny_cnn", {"channels": channels[j], "batch": batch[i, 0]}).macs
        assert macs == pytest.approx(one, rel=1e-12)


#: Layers that reach every operator; functions share one entry of the table.
EVERY: list[dict[str, Any]] = [
    {"name": "conv", "op": "conv", "input": "x", "channels": 8, "kernel": [3, 3], "padding": 1},
    {"name": "again", "op": "conv", "channels": 8, "kernel": 3, "padding": "same"},
    {"name": "tied", "op": "conv", "channels": 8, "kernel": 3, "padding": 1, "weight": "again"},
    {"name": "up", "op": "conv_transpose", "channels": 4, "kernel": 2, "stride": 2},
    {"name": "pool", "op": "pool", "kernel": 2, "ceil": True},
    {"name": "bigger", "op": "resize", "spatial": [16, 16]},
    {"name": "quarter", "op": "slice", "shape": [1, 4, 8, 8]},
    {"name": "padded", "op": "pad", "shape": [1, 4, 10, 10]},
    {"name": "shifted", "op": "shift"},
    {"name": "copied", "op": "copy"},
    {"name": "channels_last", "op": "transpose", "order": [0, 2, 3, 1]},
    {"name": "tokens", "op": "view", "shape": [1, 100, 4]},
    {"name": "bn", "op": "batch_norm", "input": "conv"},
    {"name": "gn", "op": "group_norm"},
    {"name": "ln", "op": "layer_norm", "input": "tokens"},
    {"name": "rms", "op": "rms_norm"},
    {"name": "q8", "op": "quantise", "format": "int8"},
    {"name": "f", "op": "dequantise"},
    {"name": "linear", "op": "linear", "features": 12, "tag": "ffn_up"},
    {"name": "qkv", "op": "attention", "heads": 2, "head_dim": 2, "value_dim": 3, "kv_heads": 1},
    {"name": "cross", "op": "attention", "heads": 2, "inputs": ["linear", "tokens"]},
    {
        "name": "cached",
        "op": "attention",
        "heads": 3,
        "head_dim": 4,
        "cached": True,
        "keys": 64,
        "input": "linear",
        "window": 16,
        "causal": True,
    },
    {
        "name": "moe",
        "op": "experts",
        "experts": 8,
        "per_token": 2,
        "features": 6,
        "matrices": 2,
        "input": "linear",
    },
    {"name": "lstm", "op": "lstm", "hidden": 5, "directions": 2, "input": "tokens"},
    {"name": "gru", "op": "gru", "hidden": 5},
    {"name": "rnn", "op": "rnn", "hidden": 5, "bias": False},
    {"name": "scan", "op": "scan", "state": 3, "input": "tokens"},
    {"name": "words", "op": "embedding", "vocabulary": 100, "features": 4, "input": "ids"},
    {"name": "scores", "op": "matmul", "inputs": ["words", "ids_t"]},
    {"name": "soft", "op": "softmax"},
    {"name": "join", "op": "concat", "inputs": ["scores", "soft"], "axis": -1},
    {"name": "custom", "op": "elementwise", "function": "sigmoid", "ops": 2.5, "format": "fp16"},
    {"name": "mean", "op": "reduce", "shape": [1, 6]},
    {"name": "global", "op": "global_pool", "input": "conv", "keep": True},
    {"name": "flat", "op": "flatten"},
    {
        "name": "cn",
        "op": "conv_norm",
        "input": "conv",
        "channels": 6,
        "kernel": 3,
        "stride": 2,
        "activation": "relu",
    },
    {"name": "se", "op": "squeeze_excite", "channels": 2, "gate": "hard_sigmoid"},
    {"name": "scale", "op": "weight", "shape": [6, 1, 1], "tag": "vector"},
    {"name": "scaled", "op": "mul", "inputs": ["se", "scale"]},
    {"name": "shifting", "op": "deformable_conv", "channels": 6},
    {"name": "prompt", "op": "input", "shape": [1, 6, 4], "format": "int8"},
    {"name": "cache", "op": "tensor", "shape": [1, 64, 24], "role": "kv"},
    {
        "name": "kept",
        "op": "attention",
        "heads": 3,
        "head_dim": 4,
        "cached": True,
        "keys": 64,
        "input": "linear",
        "cache": "cache",
        "stores": False,
        "stored": 128,
    },
    {
        "name": "own",
        "op": "operator",
        "kind": "gemm",
        "inputs": ["words", "prompt"],
        "shape": [1, 6, 6],
        "vector_ops": 7,
        "elements": [None, 12],
        "writes": ["cache"],
        "nests": [
            {
                "loops": {"m": 6, "n": 6, "k": 4},
                "operands": [["words", "mk"], ["prompt", "nk"], ["cache", "mn"]],
            }
        ],
    },
]


def every(**rest: Any) -> Workload:
    inputs = {"x": [1, 3, 8, 8], "ids": {"shape": [1, 6], "format": "int64"}, "ids_t": [1, 4, 6]}
    outputs = [layer["name"] for layer in EVERY]
    structure = LayersStructure.model_validate(
        {"inputs": inputs, "layers": EVERY, "outputs": outputs, **rest}
    )
    return from_family("every", FAMILY_LAYERS, structure, {})


def test_every_operator_of_the_builder_is_reachable() -> None:
    graph = every().graph()
    used = {layer["op"] for layer in EVERY}
    functions = {n for n, op in OPERATORS.items() if not op.fields} - used
    assert used | functions == set(OPERATORS)
    assert set(kinds(graph)) == {
        "conv",
        "pool",
        "resize",
        "copy",
        "view",
        "elementwise",
        "norm",
        "quantise",
        "gemm",
        "attention",
        "moe",
        "recurrent",
        "scan",
        "gather",
        "softmax",
    }
    for name in functions:
        assert net([{"name": "a", "op": name}]).graph().blocks[0].operators[0].kind == "elementwise"


def test_operators_carry_their_sizes() -> None:
    graph = every().graph()
    macs = {operator.name: operator.macs for _, operator in graph.walk() if operator.macs}
    assert macs == {
        "conv": 8 * 8 * 8 * 27,
        "again": 8 * 8 * 8 * 72,
        "tied": 8 * 8 * 8 * 72,
        "up": 8 * 8 * 8 * 4 * 4,
        "linear": 100 * 4 * 12,
        "qkv": 2 * 100 * 100 * (2 + 3),
        "cross": 2 * 100 * 100 * (6 + 6),
        "cached": 3 * 100 * 16 * (4 + 4),
        "moe": 100 * 2 * 12 * 12,
        "lstm": 100 * 2 * 20 * (4 + 5),
        "gru": 100 * 15 * (10 + 5),
        "rnn": 100 * 5 * (5 + 5),
        "scores": 6 * 6 * 4,
        "cn": 4 * 4 * 6 * 8 * 9,
        "se.reduce": 6 * 2,
        "se.expand": 6 * 2,
        "shifting.offsets": 4 * 4 * 18 * 6 * 9,
        "shifting": 4 * 4 * 6 * 6 * 9,
        "kept": 3 * 100 * 64 * (4 + 4),
        "own": 6 * 6 * 4,
    }
    weights = {n: t.elements for n, t in graph.tensors.items() if t.role == "weight"}
    assert "tied.weight" not in weights
    assert weights["again.weight"] == 8 * 8 * 9
    assert graph.tensors["q8.out"].format == "int8"
    assert graph.tensors["custom.out"].format == "fp16"
    assert graph.tensors["ids"].format == "int64"
    assert graph.tensors["prompt"].format == "int8"
    assert graph.tensors["cache"].role == "kv"
    own = next(operator for _, operator in graph.walk() if operator.name == "own")
    assert own.writes == ("own.out", "cache")
    assert [access.elements for access in own.accesses] == [24, 12, 36, 1536]
    assert own.vector_ops == 7


def test_layers_without_inputs_read_the_one_above() -> None:
    graph = net(
        [
            {"name": "a", "op": "conv", "channels": 4, "kernel": 1},
            {"name": "b", "op": "relu"},
            {"name": "c", "op": "add", "inputs": ["a", "b"]},
            {"name": "d", "op": "global_pool"},
        ]
    ).graph()
    reads = {operator.name: operator.reads for _, operator in graph.walk()}
    assert reads["b"] == ("a.out",)
    assert reads["c"] == ("a.out", "b.out")
    assert reads["d"] == ("c.out",)
    assert graph.outputs == ("d.out",)


def test_repeats_count_their_layers_and_chain() -> None:
    layers = [
        {"name": "in", "op": "linear", "features": 16},
        {
            "name": "block",
            "op": "repeat",
            "count": "depth",
            "layers": [
                {"name": "up", "op": "linear", "features": 64},
                {"name": "act", "op": "gelu"},
                {"name": "down", "op": "linear", "features": 16},
                {"name": "add", "op": "add", "inputs": ["in", "down"]},
            ],
        },
        {"name": "out", "op": "linear", "features": 2, "input": "block"},
    ]
    made = net(layers, [4, 8], parameters={"depth": 5})
    assert made.macs == 4 * (8 * 16 + 5 * 2 * 16 * 64 + 16 * 2)
    assert made.bind({"depth": 2}).weights == 8 * 16 + 16 + 2 * (2 * 16 * 64 + 80) + 2 * 16 + 2
    flat = made.graph().unroll({"depth": 3})
    adds = [operator.reads[0] for _, operator in flat.walk() if ".add" in operator.name]
    assert adds == ["in.out", "block.add.out@0", "block.add.out@1"]


def test_layers_that_reach_no_output_run_only_where_the_runtime_does() -> None:
    made = net(
        [
            {"name": "trunk", "op": "conv", "channels": 4, "kernel": 1},
            {"name": "aux_conv", "op": "conv", "channels": 4, "kernel": 1},
            {"name": "aux", "op": "global_pool"},
            {"name": "out", "op": "relu", "input": "trunk"},
        ],
        outputs=["out"],
    )
    assert kinds(made.graph()) == ["conv", "elementwise"]
    everything = made.graph(ExecutionSemantics(runs_dead_branches=True))
    assert kinds(everything) == ["conv", "conv", "pool", "elementwise"]


def test_structures_are_hashable_and_survive_a_round_trip() -> None:
    structure = LayersStructure.model_validate(
        {"inputs": {"x": [1, 4]}, "layers": [{"name": "a", "op": "linear", "features": 2}]}
    )
    again = LayersStructure.model_validate(structure.model_dump())
    assert again == structure
    assert hash(again) == hash(structure)


# faults

BROKEN = """\
schema_version: 1
name: broken
family: layers
structure:
  parameters: {batch: 1, height: -4, 2nd: 3}
  inputs:
    image: [batch, 3, hieght, 32]
    tokens: {shape: [1, 5, 8], formt: int8}
  layer: []
  layers:
    - {name: conv1, op: conv, input: image2, channels: 16, kernel: 3}
    - {name: conv1, op: convolution, kernel: 3}
    - {name: pool, op: pool, input: tokens, kernel: 2.5}
    - {name: mix, op: add, inputs: [late, tokens]}
    - {name: wide, op: linear, input: tokens, features: -8, bais: true}
    - {name: heads, op: attention, input: tokens, heads: 3}
    - {name: square, op: linear, input: tokens, features: 6 * tokens}
    - {name: sum, op: add, inputs: [tokens, narrow]}
    - {name: narrow, op: linear, input: sum, features: 4}
    - {name: late, op: relu, input: tokens}
    - {name: deep, op: repeat, count: 0, layers: [{name: inner, op: linear}]}
    - just a text
  outputs: [pol]
"""

FOUND = """\
5:34: structure.parameters.height: -4 is not an extent; expected a number from 1
5:38: structure.parameters.2nd: '2nd' is not a name; expected letters, digits and underscores
7:23: structure.inputs.image.2: no free dimension 'hieght'; did you mean 'height'?
8:32: structure.inputs.tokens.formt: unknown key 'formt'; did you mean 'format'?
9:3: structure.layer: unknown key 'layer'; did you mean 'layers'?
11:38: structure.layers.conv1.input: no layer or input is named 'image2'; did you mean 'image'?
12:14: structure.layers.conv1.name: a second 'conv1'; expected each name once
12:25: structure.layers.conv1.op: no operator is named 'convolution'; did you mean 'conv'?
13:53: structure.layers.pool.kernel: 2.5 is not whole; expected a whole number from 1, or a list \
of one per axis
14:37: structure.layers.mix.inputs.0: 'late' is computed only later; expected an earlier layer
15:57: structure.layers.wide.features: extent -8 is below 1; expected a whole number from 1 to \
1e12, a free dimension, or arithmetic on them
15:61: structure.layers.wide.bais: unknown key 'bais'; did you mean 'bias'?
16:7: structure.layers.heads: shapes do not fit: a head_dim is needed where queries, keys and \
values are one input; expected fields that fit an input (1, 5, 8)
17:59: structure.layers.square.features: no free dimension 'tokens'; expected one of the \
parameters 2nd, batch, height
18:45: structure.layers.sum.inputs.1: a cycle: sum -> narrow -> sum; expected layers that read \
earlier layers only
21:39: structure.layers.deep.count: extent 0 is below 1; expected a whole number from 1 to 1e12, \
a free dimension, or arithmetic on them
21:51: structure.layers.deep.layers.inner: missing key 'features'; expected an extent
22:7: structure.layers.11: 'just a text' is not a layer; expected {name: ..., op: ...}
23:13: structure.outputs.0: no layer is named 'pol'; did you mean 'pool'?\
"""


def test_every_fault_of_a_file_at_once_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)
    with pytest.raises(InputError) as caught:
        find(path)
    lines = [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]
    assert lines == FOUND.splitlines()


def flaws(layers: list[dict[str, Any]], **rest: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        net(layers, **rest)
    return str(caught.value)


A = {"name": "a", "op": "conv", "channels": 8, "kernel": 3}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "kernel larger than the input": ({**A, "kernel": 9}, "extent 0 is below 1"),
    "groups that do not divide": ({**A, "groups": 2}, "3 input channels do not divide into 2"),
    "numbers for other axes": ({**A, "stride": [1, 1, 1]}, "3 numbers for 2 spatial axes"),
    "nan": ({**A, "channels": float("nan")}, "not a finite number"),
    "infinite": ({**A, "kernel": float("inf")}, "not a finite number"),
    "absurd": ({**A, "channels": 10**15}, "beyond 1e+12"),
    "zero stride": ({**A, "stride": 0}, "out of range"),
    "text for a number": ({**A, "kernel": "big"}, "'big' is not a number"),
    "true for a number": ({**A, "kernel": True}, "true is not a number"),
    "nothing": ({"name": "a", "op": "conv", "channels": 8}, "missing key 'kernel'"),
    "same misspelled": ({**A, "padding": "sane"}, "did you mean 'same'"),
    "code": ({**A, "channels": "__import__('os')"}, "is not an extent"),
    "attribute": ({**A, "channels": "channels.real"}, "is not an extent"),
    "power": ({**A, "channels": "9**9**9"}, "only + - * / and // are extents"),
    "long": ({**A, "channels": "1+" * 500 + "1"}, "an expression of 1001 characters"),
    "division by zero": ({**A, "channels": "8 / 0"}, "divides by zero"),
    "half a channel": ({**A, "channels": "channels / 3"}, "no free dimension 'channels'"),
    "two inputs": ({**A, "inputs": ["x", "x"]}, "2 inputs for a conv"),
    "input and inputs": ({**A, "inputs": ["x"], "input": "x"}, "both 'input' and 'inputs'"),
    "rank": ({"name": "a", "op": "lstm", "hidden": 4}, "expected an input of rank 3"),
    "shape": ({"name": "a", "op": "view", "shape": [1, 3, 63]}, "elements differ: 192 and 189"),
    "order": ({"name": "a", "op": "transpose", "order": [0, 1, 1, 2]}, "does not permute"),
    "format": ({"name": "a", "op": "quantise", "format": "int9x"}, "no format is named 'int9x'"),
    "function": ({"name": "a", "op": "elementwise", "function": "relo"}, "did you mean 'relu'"),
    "slice": ({"name": "a", "op": "slice", "shape": [1, 4, 8, 8]}, "beyond (1, 3, 8, 8)"),
    "axis": ({"name": "a", "op": "concat", "inputs": ["x", "x"], "axis": 4}, "no axis 4"),
    "weight": ({**A, "weight": "b"}, "'b' has no weight to share"),
    "op that is no text": ({"name": "a", "op": 3}, "3 is not a text"),
    "no name": ({"op": "relu"}, "missing 'name'"),
    "self": ({"name": "a", "op": "relu", "input": "a"}, "a cycle: a -> a"),
}


def test_names_of_other_tools_are_understood() -> None:
    assert set(ELSEWHERE.values()) <= set(OPERATORS)
    assert "did you mean 'linear'" in flaws([{"name": "a", "op": "Dense"}])


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_layer_is_told(case: str) -> None:
    layer, message = WRONG[case]
    assert message in flaws([layer])


def test_shapes_are_checked_at_the_defaults_of_free_dimensions() -> None:
    text = flaws([A], shape=[1, 3, "height", 8], parameters={"height": 2})
    assert "is 0 at the defaults" in text
    assert net([A], [1, 3, "height", 8], parameters={"height": 3}).macs == 6 * 8 * 27


def test_faults_do_not_repeat_down_the_net() -> None:
    text = flaws([{**A, "kernel": 9}, {"name": "b", "op": "relu"}, {"name": "c", "op": "softmax"}])
    assert text.count("makes (1, 8, 0, 0)") == 1
    assert "layers.1" not in text


def test_a_repeat_must_chain_and_not_nest() -> None:
    grow = {"name": "up", "op": "linear", "features": 5}
    block = {"name": "block", "op": "repeat", "count": 3, "layers": [grow]}
    assert "do not chain" in flaws([block], shape=[2, 4])
    inner = {"name": "inner", "op": "repeat", "layers": [grow]}
    assert "a repeat inside a repeat" in flaws([{**block, "layers": [inner]}], shape=[2, 4])


@given(st.text(max_size=30))
def test_extents_never_raise_anything_else(text: str) -> None:
    try:
        extent = parse_extent(text, Scope({"n": symbol("n"), "m": symbol("m")}))
    except SizeError:
        return
    evaluate(extent, {"n": 3, "m": 5})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    key=st.sampled_from(["parameters", "inputs", "layers", "outputs", "unit"]), value=json_values
)
def test_any_value_in_any_place_is_a_fault_or_a_net(key: str, value: Any) -> None:
    data: dict[str, Any] = {"inputs": {"x": [1, 4]}, "layers": [{"name": "a", "op": "relu"}]}
    try:
        structure = LayersStructure.model_validate({**data, key: value})
    except ValidationError:
        return
    FAMILY_LAYERS.build(structure, ExecutionSemantics())


@given(
    field=st.sampled_from(
        [
            "name",
            "op",
            "input",
            "inputs",
            "channels",
            "kernel",
            "padding",
            "groups",
            "weight",
            "bias",
        ]
    ),
    value=json_values,
)
def test_any_value_in_any_field_is_a_fault_or_a_net(field: str, value: Any) -> None:
    try:
        structure = LayersStructure.model_validate(
            {"inputs": {"x": [1, 4, 8, 8]}, "layers": [{**A, field: value}]}
        )
    except ValidationError:
        return
    FAMILY_LAYERS.build(structure, ExecutionSemantics())
