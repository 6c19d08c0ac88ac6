"""Graphs with other widths against the same families built with those widths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from perfmodel.ask import hardware
from perfmodel.predict import predict
from perfmodel.specfile import read
from perfmodel.workload.families import family
from perfmodel.workload.graph import Graph
from perfmodel.workload.rewrite import channel_groups
from perfmodel.workload.rewrite.channel_coupling import analyse_widths
from perfmodel.workload.rewrite.channels import width_names, with_channels
from perfmodel.workload.symbols import Dim, evaluate, symbol
from perfmodel.workload.workload import Workload, from_family

Load = Callable[..., Workload]


@pytest.fixture
def load(checkout: Any) -> Load:
    """The workload of a library file, with fields of its structure replaced."""

    def get(name: str, /, **structure: Any) -> Workload:
        data, _ = read(checkout / "workloads" / f"{name}.yaml")
        kind = family(data["family"])
        made = kind.structure.model_validate({**data["structure"], **structure})
        known = kind.parameters(made)
        settings = {k: v for k, v in data.get("parameters", {}).items() if k in known}
        return from_family(name, kind, made, settings)

    return get


def numbers(graph: Graph, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Everything that a price depends on, operator by operator."""

    def of(dim: Any) -> float:
        return float(evaluate(dim, values))

    found: list[tuple[Any, ...]] = []
    for _, op in graph.walk():
        said = dict(op.attributes)
        found.append(
            (
                op.name,
                op.kind,
                of(op.macs),
                of(op.vector_ops),
                of(op.masked_macs),
                of(op.scores),
                of(said.get("groups", 1)),
                [(a.tensor, a.mode, of(a.elements)) for a in op.accesses],
                [[(d, of(s)) for d, s in nest.dims] for nest in op.nests],
            )
        )
    used = {a.tensor for _, op in graph.walk() for a in op.accesses}
    shapes = {n: [of(d) for d in graph.tensors[n].shape] for n in sorted(used)}
    return [*found, tuple(shapes.items())]


def widths_of(graph: Graph, other: Graph, values: Mapping[str, Any]) -> dict[str, int]:
    """The width that each group has in another graph with the same names."""
    shared: dict[tuple[str, int], int] = {}
    for group in channel_groups(graph):
        for tensor, axis, _ in group.members:
            shared[tensor, axis] = shared.get((tensor, axis), 0) + 1
    widths: dict[str, int] = {}
    for group in channel_groups(graph):
        for tensor, axis, times in group.members:
            if shared[tensor, axis] == 1:
                extent = float(evaluate(other.tensors[tensor].shape[axis], values))
                width = extent / times * group.step
                assert width == int(width)
                assert widths.setdefault(group.name, int(width)) == width
                break
    return widths


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "llama": (
        "tinyllama_1_1b",
        {},
        {"width": 1024, "head_dim": 64, "heads": 16, "kv_heads": 2, "ffn_width": 3000},
    ),
    "prefill": (
        "tinyllama_1_1b",
        {"phase": "prefill"},
        {
            "phase": "prefill",
            "width": 960,
            "head_dim": 64,
            "heads": 24,
            "kv_heads": 3,
            "ffn_width": 777,
        },
    ),
    "request": (
        "qwen_2_5_7b",
        {"phase": "request"},
        {
            "phase": "request",
            "width": 1000,
            "head_dim": 128,
            "heads": 14,
            "kv_heads": 2,
            "ffn_width": 5000,
        },
    ),
    "window": (
        "gemma_2_2b",
        {"phase": "prefill"},
        {"phase": "prefill", "width": 512, "heads": 6, "kv_heads": 3, "ffn_width": 640},
    ),
    "experts": (
        "mixtral_8x7b",
        {},
        {
            "width": 1024,
            "head_dim": 128,
            "heads": 16,
            "kv_heads": 4,
            "experts": {"count": 8, "per_token": 2, "ffn_width": 3000},
        },
    ),
    "shared experts": (
        "deepseek_v3",
        {"phase": "prefill"},
        {
            "phase": "prefill",
            "width": 1024,
            "heads": 64,
            "ffn_width": 2000,
            "experts": {
                "count": 256,
                "per_token": 8,
                "ffn_width": 512,
                "shared_width": 640,
                "dense_layers": 3,
                "router_bias": True,
            },
        },
    ),
    "bert": (
        "bert_base",
        {"head": "tokens"},
        {"head": "tokens", "width": 512, "head_dim": 64, "heads": 4, "ffn_width": 1000},
    ),
    "mamba": ("mamba_130m", {"rank": 48}, {"rank": 48, "width": 320, "inner": 700}),
    "vit": ("vit_b_16", {}, {"width": 384, "heads": 6, "ffn_width": 1000}),
    "densenet": (
        "densenet121",
        {"depths": (3, 2, 4)},
        {"depths": (3, 2, 4), "growth": 12, "stem": 20, "bottleneck": 3},
    ),
    "resnext": ("resnext50_32x4d", {}, {"width_per_group": 8}),
    "grouped down": ("resnext50_32x4d", {}, {"width_per_group": 2}),
    "efficientformer": ("efficientformer_l1", {}, {"widths": [32, 64, 144, 288]}),
}


@pytest.mark.parametrize("case", CASES)
def test_transformers_and_growth(load: Load, case: str) -> None:
    name, base, changed = CASES[case]
    plain, other = load(name, **base), load(name, **changed)
    graph, expected = plain.graph(), other.graph()
    widths = widths_of(graph, expected, other.parameters)
    fixed = {g.name for g in channel_groups(graph) if not g.prunable}
    made = with_channels(graph, {k: v for k, v in widths.items() if k not in fixed})
    _alike(numbers(made, plain.parameters), numbers(expected, other.parameters))
    _same_prediction(plain, made, other)


@pytest.mark.parametrize(
    ("name", "multiplier"),
    [
        ("resnet18", 0.5),
        ("resnet50", 1.5),
        ("resnext50_32x4d", 2),
        ("mobilenet_v2", 0.75),
        ("mobilenet_v2", 1.4),
        ("mobilenet_v3_large", 0.5),
        ("efficientnet_b0", 1.25),
    ],
)
def test_width_multipliers(load: Load, name: str, multiplier: float) -> None:
    plain = load(name)
    graph = plain.graph()
    other = plain.bind({"width_multiplier": multiplier})
    widths = widths_of(graph, graph, other.parameters)
    fixed = {g.name for g in channel_groups(graph) if not g.prunable}
    made = with_channels(graph, {k: v for k, v in widths.items() if k not in fixed})
    _alike(numbers(made, plain.parameters), numbers(graph, other.parameters))
    _same_prediction(plain, made, other)


def test_a_plain_graph_with_other_widths(checkout: Any, load: Load) -> None:
    """VGG-16, every layer with a width of its own; the flattened image follows."""
    plain = load("vgg16")
    data, _ = read(checkout / "workloads" / "vgg16.yaml")
    widths: dict[str, int] = {}
    layers: list[dict[str, Any]] = []
    for i, layer in enumerate(data["structure"]["layers"]):
        key = {"conv": "channels", "linear": "features"}.get(layer["op"], "")
        if key and layer["name"] != "fc8":
            widths[layer["name"]] = 17 + 3 * i
            layer = {**layer, key: widths[layer["name"]]}
        layers.append(layer)
    other = load("vgg16", layers=layers)
    made = with_channels(plain.graph(), widths)
    _alike(numbers(made, plain.parameters), numbers(other.graph(), other.parameters))
    _same_prediction(plain, made, other)


def test_a_plain_graph_of_cells_and_heads() -> None:
    """A recurrent cell after a convolution, a fused attention, and a flattened end."""
    kind = family("layers")

    def build(c: int, hidden: int, heads: int, ffn: int) -> Workload:
        made = kind.structure.model_validate(
            {
                "parameters": {"batch": 1, "steps": 24},
                "inputs": {"x": ["batch", "steps", 10]},
                "layers": [
                    {"name": "up", "op": "linear", "features": c},
                    {"name": "norm", "op": "layer_norm"},
                    {"name": "cell", "op": "lstm", "hidden": hidden, "directions": 2},
                    {"name": "qkv", "op": "linear", "features": 3 * 8 * heads},
                    {"name": "mix", "op": "attention", "heads": heads, "head_dim": 8},
                    {"name": "back", "op": "linear", "features": c},
                    {"name": "sum", "op": "add", "inputs": ["back", "norm"]},
                    {"name": "wide", "op": "linear", "features": ffn},
                    {"name": "act", "op": "gelu"},
                    {"name": "last", "op": "linear", "features": 4},
                ],
            }
        )
        return from_family("cells", kind, made, {})

    plain, other = build(32, 20, 4, 64), build(24, 12, 3, 50)
    graph = plain.graph()
    # Both directions of the cell have the same hidden width.
    assert {g.name: (g.size, g.step) for g in channel_groups(graph) if g.prunable} == {
        "up": (32, 1),
        "cell": (40, 2),
        "qkv": (4, 1),
        "wide": (64, 1),
    }
    made = with_channels(graph, {"up": 24, "cell": 24, "qkv": 3, "wide": 50})
    _alike(numbers(made, plain.parameters), numbers(other.graph(), other.parameters))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "llama_3_8b", "mixtral_8x7b"])
def test_unchanged_widths_are_the_same_graph(load: Load, name: str) -> None:
    graph = load(name).graph()
    assert with_channels(graph, {}) is graph
    groups = channel_groups(graph)
    made = with_channels(graph, {g.name: g.size for g in groups if g.prunable})
    values = {**graph.defaults}
    _alike(numbers(made, values), numbers(graph, values))


def symbolic_channels(
    graph: Graph, groups: Sequence[str] | None = None
) -> tuple[Graph, dict[str, int]]:
    """Return the graph with widths as free dimensions, and the defaults of these.

    Parameters
    ----------
    groups
        Names of the groups to free; every prunable one by default.

    Returns
    -------
    graph, defaults
        The dimension of a group is ``width_`` and its name, with what is no letter or digit as an
        underscore. The defaults are also the graph's own.

    Raises
    ------
    InputError
        As `with_channels` raises it.
    """
    known = analyse_widths(graph)
    sizes = {g.name: g.size for g in known.groups}
    chosen = [g.name for g in known.groups if g.prunable] if groups is None else list(groups)
    names = width_names(chosen)
    free: dict[str, Dim] = {group: symbol(name) for group, name in names.items()}
    made = with_channels(graph, free)
    defaults = {name: sizes[group] for group, name in names.items()}
    return replace(made, defaults={**graph.defaults, **defaults}), defaults


def test_symbolic_widths_are_each_width(load: Load) -> None:
    """An array of a free width is the predictions of single widths, and the default the graph."""
    plain = load("resnet18")
    graph = plain.graph()
    free, defaults = symbolic_channels(graph)
    assert defaults["width_layer2_0_conv2"] == 128
    assert len(defaults) == 12
    device = hardware("raspberry_pi_5")
    made = Workload("free", lambda _: free, {**plain.parameters, **defaults})
    usual = predict(plain, device, runtime="generic")
    assert predict(made, device, runtime="generic").latency_s == pytest.approx(
        usual.latency_s, rel=1e-12
    )
    several = [40.0, 64.0, 100.0, 128.0]
    swept = predict(
        made.bind({"width_layer2_0_conv2": np.array(several)}), device, runtime="generic"
    )
    for width, seconds in zip(several, np.asarray(swept.latency_s).tolist(), strict=True):
        one = with_channels(graph, {"layer2.0.conv2": int(width)})
        single = Workload("one", lambda _, one=one: one, plain.parameters)
        assert seconds == pytest.approx(
            predict(single, device, runtime="generic").latency_s, rel=1e-12
        )


def test_symbolic_heads_and_streams(load: Load) -> None:
    plain = load("tinyllama_1_1b", phase="prefill")
    free, defaults = symbolic_channels(plain.graph(), ["embedding", "layer.q_proj"])
    assert defaults == {"width_embedding": 2048, "width_layer_q_proj": 4}
    other = load("tinyllama_1_1b", phase="prefill", width=512, head_dim=64, heads=16, kv_heads=2)
    values = {**plain.parameters, "width_embedding": 512, "width_layer_q_proj": 2}
    _alike(numbers(free, values), numbers(other.graph(), other.parameters))


def _alike(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> None:
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert _rounded(mine) == _rounded(theirs)


def _rounded(item: Any) -> Any:
    """Numbers to twelve digits: a few partial reads are quotients of floats."""
    if isinstance(item, float):
        return float(f"{item:.12g}")
    if isinstance(item, list | tuple):
        return list(map(_rounded, cast("list[Any]", item)))
    return item


def _same_prediction(plain: Workload, made: Graph, other: Workload) -> None:
    rewritten = Workload(plain.name, lambda _: made, plain.parameters)
    expected = Workload(other.name, lambda _: other.graph(), other.parameters)
    a, b = (predict(w, hardware("jetson_agx_orin")) for w in (rewritten, expected))
    for metric in (
        "latency_s",
        "energy_j",
        "peak_memory_bytes",
        "activation_bytes",
        "weight_bytes",
        "kv_bytes",
    ):
        left, right = getattr(a, metric), getattr(b, metric)
        assert left == pytest.approx(right, rel=1e-12, nan_ok=True), metric
