"""Constants of kernels on a vendor's neural processor; `perfmodel.kinds.npu`."""

from __future__ import annotations

from perfmodel.hardware.kernel.ranges import Number
from perfmodel.hardware.quantity import Spec

__all__ = ["NeuralConstants"]


class NeuralConstants(Spec):
    """How a network spreads over the cores of a neural processor."""

    cores: Number | None = None
    """Cores of the engine that one network runs on; all where left out."""
