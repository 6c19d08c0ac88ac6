"""Helpers of shape rules: setting outputs, comparing extents, broadcasting, reading attributes.

A shape rule is a function of a node that calls `set_output` for each output. Extents may be
polynomials of free dimensions, so comparisons only fail if fixed numbers contradict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from perfmodel.workload.importers.onnx.node import (
    ContradictionError,
    OnnxNode,
    OnnxValue,
    Shape,
    normalise_axis,
    require_integer,
)
from perfmodel.workload.importers.onnx.records import LARGEST_EXTENT
from perfmodel.workload.importers.onnx.symbolic_extents import sign
from perfmodel.workload.symbols import Dim, Poly, broadcast, constant, product, simplify

ShapeRule = Callable[[OnnxNode], None]


#: Largest number of elements of a tensor, so that 64 bits can count them.
_MOST_ELEMENTS = 2**63 - 1


def set_output(
    node: OnnxNode, shape: Sequence[Dim], index: int = 0, format: str | None = None
) -> None:
    """Set the shape and format of one output; the format defaults to the first input's.

    Raises
    ------
    ContradictionError
        An extent is negative, or the output has too many elements.
    """
    edge = node.outputs[index] if index < len(node.outputs) else None
    if edge is None:
        return
    dims = tuple(simplify(d) for d in shape)
    for dim in dims:
        if sign(dim) == -1 if isinstance(dim, Poly) else not 0 <= dim <= LARGEST_EXTENT:
            raise ContradictionError(f"its output would have an extent of {dim}")
    size = constant(product(*dims))
    if size is not None and size > _MOST_ELEMENTS:
        raise ContradictionError(f"its output would have {size:g} elements")
    edge.shape = dims
    if format is None:
        format = node.present_inputs[0].format if node.present_inputs else ""
    edge.format = format


def require_equal(what: str, *extents: Dim) -> None:
    """Raise a contradiction if two fixed extents differ."""
    numbers = dict.fromkeys(n for n in map(constant, extents) if n is not None)
    if len(numbers) > 1:
        raise ContradictionError(f"{what} differ: " + " and ".join(f"{n:g}" for n in numbers))


def common_extent(extents: Sequence[Dim], what: str) -> Dim:
    """Return the common extent; a fixed one if others are free."""
    fixed_ones = {d for d in extents if constant(d) is not None}
    if len(fixed_ones) > 1:
        shown = " and ".join(f"{constant(d):g}" for d in sorted(fixed_ones, key=str)[:2])
        raise ContradictionError(f"{what} has extents of {shown}")
    return next(iter(fixed_ones), extents[0])


def sum_extents(dims: Iterable[Dim]) -> Dim:
    """Return the sum of extents."""
    total: Dim = 0
    for dim in dims:
        total = total + dim
    return simplify(total)


def broadcast_shapes(*shapes: Shape) -> Shape:
    """Return the broadcast shape of several shapes, as in NumPy.

    Raises
    ------
    NotPricedError
        The shapes do not broadcast.
    """
    try:
        return broadcast(shapes)
    except ValueError as error:
        raise ContradictionError(str(error)) from None


def broadcast_inputs(node: OnnxNode) -> Shape:
    """Return the broadcast shape of all inputs."""
    return broadcast_shapes(*(e.extents for e in node.present_inputs))


def format_of_data(node: OnnxNode) -> str | None:
    """Return the format of the first input that depends on data, or ``None``."""
    return next((e.format for e in node.present_inputs if e.is_data), None)


def axes_argument(node: OnnxNode, index: int = 1) -> tuple[int, ...] | None:
    """Return the axes from an attribute, or else from an input; ``None`` without both."""
    axes = node.integers("axes")
    if axes is None and node.get(index) is not None:
        axes = tuple(require_integer(v, "an axis") for v in node.numbers(index, "the axes"))
    return axes


def axes_argument_or_all(node: OnnxNode, index: int, count: int) -> Sequence[int]:
    """Return the axes from an attribute or input, or else the first `count` axes."""
    axes = axes_argument(node, index)
    return range(count) if axes is None else axes


def reduced_axes(node: OnnxNode, rank: int) -> set[int]:
    """Return the axes that a reduction sums over."""
    axes = axes_argument(node)
    if not axes:
        return set() if node.integer("noop_with_empty_axes", 0) else set(range(rank))
    return {normalise_axis(a, rank) for a in axes}


def pads_attribute(node: OnnxNode, axes: int) -> tuple[int, ...]:
    """Return the padding before each axis, then after each; zeros if absent."""
    return node.integers("pads") or (0,) * (2 * axes)


def per_axis_attribute(node: OnnxNode, name: str, axes: int) -> tuple[int, ...]:
    """Return an attribute with one number per axis; ones if absent."""
    numbers = node.integers(name) or (1,) * axes
    if len(numbers) != axes:
        raise ContradictionError(f"attribute '{name}' has {len(numbers)} numbers for {axes} axes")
    return numbers


def is_data_dependent(edge: OnnxValue | None) -> bool:
    """Return whether an input's numbers depend on the data, and not on a free dimension."""
    return edge is not None and edge.numbers is None and edge.is_data and not edge.depends_on


def target_shape(node: OnnxNode, index: int) -> Sequence[Dim]:
    """Return the shape that an input states; free dimensions if it depends on the data."""
    edge = node.get(index)
    if not is_data_dependent(edge):
        return node.numbers(index, "the target shape")
    (count,) = (require_integer(d, "the length of a shape") for d in node.shape(index))
    return [node.open_extent(0, axis) for axis in range(count)]
