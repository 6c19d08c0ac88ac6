"""Steps of a random ONNX model that compute: elementwise functions, products, windows, norms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.broken.growing_onnx import Growing


def unary(g: Growing) -> None:
    op = g.pick(
        (
            "Relu",
            "Sigmoid",
            "Tanh",
            "Exp",
            "Sqrt",
            "Neg",
            "Abs",
            "Identity",
            "Erf",
            "Floor",
            "Softplus",
            "LeakyRelu",
            "Elu",
        )
    )
    g.add(op, [g.any()[0]])


def softmax(g: Growing) -> None:
    x, s = g.any(1)
    g.add(g.pick(("Softmax", "LogSoftmax", "Hardmax")), [x], axis=g.axis(len(s)))


def binary(g: Growing) -> None:
    x, s = g.any()
    how = g.r.random()
    if how < 0.4:
        y = x
    elif how < 0.8:
        cut = s[int(g.r.integers(len(s) + 1)) :]
        y = g.weight(*(1 if g.chance(0.3) else d for d in cut))
    else:
        y = g.any()[0]
    g.add(g.pick(("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow")), [x, y])


def chosen(g: Growing) -> None:
    x, _ = g.any()
    g.add("Greater", [x, x])
    g.add("Where", [g.nodes[-1].output[0], x, x])


def product(g: Growing) -> None:
    x, s = g.any(1)
    lead = s[:-2] if g.chance(0.2) else []
    w = g.weight(*lead, s[-1], g.extent())
    g.add("MatMul", [x, w] if g.chance(0.8) else [x, g.any(1)[0]])


def gemm(g: Growing) -> None:
    x, s = g.any(2, 2)
    n, ta, tb = g.extent(), int(g.chance(0.3)), int(g.chance(0.5))
    k = s[0] if ta else s[1]
    extra = [g.weight(n)] if g.chance(0.5) else []
    g.add("Gemm", [x, g.weight(n, k) if tb else g.weight(k, n), *extra], transA=ta, transB=tb)


def window(g: Growing, axes: int, sizes: Sequence[int]) -> dict[str, Any]:
    taps = [max(1, int(g.pick((1, 2, 3, 3, 5)))) for _ in range(axes)]
    taps = [min(t, max(1, n)) for t, n in zip(taps, sizes, strict=True)]
    made: dict[str, Any] = {"kernel_shape": [g.off(t) for t in taps]}
    if g.chance(0.5):
        made["strides"] = [g.off(int(g.pick((1, 2, 3)))) for _ in taps]
    if g.chance(0.5):
        made["pads"] = [g.off(t // 2) for t in taps] * 2
    elif g.chance(0.3):
        made["auto_pad"] = g.pick(("SAME_UPPER", "SAME_LOWER", "VALID"))
    return made


def conv(g: Growing) -> None:
    x, s = g.any(3, 4)
    group = g.pick([d for d in (1, 1, 2, 4, s[1]) if d and s[1] % d == 0] or [1])
    how = window(g, len(s) - 2, s[2:])
    taps = how["kernel_shape"] if g.chance(0.97) else how.pop("kernel_shape")
    out = group * g.extent()
    if g.chance(0.3):
        how["dilations"] = [g.off(int(g.pick((1, 1, 2)))) for _ in taps]
    if g.chance(0.75):
        extra = [g.weight(out)] if g.chance(0.5) else []
        g.add("Conv", [x, g.weight(out, s[1] // group, *taps), *extra], group=g.off(group), **how)
    else:
        g.add("ConvTranspose", [x, g.weight(s[1], g.extent(), *taps)], group=g.off(group), **how)


def pool(g: Growing) -> None:
    x, s = g.any(3, 4)
    how = window(g, len(s) - 2, s[2:])
    if g.opset >= 11 and g.chance(0.3):
        how["ceil_mode"] = 1
    g.add(g.pick(("MaxPool", "AveragePool")), [x], **how)


def global_pool(g: Growing) -> None:
    g.add(g.pick(("GlobalAveragePool", "GlobalMaxPool")), [g.any(2)[0]])


def normalised(g: Growing) -> None:
    x, s = g.any(2)
    c = s[1]
    op = g.pick(("BatchNormalization", "InstanceNormalization", "LayerNormalization"))
    if op == "LayerNormalization":
        axis = g.axis(len(s))
        at = axis if -len(s) <= axis < len(s) else -1
        g.add(op, [x, g.weight(*s[at:])], axis=axis)
    else:
        g.add(op, [x, *(g.weight(c) for _ in range(4 if op.startswith("B") else 2))])
