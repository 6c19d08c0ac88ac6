"""Random ONNX models, sound and just not: graphs of the standard's operators with random extents.

Each step takes a value whose shape onnx itself infers, so that most nodes fit; some numbers are off
by one, zero, negative or absurd.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.broken.growing_onnx import Growing
from tests.broken.random_onnx_arithmetic import (
    binary,
    chosen,
    conv,
    gemm,
    global_pool,
    normalised,
    pool,
    product,
    softmax,
    unary,
)

__all__ = ["random_model"]


def random_model(seed: int, nodes: int = 6) -> onnx.ModelProto:
    """Return a model; the same for the same seed."""
    g = Growing(seed)
    for _ in range(int(g.r.integers(1, nodes + 1))):
        STEPS[int(g.r.integers(len(STEPS)))](g)
        if not g.learn():
            break
    return g.model()


def reshape(g: Growing) -> None:
    x, s = g.any()
    total = int(np.prod(s))
    target: list[int] = []
    left = total
    for _ in range(int(g.r.integers(0, 4))):
        d = g.pick([d for d in (1, 2, 3, 4, 5, 6, 8) if left % d == 0] or [1])
        target.append(d)
        left //= d
    target.append(g.pick((left, left, -1)))
    if g.chance(0.1):
        target[int(g.r.integers(len(target)))] = 0
    g.add("Reshape", [x, g.whole([g.off(d) for d in target])])


def flatten(g: Growing) -> None:
    x, s = g.any()
    g.add("Flatten", [x], axis=g.off(int(g.r.integers(0, len(s) + 1))))


def squeezed(g: Growing) -> None:
    x, s = g.any()
    ones = [i for i, d in enumerate(s) if d == 1]
    if g.chance(0.5) and (ones or g.chance(0.1)):
        op, axes = "Squeeze", [g.off(g.pick(ones or [0]))]
    else:
        op, axes = "Unsqueeze", [g.axis(len(s) + 1)]
    if g.opset < 13:
        g.add(op, [x], axes=axes)
    else:
        g.add(op, [x, g.whole(axes)])


def transposed(g: Growing) -> None:
    x, s = g.any(1)
    perm = [int(i) for i in g.r.permutation(len(s))]
    if perm and g.chance(0.08):
        perm[0] = g.off(perm[-1])
    g.add("Transpose", [x], perm=perm)


def concat(g: Growing) -> None:
    x, s = g.any(1)
    axis = g.axis(len(s))
    like = list(s)
    if -len(s) <= axis < len(s):
        like[axis] = g.extent()
    g.add("Concat", [x, g.weight(*like), *([x] if g.chance(0.3) else [])], axis=axis)


def split(g: Growing) -> None:
    x, s = g.any(1)
    axis = int(g.r.integers(-len(s), len(s)))
    size = s[axis]
    count = int(g.r.integers(1, 5))
    parts = [size // count] * count
    parts[-1] += size - sum(parts)
    at = g.off(axis)
    if g.chance(0.5) or size % count:
        parts = [g.off(p) for p in parts]
        if g.opset < 13:
            g.add("Split", [x], count, axis=at, split=parts)
        else:
            g.add("Split", [x, g.whole(parts)], count, axis=at)
    elif g.opset >= 18:
        g.add("Split", [x], count, axis=at, num_outputs=g.off(count))
    else:
        g.add("Split", [x], count, axis=at)


def sliced(g: Growing) -> None:
    x, s = g.any(1)
    axis = int(g.r.integers(len(s)))
    low, high = sorted(int(v) for v in g.r.integers(-s[axis] - 1, s[axis] + 2, 2))
    high = g.pick((high, 2**31 - 1, 2**63 - 1))
    if g.opset < 10:
        g.add("Slice", [x], starts=[low], ends=[high], axes=[g.off(axis)])
        return
    step = g.off(int(g.pick((1, 1, 2, -1))))
    axes = [g.off(axis)]
    g.add("Slice", [x, g.whole([low]), g.whole([high]), g.whole(axes), g.whole([step])])


def expanded(g: Growing) -> None:
    x, s = g.any()
    target = [g.off(g.extent() if d == 1 else d) for d in s]
    g.add("Expand", [x, g.whole([g.extent(), *target] if g.chance(0.3) else target)])


def tiled(g: Growing) -> None:
    x, s = g.any(1)
    times = [g.off(int(g.pick((1, 1, 2, 3)))) for _ in s]
    g.add("Tile", [x, g.whole(times + ([2] if g.chance(0.04) else []))])


def padded(g: Growing) -> None:
    x, s = g.any(1)
    pads = [g.off(int(g.pick((0, 0, 1, 2, -1)))) for _ in range(2 * len(s))]
    pads = pads[1:] if g.chance(0.04) else pads
    if g.opset < 11:
        g.add("Pad", [x], pads=pads)
    else:
        g.add("Pad", [x, g.whole(pads)], mode=g.pick(("constant", "edge")))


def gathered(g: Growing) -> None:
    x, s = g.any(1)
    axis = int(g.r.integers(-len(s), len(s)))
    shape = g.pick(((), (1,), (3,), (2, 2)))
    index = g.r.integers(-s[axis], max(s[axis], 1 - s[axis]), shape)
    index = np.vectorize(g.off, otypes=[np.int64])(index) if g.chance(0.3) else index
    g.add("Gather", [x, g.whole(index)], axis=g.off(axis))


def gathered_elements(g: Growing) -> None:
    x, s = g.any(1)
    axis = int(g.r.integers(-len(s), len(s)))
    if int(np.prod(s)) > 4096 or not s[axis]:
        return unary(g)
    index = g.whole(
        g.r.integers(0, s[axis], [*s[:-1], g.off(1)] if g.chance(0.05) and s[-1] > 0 else s)
    )
    if g.opset >= 11 and g.chance(0.5):
        g.add("ScatterElements", [x, index, g.weight(*s)], axis=g.off(axis))
    else:
        g.add("GatherElements", [x, index], axis=g.off(axis))
    return None


def gathered_rows(g: Growing) -> None:
    x, s = g.any(1)
    depth = int(g.r.integers(1, len(s) + 1))
    index = np.zeros((3, min(9, max(1, g.off(depth)))), np.int64)
    if g.chance(0.5):
        g.add("GatherND", [x, g.whole(index)])
    else:
        g.add("ScatterND", [x, g.whole(index), g.weight(3, *s[index.shape[1] :])])


def resized(g: Growing) -> None:
    x, s = g.any(3, 4)
    scale = [1.0, 1.0, *(float(g.pick((0.5, 1, 2, 3, 1.5))) for _ in s[2:])]
    scale = scale[:-1] if g.chance(0.04) else scale
    if g.chance(0.03):
        scale[-1] = float(g.pick((0.0, -1.0, 1e12)))
    name = g.name("k")
    g.stored.append(numpy_helper.from_array(np.array(scale, np.float32), name))
    if g.opset < 10:
        g.add("Upsample", [x, name])
    elif g.opset < 11:
        g.add("Resize", [x, name])
    elif g.chance(0.6):
        g.add("Resize", [x, "", name] if g.opset >= 13 else [x, g.weight(0), name])
    else:
        sizes = g.whole([*s[:2], *(g.off(g.extent()) for _ in s[2:])])
        g.add(
            "Resize", [x, "", "", sizes] if g.opset >= 13 else [x, g.weight(0), g.weight(0), sizes]
        )


def blocks(g: Growing) -> None:
    b = g.off(int(g.pick((1, 2, 2, 3))))
    c = b if 0 < b < 9 else 2
    x = g.name("x")
    op = g.pick(("DepthToSpace", "SpaceToDepth"))
    deep = op == "DepthToSpace"
    shape = [1, g.off(3 * c * c) if deep else 3, 4 if deep else g.off(2 * c), 4 if deep else 2 * c]
    g.inputs.append(helper.make_tensor_value_info(x, TensorProto.FLOAT, [max(1, d) for d in shape]))
    g.shapes[x] = list(shape)
    g.add(op, [x], blocksize=b)


def top(g: Growing) -> None:
    x, s = g.any(1)
    axis = int(g.r.integers(-len(s), len(s)))
    k = g.off(int(g.r.integers(0, s[axis] + 1)))
    if g.opset < 10:
        g.add("TopK", [x], 2, axis=g.off(axis), k=k)
    else:
        g.add("TopK", [x, g.whole([k])], 2, axis=g.off(axis))


def reduced(g: Growing) -> None:
    x, s = g.any(1)
    axes = [g.axis(len(s))]
    keep = int(g.chance(0.5))
    op = g.pick(("ReduceSum", "ReduceMean", "ReduceMax", "ArgMax"))
    if op == "ArgMax":
        g.add(op, [x], axis=axes[0], keepdims=keep)
    elif g.opset >= 18 or (op == "ReduceSum" and g.opset >= 13):
        g.add(op, [x, g.whole(axes)], keepdims=keep)
    else:
        g.add(op, [x], axes=axes, keepdims=keep)


def summed(g: Growing) -> None:
    x, s = g.any(1)
    if g.opset < 11:
        return unary(g)
    g.add("CumSum", [x, g.whole(g.axis(len(s)))])
    return None


def shaped(g: Growing) -> None:
    """Arithmetic on shapes, as exporters write it: squares grow without bound."""
    x, _ = g.any(1)
    g.add("Shape", [x])
    size = g.nodes[-1].output[0]
    for _ in range(int(g.r.integers(0, 4)) + 20 * g.chance(0.05)):
        g.add(g.pick(("Mul", "Add", "Mul", "Sub", "Div")), [size, size])
        size = g.nodes[-1].output[0]
    g.add(
        g.pick(("ConstantOfShape", "ConstantOfShape", "Cast")),
        [size],
        **({"to": TensorProto.FLOAT} if g.chance(0) else {}),
    )
    if g.nodes[-1].op_type == "Cast":
        g.nodes[-1].attribute.append(helper.make_attribute("to", TensorProto.FLOAT))


def filled(g: Growing) -> None:
    if g.opset >= 11 and g.chance(0.5):
        g.add("Range", [g.whole(0), g.whole(g.off(g.extent())), g.whole(g.off(1))])
    else:
        g.add("ConstantOfShape", [g.whole([g.off(g.extent()) for _ in range(2)])])


def by_equation(g: Growing) -> None:
    x, s = g.any(1, 4)
    if g.opset < 12:
        return unary(g)
    letters = "abcd"[: len(s)]
    w = g.weight(s[-1], g.extent())
    equation, inputs = g.pick(
        (
            (f"{letters},{letters[-1]}z->{letters[:-1]}z", [x, w]),
            (f"{letters},{letters}->{letters}", [x, x]),
            (f"{letters}->{letters[::-1]}", [x]),
            (f"{letters},{letters}->", [x, x]),
            (f"...{letters[-1]},{letters[-1]}z->...z", [x, w]),
            (f"{letters},{letters[0]}z->{letters}z", [x, g.weight(s[0], 3)]),
            (f"{letters},zz->{letters}", [x, g.weight(3, 3)]),
            (f"{letters[:-1]}->q", [x]),
        )
    )
    g.add("Einsum", inputs, equation=equation)
    return None


def recurrent(g: Growing) -> None:
    x, s = g.any(3, 3)
    op, gates = g.pick((("LSTM", 4), ("GRU", 3), ("RNN", 1)))
    hidden, ways = g.extent(), int(g.pick((1, 1, 2)))
    w, r = g.weight(ways, gates * hidden, s[2]), g.weight(ways, gates * hidden, hidden)
    g.add(
        op,
        [x, w, r],
        2,
        hidden_size=g.off(hidden),
        direction="bidirectional" if ways == 2 else "forward",
    )


def body(g: Growing, x: str) -> onnx.GraphProto:
    made = g.name("b")
    node = helper.make_node(g.pick(("Relu", "Neg", "Sigmoid")), [x], [made])
    return helper.make_graph(
        [node], g.name("body"), [], [helper.make_empty_tensor_value_info(made)]
    )


def branched(g: Growing) -> None:
    x, _ = g.any()
    if g.chance(0.5):
        name = g.name("k")
        g.stored.append(numpy_helper.from_array(np.array(g.chance(0.5)), name))
    else:
        name = g.name("x")
        g.inputs.append(helper.make_tensor_value_info(name, TensorProto.BOOL, []))
    g.add("If", [name], then_branch=body(g, x), else_branch=body(g, x))


def looped(g: Growing) -> None:
    x, _ = g.any()
    info = helper.make_tensor_value_info
    shape = [None if d is None else d for d in g.shapes[x]]
    made = g.name("b")
    loop = helper.make_graph(
        [
            helper.make_node("Identity", [made + "c"], [made + "d"]),
            helper.make_node("Relu", [made + "v"], [made]),
        ],
        "loop",
        [
            info(made + "i", TensorProto.INT64, []),
            info(made + "c", TensorProto.BOOL, []),
            info(made + "v", TensorProto.FLOAT, shape),
        ],
        [info(made + "d", TensorProto.BOOL, []), info(made, TensorProto.FLOAT, shape)],
    )
    times = "" if g.chance(0.1) else g.whole(g.off(int(g.pick((0, 1, 5, 1000, 2**63 - 1)))))
    g.add("Loop", [times, "", x], body=loop)


def scanned(g: Growing) -> None:
    x, s = g.any(1)
    if s[0] == 0:
        return unary(g)
    info = helper.make_tensor_value_info
    made = g.name("b")
    inner = helper.make_graph(
        [helper.make_node("Relu", [made + "i"], [made])],
        "scan",
        [info(made + "i", TensorProto.FLOAT, g.shapes[x][1:])],
        [info(made, TensorProto.FLOAT, g.shapes[x][1:])],
    )
    g.add("Scan", [x], body=inner, num_scan_inputs=g.off(1))
    return None


def picked(g: Growing) -> None:
    x, s = g.any(1)
    op = g.pick(("NonZero", "Unique", "Dropout", "EyeLike", "Trilu", "PRelu", "LRN"))
    if (op == "Unique" and g.opset < 11) or (op == "Trilu" and g.opset < 14):
        op = "NonZero"
    if op == "PRelu":
        g.add(op, [x, g.weight(*s)])
    elif op == "LRN":
        g.add(op, [g.any(3)[0]], size=g.off(3))
    else:
        g.add(op, [x])


def called(g: Growing) -> None:
    """A function of the model's own, which calls others or itself."""
    x, _ = g.any()
    if g.opset < 13:
        return unary(g)
    name = f"F{len(g.functions)}"
    inner = f"F{len(g.functions) - 1}" if g.functions else ""
    if g.chance(0.05):
        inner = name  # which has no end
    body_ = (
        [
            helper.make_node(inner, ["a"], ["t"], domain="f"),
            helper.make_node(inner, ["t"], ["b"], domain="f"),
        ]
        if inner
        else [helper.make_node("Relu", ["a"], ["b"])]
    )
    imports = [helper.make_opsetid("", g.opset), helper.make_opsetid("f", 1)]
    g.functions.append(helper.make_function("f", name, ["a"], ["b"], body_, imports))
    g.add(name, [x], domain="f")
    return None


def odd(g: Growing) -> None:
    """What is no operator of the standard, or lacks what one needs."""
    x, _ = g.any()
    how = int(g.r.integers(6))
    if how == 0:
        g.add("Fancy", [x], domain="vendor")
    elif how == 1:
        g.add("Relu", [x, x])
    elif how == 2:
        g.add("Conv", [x])
    elif how == 3:
        g.add("Relu", [x], alpha=1.0)
    elif how == 4:
        g.add("Concat", [x, x])
    else:
        g.add("Softmax", [x], axis="one")


STEPS: Sequence[Callable[[Growing], None]] = (
    unary,
    unary,
    softmax,
    binary,
    binary,
    chosen,
    product,
    product,
    gemm,
    conv,
    conv,
    conv,
    pool,
    pool,
    global_pool,
    normalised,
    normalised,
    reshape,
    reshape,
    flatten,
    squeezed,
    transposed,
    concat,
    split,
    split,
    sliced,
    sliced,
    expanded,
    tiled,
    padded,
    gathered,
    gathered_elements,
    gathered_rows,
    resized,
    blocks,
    top,
    reduced,
    summed,
    shaped,
    filled,
    by_equation,
    recurrent,
    branched,
    looped,
    scanned,
    picked,
    called,
    odd,
)
