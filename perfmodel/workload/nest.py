"""Loop nests: perfectly nested loops around one multiply-accumulate, with the tensors they index.

The work, tensor sizes, reuse and traffic of an operator are derived from its nests: the product of
the loop extents is the number of multiply-accumulates, and the extent of a tensor axis indexed by
several loops is ``1 + sum of stride * (extent - 1)``. The notation is that of Timeloop (Parashar et
al., ISPASS 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap
from typing import NamedTuple, TypeAlias

from perfmodel.workload.symbols import Dim, minimum, product, simplify, total

#: One axis of a tensor: ``((dim, stride), ...)``, indexed by the sum of stride x dim.
Axis: TypeAlias = tuple[tuple[str, int], ...]


class Operand(NamedTuple):
    """A tensor as accessed by a loop nest.

    Attributes
    ----------
    tensor
        Name of the tensor in the graph.
    role
        ``input``, ``weight`` or ``output``.
    axes
        One entry per tensor axis. The input row of a convolution is
        ``(("oh", stride), ("r", dilation))``.
    limits
        Extent of each axis that the nest would exceed because of padding, else ``None``.
    """

    tensor: str
    role: str
    axes: tuple[Axis, ...]
    limits: tuple[Dim | None, ...] = ()


@dataclass(frozen=True, slots=True)
class LoopNest:
    """Perfectly nested loops around one multiply-accumulate."""

    dims: tuple[tuple[str, Dim], ...]
    operands: tuple[Operand, ...]

    @property
    def multiplied(self) -> tuple[Operand, ...]:
        """Operands that are multiplied, in order."""
        return tuple(o for o in self.operands if o.role != "output")

    @property
    def factors(self) -> tuple[Operand, Operand]:
        """The input and the second factor, which is the weight if there is one."""
        first, *_, last = (*self.multiplied, *self.multiplied)
        return (last, first) if (first.role, last.role) == ("weight", "input") else (first, last)

    @property
    def output(self) -> Operand:
        """The operand that accumulates the products."""
        return next(o for o in self.operands if o.role == "output")

    @property
    def macs(self) -> Dim:
        """Multiply-accumulates: the product of the dimensions."""
        return product(*(size for _, size in self.dims))

    def size(self, dim: str) -> Dim:
        """Return the extent of one dimension."""
        return dict(self.dims)[dim]

    def extent(self, axis: Axis) -> Dim:
        """Return the number of positions of a tensor axis that the nest accesses (halo included).

        ``1 + sum of stride * (extent - 1)`` over the dimensions that index the axis.
        """
        return simplify(1 + total(stride * (self.size(dim) - 1) for dim, stride in axis))

    def elements(self, operand: Operand) -> Dim:
        """Return the number of elements of an operand's footprint, clipped to its extents."""
        extents: list[Dim] = []
        for i, axis in enumerate(operand.axes):
            extent = self.extent(axis)
            limit = operand.limits[i] if i < len(operand.limits) else None
            extents.append(extent if limit is None else minimum(extent, limit))
        return product(*extents)

    def reuse(self, operand: Operand) -> Dim:
        """Return the multiply-accumulates per element of an operand."""
        return simplify(self.macs / self.elements(operand))


def indexed(dims: Iterable[str]) -> tuple[Axis, ...]:
    """Return axes that are each indexed by one dimension, as in ``"bmk"``."""
    return tuple(((dim, 1),) for dim in dims)


def contraction(
    equation: str, sizes: Mapping[str, Dim], names: Sequence[str], *, weights: bool = False
) -> LoopNest:
    """Return the nest of ``a,b->out`` in Einstein's notation, a letter per dimension.

    Parameters
    ----------
    sizes
        Extent of each dimension, in the order of the loops.
    names
        Names of the tensors of both operands and of the result.
    weights
        Whether the second operand holds parameters.
    """
    terms = equation.replace("->", ",").split(",")
    roles = "input", "weight" if weights else "input", "output"
    operands = zip(names, roles, map(indexed, terms), strict=True)
    return LoopNest(tuple(sizes.items()), tuple(starmap(Operand, operands)))


def gemm_nest(
    batch: Dim, m: Dim, n: Dim, k: Dim, a: str, b: str, out: str, *, b_batched: bool
) -> LoopNest:
    """Return ``out[batch, m, n] += a[batch, m, k] * b[(batch,) k, n]``.

    A `b` without batch axis is a weight that the whole batch shares.
    """
    role = "input" if b_batched else "weight"
    b_axes = indexed("bkn") if b_batched else indexed("kn")
    return LoopNest(
        (("b", batch), ("m", m), ("n", n), ("k", k)),
        (
            Operand(a, "input", indexed("bmk")),
            Operand(b, role, b_axes),
            Operand(out, "output", indexed("bmn")),
        ),
    )


def conv_nest(
    batch: Dim,
    groups: Dim,
    out_channels: Dim,
    in_channels: Dim,
    spatial_out: Sequence[Dim],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    spatial_in: Sequence[Dim],
    names: tuple[str, str, str],
) -> LoopNest:
    """Return the nest of a convolution in one, two or three spatial dimensions.

    ``y[b, g, n, o] += x[b, g, c, stride * o + dilation * r] * w[g, n, c, r]``, with o and r one
    index per spatial axis. Channels are per group; ``groups == channels`` is a depthwise
    convolution.
    """
    outs, taps, reach, filters, results = _conv_axes(tuple(stride), tuple(dilation))
    dims = [("b", batch), ("g", groups), ("n", out_channels), ("c", in_channels)]
    dims += zip(outs, spatial_out, strict=True)
    dims += zip(taps, kernel, strict=True)
    x, w, y = names
    return LoopNest(
        tuple(dims),
        (
            Operand(x, "input", reach, (None, None, None, *spatial_in)),
            Operand(w, "weight", filters),
            Operand(y, "output", results),
        ),
    )


@lru_cache(maxsize=256)
def _conv_axes(
    stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[list[str], list[str], tuple[Axis, ...], tuple[Axis, ...], tuple[Axis, ...]]:
    """Return the loops over outputs and taps of a convolution, and the axes of its operands."""
    outs = [f"o{i}" for i in range(len(stride))]
    taps = [f"r{i}" for i in range(len(stride))]
    reach: list[Axis] = [
        ((o, s), (r, d)) for o, r, s, d in zip(outs, taps, stride, dilation, strict=True)
    ]
    filters, results = indexed(["g", "n", "c", *taps]), indexed(["b", "g", "n", *outs])
    return outs, taps, (*indexed("bgc"), *reach), filters, results
