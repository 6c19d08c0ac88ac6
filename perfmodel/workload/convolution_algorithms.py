"""Algorithms by which a runtime computes a convolution, and the work that each adds or saves.

A network states the convolution; the runtime lists algorithms in order of preference, and the first
applicable one is used: direct, im2col (an explicit column matrix and one matrix product),
Winograd's minimal filtering, one dense convolution in place of groups, one kernel per group, or a
lower bound over all of them. Functions return the executed multiply-accumulates, the transforms,
the stored size of the filters and the extra data movement as polynomials over the free dimensions.
"""

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

#: Winograd's minimal filtering F(m x m, 3 x 3): m, operations to transform an input tile and an
#: output tile. Counted from the matrices of Lavin and Gray, "Fast algorithms for convolutional
#: neural networks", CVPR 2016, with a fused multiply-add as one operation: 4 (12) per line of 4 (6)
#: inputs, 4 (10) per line of outputs, for all rows and then all columns.
WINOGRAD: Final = {
    "winograd_2x2": (2, 4 * (4 + 4), 4 * (4 + 2)),
    "winograd_4x4": (4, 12 * (6 + 6), 10 * (6 + 4)),
}


def select_algorithm(operator: Operator, preferred: Sequence[str]) -> str:
    """Return the first preferred algorithm that fits a convolution; empty for the direct one."""
    for name in preferred:
        if name == "direct":
            return ""
        if _is_applicable(operator, name):
            return name
    return ""


def _is_applicable(operator: Operator, name: str) -> bool:
    """Return whether an algorithm can compute a convolution."""
    kernel, stride = operator.attribute("kernel"), operator.attribute("stride")
    if operator.kind not in {"conv", "depthwise"} or kernel is None or not operator.nests:
        return False
    grouped = constant(operator.attribute("groups", 1)) != 1
    if name == "fewest":
        return not operator.attribute("transposed")
    if name in WINOGRAD:
        plain = tuple(kernel) == (3, 3) and tuple(stride or ()) == (1, 1)
        dense = not grouped and not operator.attribute("transposed")
        return plain and dense and set(operator.attribute("dilation", (1,))) == {1}
    if name == "im2col":
        # The column matrix of a 1 x 1 convolution is its input.
        return set(kernel) != {1} or set(stride or (1,)) != {1}
    return grouped


def executed_macs(operator: Operator, algorithm: str) -> Dim:
    """Return the multiply-accumulates that an algorithm executes.

    Winograd: ``B N C T (m + 2)^2`` for T tiles of m x m outputs; ``dense``: all groups as one, a
    factor of the number of groups.
    """
    if algorithm in WINOGRAD:
        nest = operator.nests[0]
        m = WINOGRAD[algorithm][0]
        return product(*(nest.size(d) for d in "bnc"), _output_tiles(nest, m), (m + 2) ** 2)
    if algorithm == "fewest":
        return _fewest_macs(operator)
    if algorithm == "dense":
        return product(operator.macs, operator.nests[0].size("g"))
    return operator.macs


def _fewest_macs(operator: Operator) -> Dim:
    """Return a lower bound of the multiply-accumulates over all algorithms here.

    The direct algorithm may skip taps on the padding. Per side of an axis these are at most the
    taps of windows that start within the padding.
    """
    nest = operator.nests[0]
    macs: Dim = product(*(nest.size(d) for d in "bgnc"))
    kernel: tuple[int, ...] = operator.attribute("kernel")
    for axis, taps in enumerate(kernel):
        outputs = nest.size(f"o{axis}")
        on_image = product(outputs, taps)
        missed = sum(
            _taps_on_padding(
                side,
                int(_of_axis(operator.attribute("stride", 1), axis)),
                int(_of_axis(operator.attribute("dilation", 1), axis)),
            )
            for side in _axis_padding(operator.attribute("padding", 0), axis)
        )
        if missed:
            on_image = maximum(simplify(on_image - missed), outputs)
        macs = product(macs, on_image)
    for name in WINOGRAD:
        if _is_applicable(operator, name):
            macs = minimum(macs, executed_macs(operator, name))
    return minimum(macs, operator.macs)


def _of_axis(values: Any, axis: int) -> Any:
    """Return an attribute's value for an axis; a single value applies to all axes."""
    return cast("tuple[Any, ...]", values)[axis] if isinstance(values, tuple) else values


def _axis_padding(padding: Any, axis: int) -> tuple[int, ...]:
    """Return the padding before and after an axis; empty if the padding is a word."""
    of_axis = _of_axis(padding, axis)
    return (
        () if isinstance(of_axis, str) else (int(_of_axis(of_axis, 0)), int(_of_axis(of_axis, 1)))
    )


def _taps_on_padding(padding: int, stride: int, dilation: int) -> int:
    """Return the number of taps of windows on one padded side that miss the image."""
    return sum(-(-(padding - at) // dilation) for at in range(0, padding, stride))


def transform_ops(operator: Operator, algorithm: str) -> Dim:
    """Return the vector operations of a Winograd convolution's transforms; 0 for others.

    ``B T (inputs C + outputs N)`` for T tiles, with the operations per tile of `WINOGRAD`.
    """
    if algorithm not in WINOGRAD:
        return 0
    m, inputs, outputs = WINOGRAD[algorithm]
    nest = operator.nests[0]
    tiles = product(nest.size("b"), _output_tiles(nest, m))
    return simplify(tiles * (inputs * nest.size("c") + outputs * nest.size("n")))


def weight_growth(algorithm: str) -> float:
    """Return the size of a filter as stored for an algorithm, relative to the plain filter.

    A 3 x 3 filter is stored transformed for Winograd: ``(m + 2)^2 / 9``.
    """
    return (WINOGRAD[algorithm][0] + 2) ** 2 / 9.0 if algorithm in WINOGRAD else 1.0


def column_elements(operator: Operator, algorithm: str) -> Dim:
    """Return the elements of im2col's column matrix; 0 for other algorithms."""
    if algorithm != "im2col":
        return 0
    nest = operator.nests[0]
    return product(*(size for dim, size in nest.dims if dim != "n"))


def launches(operator: Operator, algorithm: str) -> Dim:
    """Return the kernels that an operator launches: one per group if groups run separately."""
    return operator.nests[0].size("g") if algorithm == "per_group" else 1


def _output_tiles(nest: LoopNest, side: int) -> Dim:
    return product(*(ceil_div(nest.size(d), side) for d in ("o0", "o1")))
