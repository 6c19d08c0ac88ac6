"""Prices of elementwise functions, normalisations, softmax, pools and reductions."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.importers.onnx.node import NotPricedError, OnnxNode
from perfmodel.workload.importers.onnx.pricing import Pricer, Pricing
from perfmodel.workload.symbols import Dim, product, simplify

#: ONNX function -> entry of `VECTOR_OPS`, or operations an element by the same count
#: (a transcendental counts 4, a division 4, a comparison or product 1).
FUNCTIONS: Mapping[str, str | float] = {
    "Abs": "abs", "Neg": "neg", "Sign": 2, "Ceil": 1, "Floor": 1, "Round": 1, "Relu": "relu",
    "LeakyRelu": "leaky_relu", "PRelu": "prelu", "ThresholdedRelu": 2, "Clip": "clip",
    "Elu": "elu", "Celu": "elu", "Selu": "selu", "Sigmoid": "sigmoid",
    "HardSigmoid": "hard_sigmoid", "HardSwish": "hard_swish", "Tanh": "tanh", "Erf": "erf",
    "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Reciprocal": "div", "Pow": "pow", "Sin": 4,
    "Cos": 4, "Tan": 8, "Asin": 8, "Acos": 8, "Atan": 8, "Sinh": 8, "Cosh": 8, "Asinh": 8,
    "Acosh": 8, "Atanh": 8, "Softplus": "softplus", "Softsign": 6, "Mish": "mish", "Gelu": "gelu",
    "Swish": "silu", "Shrink": 3, "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div",
    "Mod": 5, "Equal": "compare", "Less": "compare", "LessOrEqual": "compare",
    "Greater": "compare", "GreaterOrEqual": "compare", "IsNaN": "compare", "IsInf": "compare",
    "And": "logical", "Or": "logical", "Xor": "logical", "Not": "logical",
    "BitwiseAnd": "logical", "BitwiseOr": "logical", "BitwiseXor": "logical",
    "BitwiseNot": "logical", "BitShift": "logical", "Where": "where", "Cast": "cast",
    "CastLike": "cast", "RandomUniform": 4, "RandomUniformLike": 4, "RandomNormal": 12,
    "RandomNormalLike": 12, "Bernoulli": 5,
    # contributed by onnxruntime
    "FastGelu": "gelu_tanh", "BiasGelu": 13, "QuickGelu": "silu", "BiasAdd": 2, "BiasSplitGelu": 14,
    "ScaledTanh": 9, "ParametricSoftplus": "softplus", "Affine": 2, "ImageScaler": 2, "Rsqrt": 8,
    "IsAllFinite": 1,
}  # fmt: skip

_VARIADIC = {"Max", "Min", "Sum", "Mean"}

_REDUCTIONS: Mapping[str, float] = {
    "ReduceSum": 1, "ReduceMean": 1, "ReduceMax": 1, "ReduceMin": 1, "ReduceProd": 1,
    "ReduceL1": 2, "ReduceL2": 2, "ReduceSumSquare": 2, "ReduceLogSum": 1, "ReduceLogSumExp": 5,
    "ArgMax": 1, "ArgMin": 1,
}  # fmt: skip

#: Normalisation -> (entry of `VECTOR_OPS` or operations an element).
_NORMS: Mapping[str, float] = {
    "LayerNormalization": VECTOR_OPS["layer_norm"],
    "RMSNormalization": VECTOR_OPS["rms_norm"],
    "SimplifiedLayerNormalization": VECTOR_OPS["rms_norm"],
    "SkipLayerNormalization": VECTOR_OPS["layer_norm"] + 1,
    "SkipSimplifiedLayerNormalization": VECTOR_OPS["rms_norm"] + 1,
    "EmbedLayerNormalization": VECTOR_OPS["layer_norm"] + 2,
    "GroupNormalization": VECTOR_OPS["group_norm"],
    "GroupNorm": VECTOR_OPS["group_norm"],
    "SkipGroupNorm": VECTOR_OPS["group_norm"] + 1,
    "InstanceNormalization": VECTOR_OPS["group_norm"],
    "MeanVarianceNormalization": 7,
    "LpNormalization": 6,
    "LRN": 12,
}


def elementwise(p: Pricer, n: OnnxNode) -> None:
    """Price a function of each element, broadcast."""
    known = FUNCTIONS.get(n.op)
    if known is None:
        per_element: Dim = max(len(n.present) - 1, 1) + (n.op == "Mean")
        function = n.op.lower()
    else:
        per_element = VECTOR_OPS[known] if isinstance(known, str) else known
        function = known if isinstance(known, str) else n.op.lower()
    whole = next((e for e in n.present if e.is_data and e.shape == n.out.shape
                  and e.format == n.out.format), None)  # fmt: skip
    vectors = [e for e in n.present if e.kind == "weight" and len(e.known) <= 1]
    for edge in vectors:
        p.vector(edge)
    p.add(
        n, "elementwise", p.reads(*n.present), ops=product(per_element, n.out.elements),
        inplace=whole, attributes={"function": function},
    )  # fmt: skip


def batch_norm(p: Pricer, n: OnnxNode) -> None:
    """Price ``BatchNormalization``: a scale and a shift at inference.

    Scale, shift, mean and variance are read; a runtime that folds them into the convolution before
    fuses the operator away.
    """
    vectors = [t for e in n.present[1:] for t in p.vector(e)]
    p.add(
        n, "elementwise", [p.tensor(n.need(0)), *vectors], [p.tensor(n.out)],
        ops=product(VECTOR_OPS["batch_norm"], n.out.elements), inplace=n.need(0),
        attributes={"function": "batch_norm"},
    )  # fmt: skip


def norm(p: Pricer, n: OnnxNode) -> None:
    """Price a normalisation over some axes, with its scale and shift."""
    x = n.need(0)
    vectors = [
        t for e in n.present[1:]
        for t in (p.vector(e) if len(e.known) <= 1 and not e.is_data else p.reads(e))
    ]  # fmt: skip
    written = [p.tensor(e) for e in n.made if e.shape is not None]
    p.add(
        n, "norm", [p.tensor(x), *vectors], written,
        ops=product(_NORMS[n.op], n.out.elements), inplace=x, attributes={"function": n.op},
    )  # fmt: skip


def softmax(p: Pricer, n: OnnxNode) -> None:
    """Price ``Softmax``, ``LogSoftmax``, ``Hardmax``."""
    x = n.need(0)
    extra = {"LogSoftmax": 4, "Hardmax": -VECTOR_OPS["softmax"] + 2}.get(n.op, 0)
    p.add(n, "softmax", [p.tensor(x)], ops=product(VECTOR_OPS["softmax"] + extra, x.elements),
          inplace=x)  # fmt: skip


def pool(p: Pricer, n: OnnxNode) -> None:
    """Price a pooling window: one operation a tap and an output."""
    kernel = n.wholes("kernel_shape")
    if kernel is None:
        raise NotPricedError("attribute 'kernel_shape' is missing")
    ops = product(*kernel, n.out.elements)
    axes = len(kernel)
    p.add(n, "pool", [p.tensor(n.need(0))], ops=simplify(ops * (2 if n.op == "LpPool" else 1)),
          attributes={"kernel": kernel, "stride": n.wholes("strides") or (1,) * axes,
                      "dilation": n.wholes("dilations") or (1,) * axes,
                      "padding": n.wholes("pads") or (0,) * (2 * axes)})  # fmt: skip


def reduce(p: Pricer, n: OnnxNode) -> None:
    """Price a reduction or a global pool: every element of the input once."""
    x = n.need(0)
    p.add(n, "pool", [p.tensor(x)], ops=product(_REDUCTIONS.get(n.op, 1), x.elements))


def cumulative(p: Pricer, n: OnnxNode) -> None:
    """Price ``CumSum`` and ``CumProd``: one operation an element."""
    p.add(n, "elementwise", [p.tensor(n.need(0))], ops=n.out.elements, inplace=n.need(0))


POINTWISE: Mapping[str, Pricing] = {
    **dict.fromkeys((*FUNCTIONS, *_VARIADIC), elementwise),
    **dict.fromkeys(_NORMS, norm),
    **dict.fromkeys(_REDUCTIONS, reduce),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), reduce),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), pool),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Hardmax"), softmax),
    **dict.fromkeys(("CumSum", "CumProd"), cumulative),
    "BatchNormalization": batch_norm,
}
