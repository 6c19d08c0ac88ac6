"""Loop nests: work and footprints against running the loops."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.workload.nest import LoopNest, Operand, conv_nest, gemm_nest
from perfmodel.workload.symbols import evaluate, symbol


def walk(nest: LoopNest, operand: Operand) -> tuple[int, list[set[int]]]:
    """Run the loops: how often, and which positions of each axis are touched."""
    names = [name for name, _ in nest.dims]
    ranges = [range(int(size)) for _, size in nest.dims]  # type: ignore[arg-type]
    touched: list[set[int]] = [set() for _ in operand.axes]
    count = 0
    for point in itertools.product(*ranges):
        at = dict(zip(names, point, strict=True))
        count += 1
        for axis, seen in zip(operand.axes, touched, strict=True):
            seen.add(sum(at[dim] * stride for dim, stride in axis))
    return count, touched


@given(*[st.integers(1, 4)] * 4, st.booleans())
def test_gemm_touches_each_matrix_once(b: int, m: int, n: int, k: int, batched: bool) -> None:
    nest = gemm_nest(b, m, n, k, "x", "w", "y", b_batched=batched)
    sizes = {"x": b * m * k, "w": (b if batched else 1) * k * n, "y": b * m * n}
    for operand in nest.operands:
        count, touched = walk(nest, operand)
        assert nest.macs == count == b * m * n * k
        elements = 1
        for seen in touched:
            elements *= len(seen)
        assert nest.elements(operand) == elements == sizes[operand.tensor]
        assert nest.reuse(operand) == pytest.approx(count / elements, rel=1e-12)


sides = st.tuples(st.integers(1, 7), st.integers(1, 7))


@given(
    sides,
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 2),
    st.integers(1, 2),
    st.integers(1, 2),
)
def test_convolution_spans_its_input_with_halo(
    image: tuple[int, int],
    kernel: int,
    stride: int,
    dilation: int,
    padding: int,
    groups: int,
    n: int,
    c: int,
) -> None:
    reach = dilation * (kernel - 1) + 1
    out = tuple((s + 2 * padding - reach) // stride + 1 for s in image)
    if min(out) < 1:
        return
    nest = conv_nest(
        1, groups, n, c, out, (kernel,) * 2, (stride,) * 2, (dilation,) * 2, image, ("x", "w", "y")
    )
    x, w, y = nest.operands
    count, touched = walk(nest, x)
    assert nest.macs == count == groups * n * c * out[0] * out[1] * kernel**2
    assert nest.elements(w) == groups * n * c * kernel**2
    assert nest.elements(y) == groups * n * out[0] * out[1]
    span = groups * c
    for seen, real in zip(touched[3:], image, strict=True):
        span *= min(max(seen) - min(seen) + 1, real)
    assert nest.elements(x) == span


def test_depthwise_and_one_dimensional_convolutions() -> None:
    nest = conv_nest(2, 6, 1, 1, [10], [3], [1], [1], [10], ("x", "w", "y"))
    x, w, y = nest.operands
    assert nest.macs == 2 * 6 * 10 * 3
    assert (nest.elements(x), nest.elements(w), nest.elements(y)) == (120, 18, 120)
    assert nest.reuse(w) == 20


def test_extents_may_be_free() -> None:
    batch, height = symbol("batch"), symbol("height")
    nest = conv_nest(
        batch, 1, 8, 3, [height, 10], [3, 3], [1, 1], [1, 1], [height, 10], ("x", "w", "y")
    )
    values = {"batch": 2.0, "height": 6.0}
    assert evaluate(nest.macs, values) == 2 * 8 * 3 * 6 * 10 * 9
    assert evaluate(nest.elements(nest.operands[0]), values) == 2 * 3 * 6 * 10
    assert nest.size("n") == 8
    with pytest.raises(KeyError):
        nest.size("missing")
