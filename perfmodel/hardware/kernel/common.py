"""Constants of any kernel: its launch, its shares of the peaks, how its terms join."""

from __future__ import annotations

from perfmodel.hardware.kernel.ranges import Bandwidth, Norm, Passes, Share, Time
from perfmodel.hardware.quantity import Spec


class CommonConstants(Spec):
    """What kernels of every class may state."""

    note: str | None = None
    """What a reader must know: the library, how it was measured."""
    launch: Time | None = None
    """Time of a kernel beside its work, that nothing overlaps."""
    narrow_launch: Time | None = None
    """Further time of a depthwise kernel of fewer than two vectors of channels (`multiple`) that do
    not fill them; on rooflines."""
    layout_bandwidth: Bandwidth | None = None
    """Bandwidth at which weights are laid out anew each time that the kernel runs, as by frameworks
    that keep plain filters for libraries of blocked ones; on rooflines."""
    host_floor: Time | None = None
    """Time that the host takes for a kernel; hidden where the device takes longer."""
    peak_share: Share | None = None
    """Share of the engine's peak that the inner loop reaches."""
    bandwidth_share: Share | None = None
    """Share of main memory's bandwidth that the kernel draws when all units read."""
    pnorm: Norm | None = None
    """Exponent that joins the times of arithmetic and memories; large is their maximum."""
    ramp: Time | None = None
    """Time until the memory, or the link, delivers at its full rate."""
    passes: Passes | None = None
    """How often the kernels of this class move the bytes of one: a function that a framework
    composes of several kernels, or passes over attention's scores beside the softmax."""
