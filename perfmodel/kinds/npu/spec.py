"""Spec of a neural processor: published facts, and residency of weights."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ONE, ZERO, Multiple, Size
from perfmodel.hardware.quantity import Of, Quantity

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=4096.0)]


class NeuralProcessor(Engine):
    """Multipliers behind a closed compiler: peaks by format, optionally the channels per step."""

    # Networks are quantised for such parts; floating point is slow or needs a large unit.
    FORMATS_FIRST: ClassVar[tuple[str, ...]] = ("int8", "fp16", "bf16", "fp32", "int16")

    OTHERWISE = "is no neural processor"

    input_channels: Count = ONE
    """Input channels summed per step; a layer's are rounded up to a multiple."""
    output_channels: Count = ONE
    """Output channels (of a depthwise convolution, channels) per step; rounded up."""
    weights: Literal["streamed", "remainder", "contexts"] = "streamed"
    """Residency of weights between runs. ``streamed``: in their own memory, all are loaded in each
    run. ``remainder``: as many as fit stay in the memory next to it, the remainder is loaded in
    each run. ``contexts``: all stay if all fit; otherwise the network is split into contexts, and
    all are loaded in each run (once for all frames of a batch)."""
    host_slowdown: Multiple = ONE
    """Factor of the host that drives the device, on the runtime's times per operator and per layer,
    and on the times of kernels that run on the host."""
    weights_overlap: bool = True
    """Whether an operator computes while its weights arrive; if not, their time is added."""

    operator_room: Size = ZERO
    """Memory next to the engine that an operator needs besides its weights, where they stay."""
    pipelined: bool = False
    """Whether all operators of a network run concurrently, each feeding the next: only inputs and
    outputs of the network, and weights, are transferred from or to main memory."""
