"""Loop nests: dimensions, and which of them index which tensor.

Work, tensor sizes, reuse and traffic of an operator all derive from its nests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from perfmodel.workload.symbols import Dim, minimum, product, simplify

#: One axis of a tensor: ``((dim, stride), ...)``, indexed by the sum of stride x dim.
Axis: TypeAlias = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor seen from a loop nest.

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
        Real extent of each axis where padding makes the nest reach past it (else ``None``).
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
    def macs(self) -> Dim:
        """Multiply-accumulates: the product of the dimensions."""
        return product(*(size for _, size in self.dims))

    def size(self, dim: str) -> Dim:
        """Return the extent of one dimension."""
        return dict(self.dims)[dim]

    def extent(self, axis: Axis) -> Dim:
        """Return how many positions of a tensor axis the nest touches (span, halo included)."""
        total: Dim = 1
        for dim, stride in axis:
            total = total + stride * (self.size(dim) - 1)
        return simplify(total)

    def elements(self, operand: Operand) -> Dim:
        """Return the elements of an operand's footprint, clipped to its real extent."""
        extents: list[Dim] = []
        for i, axis in enumerate(operand.axes):
            extent = self.extent(axis)
            limit = operand.limits[i] if i < len(operand.limits) else None
            extents.append(extent if limit is None else minimum(extent, limit))
        return product(*extents)

    def reuse(self, operand: Operand) -> Dim:
        """Return multiply-accumulates for each element of an operand."""
        return simplify(self.macs / self.elements(operand))


def indexed(dims: Iterable[str]) -> tuple[Axis, ...]:
    """Return axes that one dimension each indexes, as in ``"bmk"``."""
    return tuple(((dim, 1),) for dim in dims)


def gemm_nest(
    batch: Dim, m: Dim, n: Dim, k: Dim, a: str, b: str, out: str, *, b_batched: bool
) -> LoopNest:
    """Return ``out[batch, m, n] += a[batch, m, k] * b[(batch,) k, n]``.

    A `b` that the batch does not index is a weight, shared by the whole batch.
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

    Channels are per group; ``groups == channels`` is a depthwise convolution.
    """
    outs = [f"o{i}" for i in range(len(kernel))]
    taps = [f"r{i}" for i in range(len(kernel))]
    dims: list[tuple[str, Dim]] = [
        ("b", batch),
        ("g", groups),
        ("n", out_channels),
        ("c", in_channels),
    ]
    dims += list(zip(outs, spatial_out, strict=True))
    dims += list(zip(taps, kernel, strict=True))
    reach: tuple[Axis, ...] = tuple(
        ((o, s), (r, d)) for o, r, s, d in zip(outs, taps, stride, dilation, strict=True)
    )
    x, w, y = names
    return LoopNest(
        tuple(dims),
        (
            Operand(x, "input", (*indexed("bgc"), *reach), (None, None, None, *spatial_in)),
            Operand(w, "weight", indexed(["g", "n", "c", *taps])),
            Operand(y, "output", indexed(["b", "g", "n", *outs])),
        ),
    )
