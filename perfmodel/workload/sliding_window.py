"""Sliding windows of convolutions and pools: the extents of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from perfmodel.workload.graph import Tensor
from perfmodel.workload.symbols import Dim, floor_div, simplify


@lru_cache(maxsize=4096, typed=True)  # networks repeat few windows on few sizes
def conv_size(size: Dim, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> Dim:
    """Return the output extent of a convolution or pool along one axis.

    ``floor((size + pads - dilation * (kernel - 1) - 1) / stride) + 1``.
    """
    # The + 1 is inside the floor, so that a free extent remains a single monomial.
    reach = size + (padding[0] + padding[1] - dilation * (kernel - 1) - 1 + stride)
    return simplify(floor_div(simplify(reach), stride))


def pair(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """Return one number per axis."""
    return (value,) * axes if isinstance(value, int) else tuple(value)


class SlidingWindow(NamedTuple):
    """A window that slides over the trailing axes of a tensor, one entry per axis.

    Attributes
    ----------
    padding
        Padding before and after each axis.
    same
        Whether the padding yields ``ceil(size / stride)`` outputs.
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    same: bool = False

    @classmethod
    def of(
        cls,
        x: Tensor,
        kernel: int | Sequence[int],
        stride: int | Sequence[int],
        padding: int | Sequence[int] | str,
        dilation: int | Sequence[int] = 1,
    ) -> SlidingWindow:
        """Return the window over a tensor ``(batch, channels, ...)``.

        `padding` is one number per axis, ``(begin..., end...)`` pairs, or ``"same"``.
        """
        axes = len(x.shape) - 2
        taps, steps = pair(kernel, axes), pair(dilation, axes)
        if isinstance(padding, str):
            total = [max(d * (k - 1), 0) for k, d in zip(taps, steps, strict=True)]
            pads = tuple((t // 2, t - t // 2) for t in total)
        else:
            ends = pair(padding, axes)
            pads = tuple(zip(ends[:axes], ends[-axes:], strict=True))
        return cls(taps, pair(stride, axes), steps, pads, padding == "same")

    def outputs(self, sizes: Sequence[Dim], *, ceil: bool = False) -> list[Dim]:
        """Return the extents of the output; `ceil` counts a partial last window."""
        if self.same:
            return [
                simplify(floor_div(n + (s - 1), s)) for n, s in zip(sizes, self.stride, strict=True)
            ]
        axes = zip(sizes, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return [conv_size(n + (s - 1) if ceil else n, k, s, p, d) for n, k, s, p, d in axes]

    def scattered(self, sizes: Sequence[Dim], further: Sequence[int]) -> list[Dim]:
        """Return the extents of a transposed convolution's output, plus `further` positions.

        ``(n - 1) * stride + dilation * (kernel - 1) + 1 + further - pads`` per axis.
        """
        axes = zip(sizes, *self[:4], further, strict=True)
        return [simplify((n - 1) * s + d * (k - 1) + 1 + f - sum(p)) for n, k, s, d, p, f in axes]
