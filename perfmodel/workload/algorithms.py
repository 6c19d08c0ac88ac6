"""Algorithms of convolutions: which one an operator takes, and what it multiplies and moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from perfmodel.workload.graph import Operator
from perfmodel.workload.nest import LoopNest
from perfmodel.workload.symbols import (
    Dim,
    ceil_div,
    constant,
    maximum,
    minimum,
    product,
    simplify,
)

#: Winograd's minimal filtering F(m x m, 3 x 3): m, operations of the transform of an input tile and
#: of an output tile. Counted from the matrices of Lavin and Gray, "Fast algorithms for
#: convolutional neural networks", CVPR 2016, a fused multiply-add as one: 4 (12) a line of 4 (6)
#: inputs, 4 (10) a line of outputs; all lines one way, then the other.
WINOGRAD: Final = {
    "winograd_2x2": (2, 4 * (4 + 4), 4 * (4 + 2)),
    "winograd_4x4": (4, 12 * (6 + 6), 10 * (6 + 4)),
}


def algorithm_of(operator: Operator, listed: Sequence[str]) -> str:
    """Return the first algorithm of a list that fits a convolution; empty for the direct one."""
    for name in listed:
        if name == "direct":
            return ""
        if _fits(operator, name):
            return name
    return ""


def _fits(operator: Operator, name: str) -> bool:
    said = dict(operator.attributes)
    kernel, stride = said.get("kernel"), said.get("stride")
    if operator.kind not in {"conv", "depthwise"} or kernel is None or not operator.nests:
        return False
    grouped = constant(said.get("groups", 1)) != 1
    if name == "fewest":
        return not said.get("transposed")
    if name in WINOGRAD:
        plain = tuple(kernel) == (3, 3) and tuple(stride or ()) == (1, 1)
        dense = not grouped and not said.get("transposed")
        return plain and dense and set(said.get("dilation", (1,))) == {1}
    if name == "im2col":
        # The columns of a 1 x 1 convolution are its input.
        return set(kernel) != {1} or set(stride or (1,)) != {1}
    return grouped


def executed_macs(operator: Operator, algorithm: str) -> Dim:
    """Return the multiply-accumulates that an algorithm executes."""
    if algorithm in WINOGRAD:
        nest = operator.nests[0]
        m = WINOGRAD[algorithm][0]
        return product(*(nest.size(d) for d in "bnc"), _tiles(nest, m), (m + 2) ** 2)
    if algorithm == "fewest":
        return _fewest(operator)
    if algorithm == "dense":
        return product(operator.macs, operator.nests[0].size("g"))
    return operator.macs


def _fewest(operator: Operator) -> Dim:
    """Return the least multiply-accumulates of any algorithm here, a bound of the direct one's.

    The direct one may skip the taps that lie on the padding; on either side of an axis these are at
    most what windows that begin at the edge of the padding miss.
    """
    nest, said = operator.nests[0], dict(operator.attributes)
    found: Dim = product(*(nest.size(d) for d in "bgnc"))
    kernel: tuple[int, ...] = said["kernel"]
    for axis, taps in enumerate(kernel):
        outputs = nest.size(f"o{axis}")
        on_image = product(outputs, taps)
        missed = sum(
            _missed(
                side, int(_of(said.get("stride", 1), axis)), int(_of(said.get("dilation", 1), axis))
            )
            for side in _sides(said.get("padding", 0), axis)
        )
        if missed:
            on_image = maximum(simplify(on_image - missed), outputs)
        found = product(found, on_image)
    for name in WINOGRAD:
        if _fits(operator, name):
            found = minimum(found, executed_macs(operator, name))
    return minimum(found, operator.macs)


def _of(given: Any, axis: int) -> Any:
    """Return what an attribute says of an axis: one value may stand for all."""
    return cast("tuple[Any, ...]", given)[axis] if isinstance(given, tuple) else given


def _sides(given: Any, axis: int) -> tuple[int, ...]:
    """Return the padding before and after an axis; nothing where it is given by a word."""
    of_axis = _of(given, axis)
    return () if isinstance(of_axis, str) else (int(_of(of_axis, 0)), int(_of(of_axis, 1)))


def _missed(padding: int, stride: int, dilation: int) -> int:
    """Return the taps that windows over one padded side miss."""
    return sum(-(-(padding - at) // dilation) for at in range(0, padding, stride))


def transform_ops(operator: Operator, algorithm: str) -> Dim:
    """Return vector operations of the transforms of a Winograd convolution; else 0."""
    if algorithm not in WINOGRAD:
        return 0
    m, inputs, outputs = WINOGRAD[algorithm]
    nest = operator.nests[0]
    tiles = product(nest.size("b"), _tiles(nest, m))
    return simplify(tiles * (inputs * nest.size("c") + outputs * nest.size("n")))


def weight_growth(algorithm: str) -> float:
    """Return the elements of a filter as an algorithm reads it, by those of the plain filter.

    A Winograd filter of 3 x 3 is kept transformed, ``(m + 2)**2`` numbers.
    """
    return (WINOGRAD[algorithm][0] + 2) ** 2 / 9.0 if algorithm in WINOGRAD else 1.0


def column_elements(operator: Operator, algorithm: str) -> Dim:
    """Return the elements of the column matrix of im2col; else 0."""
    if algorithm != "im2col":
        return 0
    nest = operator.nests[0]
    return product(*(size for dim, size in nest.dims if dim != "n"))


def launches(operator: Operator, algorithm: str) -> Dim:
    """Return the kernels that an operator is: one per group where each runs by itself."""
    return operator.nests[0].size("g") if algorithm == "per_group" else 1


def _tiles(nest: LoopNest, side: int) -> Dim:
    return product(*(ceil_div(nest.size(d), side) for d in ("o0", "o1")))
