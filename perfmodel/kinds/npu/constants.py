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
    """How a network spreads over the cores of a neural processor, and what its host does."""

    KIND: ClassVar[str] = "npu"

    cores: Number | None = None
    """Cores of the engine that one network runs on; all where left out."""
    result_share: Share | None = None
    """Results of an activation function that a second brings, over the engine's peak in operations
    a second, where it does not ride on the multipliers' results."""
    host_rate: Speed | None = None
    """Vector operations per second at which the host runs kernels of this class instead; of a host
    of which the device says `host_slowdown`, that much less."""
