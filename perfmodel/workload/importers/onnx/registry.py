"""The operators of the walk, one entry each: its shapes, its price, and what other formats call it.

A format that means the same as ONNX by an operator finds it here by its own name (`called`); names
are compared without case, underscores and the prefix that a format puts before them, so only true
synonyms are listed. An operator that is new is an entry: with a rule of `shapes` and a price that
are there already it is that line alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.importers.onnx import operators_movement as move
from perfmodel.workload.importers.onnx import shapes as s
from perfmodel.workload.importers.onnx import shapes_made as creation
from perfmodel.workload.importers.onnx import shapes_movement as movement
from perfmodel.workload.importers.onnx import shapes_special as unusual
from perfmodel.workload.importers.onnx.operators_pointwise import (
    batch_norm,
    elementwise,
    norm,
    pool,
)
from perfmodel.workload.importers.onnx.pricing import Pricing, counted
from perfmodel.workload.importers.onnx.shapes import Rule

_COUNTS: Final = {name.replace("_", ""): name for name in VECTOR_OPS}


class RegisteredOperator(NamedTuple):
    """An operator.

    Attributes
    ----------
    name
        As ONNX spells it.
    shape
        Sets the shapes of its outputs; ``None`` where the file, or onnx itself, says them.
    price
        Adds its nests and its work to a graph.
    also
        What formats call it that mean the same by it.
    """

    name: str
    shape: Rule | None
    price: Pricing | None
    also: tuple[str, ...] = ()


#: Operators by the names that formats have for them.
Group: TypeAlias = Mapping[str, RegisteredOperator]


def plain(name: str) -> str:
    """Return a name without case and underscores."""
    return name.lower().replace("_", "")


def called(name: str, *groups: Group) -> RegisteredOperator | None:
    """Return the operator of some groups that a format calls so."""
    return next((match for g in groups if (match := g.get(plain(name))) is not None), None)


def _spelled(*operators: RegisteredOperator) -> Group:
    """Return operators by every name that formats have for them, and by their own."""
    names = {plain(name): each for each in operators for name in (each.name, *each.also)}
    return {**names, **by_name(operators)}


def function(
    name: str, *also: str, shape: Rule = s.first_same, cost: str | float | None = None
) -> RegisteredOperator:
    """Return a function of each element, by default with the count of its own name."""
    known = _COUNTS[plain(name)] if cost is None else cost
    return RegisteredOperator(name, shape, elementwise(known), also)


def by_name(*groups: Iterable[RegisteredOperator]) -> Group:
    """Return operators by their own names."""
    return {operator.name: operator for group in groups for operator in group}


def priced(price: Pricing | None, **shapes: Rule | None) -> Iterator[RegisteredOperator]:
    """Yield operators that are priced alike, each with its rule."""
    for name, shape in shapes.items():
        yield RegisteredOperator(name, shape, price)


def each(shape: Rule | None, price: Pricing | None, *names: str) -> Iterator[RegisteredOperator]:
    """Yield operators that are shaped and priced alike."""
    for name in names:
        yield RegisteredOperator(name, shape, price)


_op = RegisteredOperator
_broadcast = partial(function, shape=s.broadcasting)
_compared = partial(function, shape=s.logical, cost="compare")
_logical = partial(function, shape=s.logical, cost="logical")

#: Functions of each element (and softmax, which is shaped as one).
FUNCTIONS: Final = _spelled(
    function("Abs", "absolute"),
    function("Neg", "negative", "negate"),
    function("Sign", cost=2),
    function("Ceil", cost=1),
    function("Floor", cost=1),
    function("Round", cost=1),
    function("Relu"),
    function("LeakyRelu"),
    function("PRelu", shape=s.prelu),
    function("ThresholdedRelu", "threshold", cost=2),
    function("Clip", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"),
    function("Elu"),
    function("Celu", cost="elu"),
    function("Selu"),
    function("Sigmoid", "logistic"),
    function("HardSigmoid"),
    function("HardSwish", "hard_silu", "hswish"),
    function("Tanh"),
    function("Erf"),
    function("Exp", "exponential", "expm1", "exp2"),
    function("Log", "log2", "log10", "log1p", "ulaw"),
    function("Sqrt"),
    function("Rsqrt", cost=8),
    function("Reciprocal", cost="div"),
    function("Sin", cost=4),
    function("Cos", cost=4),
    *(
        function(name, cost=8)
        for name in ("Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh")
    ),
    function("Softplus", "log_sigmoid"),
    function("Softsign", cost=6),
    function("Mish"),
    function("Gelu"),
    function("Swish", "silu", cost="silu"),
    function("Shrink", "soft_shrink", "hard_shrink", cost=3),
    function("BitwiseNot", cost="logical"),
    _broadcast("Add"),
    _broadcast("Sub", "subtract", "rsub", "diff"),
    _broadcast("Mul", "multiply"),
    _broadcast("Div", "divide", "true_divide", "truediv", "floor_divide", "floor_div"),
    _broadcast("Pow", "power"),
    _broadcast("Mod", "floor_mod", "remainder", "fmod", cost=5),
    _broadcast("BitwiseAnd", cost="logical"),
    _broadcast("BitwiseOr", cost="logical"),
    _broadcast("BitwiseXor", cost="logical"),
    _broadcast("BitShift", "right_shift", cost="logical"),
    _op("Max", s.broadcasting, elementwise(), ("maximum",)),
    _op("Min", s.broadcasting, elementwise(), ("minimum",)),
    _op("Sum", s.broadcasting, elementwise(), ("add_n",)),
    _op("Mean", s.broadcasting, elementwise(), ("average",)),
    _compared("Equal", "eq", "ne", "not_equal"),
    _compared("Less", "lt"),
    _compared("LessOrEqual", "le", "less_equal"),
    _compared("Greater", "gt"),
    _compared("GreaterOrEqual", "ge", "greater_equal"),
    _compared("IsNaN"),
    _compared("IsInf"),
    _logical("And", "logical_and"),
    _logical("Or", "logical_or"),
    _logical("Xor", "logical_xor"),
    _logical("Not", "logical_not"),
    function("Where", "select", "select_v2", "masked_fill", "fill", "nan_to_num", shape=s.where),
    function("Affine", "lerp", "addcmul", cost=2),
    _op("CumSum", s.along_axis, counted("elementwise", 1, of="output", inplace=True)),
    _op("CumProd", s.along_axis, counted("elementwise", 1, of="output", inplace=True)),
    _op("Softmax", s.first_same, counted("softmax", VECTOR_OPS["softmax"], inplace=True)),
    _op("LogSoftmax", s.first_same, counted("softmax", VECTOR_OPS["softmax"] + 4, inplace=True)),
)

#: Reductions over axes, global pools among them.
REDUCTIONS: Final = _spelled(
    *(
        _op(name, s.reduction, counted("pool", each), also)
        for name, each, also in (
            ("ReduceSum", 1, ("sum",)),
            ("ReduceMean", 1, ("mean",)),
            ("ReduceMax", 1, ("amax", "max", "any", "reduce_any")),
            ("ReduceMin", 1, ("amin", "min", "all", "reduce_all")),
            ("ReduceProd", 1, ("prod",)),
            ("ReduceL1", 2, ()),
            ("ReduceL2", 2, ("norm", "linalg_vector_norm")),
            ("ReduceSumSquare", 2, ("var", "std", "var_mean")),
            ("ReduceLogSum", 1, ()),
            ("ReduceLogSumExp", 5, ("logsumexp",)),
        )
    ),
    *each(s.arg_reduction, counted("pool", 1), "ArgMax", "ArgMin"),
    *(
        _op(
            f"Global{kind}Pool",
            s.global_pool,
            counted("pool", 1),
            tuple(f"adaptive_{short}_pool{n}d" for n in (1, 2, 3) if short),
        )
        for kind, short in (("Average", "avg"), ("Max", "max"), ("Lp", ""))
    ),
)

#: Normalisations.
NORMS: Final = _spelled(
    _op(
        "BatchNormalization",
        s.batch_norm,
        batch_norm,
        (
            "batch_norm",
            "native_batch_norm",
            "_native_batch_norm_legit_no_training",
            "_native_batch_norm_legit",
            "cudnn_batch_norm",
            "_batch_norm_no_update",
        ),
    ),
    _op(
        "LayerNormalization",
        s.layer_norm,
        norm(VECTOR_OPS["layer_norm"]),
        ("layer_norm", "native_layer_norm"),
    ),
    _op(
        "RMSNormalization",
        s.first_same,
        norm(VECTOR_OPS["rms_norm"]),
        ("rms_norm", "_fused_rms_norm"),
    ),
    _op(
        "GroupNormalization",
        s.by_channel,
        norm(VECTOR_OPS["group_norm"]),
        ("group_norm", "native_group_norm"),
    ),
    _op("InstanceNormalization", s.by_channel, norm(VECTOR_OPS["group_norm"]), ("instance_norm",)),
    _op("MeanVarianceNormalization", s.first_same, norm(7)),
    _op("LpNormalization", s.first_same, norm(6)),
    _op("LRN", s.first_same, norm(12), ("local_response_normalization",)),
    _op("SimplifiedLayerNormalization", s.layer_norm, norm(VECTOR_OPS["rms_norm"])),
)

#: Windows that are slid over an input.
POOLS: Final = _spelled(
    _op(
        "MaxPool",
        s.pool,
        pool,
        tuple(f"max_pool{n}d{more}" for n in (1, 2, 3) for more in ("", "_with_indices")),
    ),
    _op("AveragePool", s.pool, pool, tuple(f"avg_pool{n}d" for n in (1, 2, 3))),
    _op("LpPool", s.pool, pool),
)

#: Price of a copy of what is read first.
COPIED: Final = counted("copy")

#: What copies its inputs.
COPIES: Final = _spelled(
    _op("Concat", movement.concat, move.copy, ("cat", "stack", "hstack")),
    _op(
        "Pad",
        movement.pad,
        move.copy,
        (
            "constant_pad_nd",
            "reflection_pad1d",
            "reflection_pad2d",
            "replication_pad1d",
            "replication_pad2d",
            "roll",
            "flip",
            "copy",
            "clone",
            "channel_shuffle",
            "native_channel_shuffle",
            "im2col",
        ),
    ),
    _op("Tile", movement.tile, move.copy, ("repeat", "repeat_interleave")),
    _op("Trilu", s.square, COPIED, ("tril", "triu")),
    _op("DepthToSpace", creation.blocks, move.copy, ("pixel_shuffle",)),
    _op("SpaceToDepth", creation.blocks, move.copy, ("pixel_unshuffle",)),
)

#: What picks from an input, or puts into it, by indices or coordinates.
LOOKUPS: Final = _spelled(
    _op("Gather", movement.gather, move.gather, ("index", "index_select")),
    _op("GatherElements", movement.like_index, move.gather, ("gather", "take_along_dim")),
    _op("GatherND", movement.gather_nd, move.gather),
    _op("Compress", unusual.compress, move.gather),
    *each(
        s.first_same,
        counted("gather", reads="all", inplace=True),
        "Scatter",
        "ScatterElements",
        "TensorScatter",
    ),
    _op(
        "ScatterND",
        s.first_same,
        counted("gather", reads="all", inplace=True),
        (
            "index_put",
            "scatter",
            "slice_scatter",
            "select_scatter",
            "scatter_add",
            "masked_scatter",
            "index_copy",
        ),
    ),
    _op("GridSample", creation.grid_sample, move.sample, ("grid_sampler", "grid_sampler_2d")),
)
