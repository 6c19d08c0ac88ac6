"""Spec of a neural processor: what vendors publish, and where weights lie."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=4096.0)]
Factor: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Size: TypeAlias = Annotated[Quantity, Of("bytes")]


class NeuralProcessor(Engine):
    """Multipliers behind a closed compiler: peaks by format, perhaps the channels of a step."""

    # Networks are quantised for such parts; floating point is there, and slow or large.
    FORMATS_FIRST: ClassVar[tuple[str, ...]] = ("int8", "fp16", "bf16", "fp32", "int16")

    OTHERWISE = "is no neural processor"

    input_channels: Count = Quantity(value=1.0)
    """Input channels that a step sums; a layer's are rounded up to a multiple."""
    output_channels: Count = Quantity(value=1.0)
    """Output channels (of a depthwise convolution, channels) that a step makes; rounded up."""
    weights: Literal["streamed", "remainder", "contexts"] = "streamed"
    """Where weights lie from one run to the next. ``streamed``: in their own memory, all of them
    cross at each run. ``remainder``: as many as fit stay in the memory next to it, the rest crosses
    at each run. ``contexts``: all stay where all fit; otherwise the network is split into contexts,
    and all cross at each run (once for all frames of a batch)."""
    host_slowdown: Factor = Quantity(value=1.0)
    """Factor on the runtime's times an operator and a layer, of the host that drives the device,
    and on the times of kernels that the host runs itself."""
    weights_overlap: bool = True
    """Whether an operator computes while its weights arrive; otherwise their time adds to it."""

    operator_room: Size = Quantity(value=0.0)
    """Room next to the engine that an operator takes beside its weights, where they stay."""
    pipelined: bool = False
    """Whether the operators of a network run at once, results of one flowing into the next: only
    what enters and leaves the network crosses main memory's boundary, beside weights."""
