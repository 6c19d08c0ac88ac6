"""Constants of kernels on a vendor's neural processor."""

from __future__ import annotations

from typing import ClassVar

from perfmodel.hardware.kernel import (
    Kernel,
    Number,
    Share,
    Speed,
)


class NeuralKernel(Kernel):
    """Cores that a network's kernels use, activation functions, and work on the host."""

    KIND: ClassVar[str] = "npu"

    cores: Number | None = None
    """Cores of the engine that one network runs on; all if left out."""
    result_share: Share | None = None
    """Results per second of an activation function that is not fused into products, over the
    engine's peak in operations per second."""
    host_rate: Speed | None = None
    """Vector operations per second of kernels of this class that run on the host; divided by the
    device's `host_slowdown`, where stated."""
