"""Algorithms that a runtime has for convolutions."""

from __future__ import annotations

from typing import Literal, TypeAlias

from perfmodel.hardware.quantity import Spec

Algorithm: TypeAlias = Literal[
    "direct", "im2col", "winograd_2x2", "winograd_4x4", "dense", "per_group", "fewest"
]
"""How a convolution is computed; see `Algorithms`."""


class Algorithms(Spec):
    """How kernels of convolutions compute; `perfmodel.workload.algorithms` counts their work."""

    algorithms: tuple[Algorithm, ...] = ()
    """Algorithms of ``conv``, ``grouped`` and ``depthwise``, best first: an operator takes the
    first that fits it, the direct one where none does. ``direct``: as counted. ``im2col``: the
    columns are written and read. ``winograd_2x2``, ``winograd_4x4`` (dense 3 x 3 of stride 1): 4/9
    and 1/4 of the multiplications, and transforms. ``dense`` (groups): one dense convolution over
    zeros. ``per_group``: a kernel a group. ``fewest``: a bound, the least multiplications that the
    direct one (without those on the padding) or Winograd's takes, transforms for nothing."""
