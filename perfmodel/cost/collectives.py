"""Time of collectives within a node: the minimum over algorithms and protocols.

Each algorithm is an alpha-beta model: a startup time, a time per step, and bytes over a share of
the link bandwidth (Hockney 1994; Thakur, Rabenseifner and Gropp, "Optimization of collective
communication operations in MPICH", 2005). Rings use one of three protocols, as in NCCL: low latency
(LL), which spends half of each line on flags; a middle one with 128-byte lines (LL128); and bulk
(Simple) (NCCL, src/graph/tuning.cc; Hu et al., "Demystifying NCCL", arXiv 2507.04786). In-switch
reduction (NVLS), and kernels in which every device reads the memory of its peers (one-shot,
two-shot), are further candidates if the runtime provides them. Functions take scalars or arrays
that broadcast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.field_types import Time
from perfmodel.hardware.kernel import IdealValue, Kernel, KernelConstants, Share

#: Collective -> passes over the whole message on each link of a ring, in units of ``(n - 1) / n``.
COLLECTIVES: Final[Mapping[str, float]] = {
    "all_reduce": 2.0,
    "all_gather": 1.0,
    "reduce_scatter": 1.0,
    "all_to_all": 1.0,
}

#: Ratio of the step time over PCIe to that over NVLink, from the hardware latencies of rings in
#: NCCL's src/graph/tuning.cc, {LL, LL128, Simple}: PCI {1.0, 2.5, 5.7} us, NVLink {0.47, 1.9, 3.4}
#: us.
PCIE_STEPS: Final = {"low": 1.0 / 0.47, "middle": 2.5 / 1.9, "bulk": 5.7 / 3.4}


class CollectiveKernel(Kernel):
    """Constants of a collectives library; a missing share means that it lacks the algorithm."""

    KIND: ClassVar[str] = "collective"

    step: Annotated[Time | None, IdealValue(0.0)] = None
    """Time of a step of the low-latency protocol."""
    middle_start: Annotated[Time | None, IdealValue(0.0)] = None
    """Further start of the middle protocol (128 byte lines)."""
    middle_step: Annotated[Time | None, IdealValue(0.0)] = None
    """Time of a step of the middle protocol."""
    bulk_start: Annotated[Time | None, IdealValue(0.0)] = None
    """Further start of the bulk protocol."""
    bulk_step: Annotated[Time | None, IdealValue(0.0)] = None
    """Time of a step of the bulk protocol."""
    low_share: Annotated[Share | None, IdealValue(0.0)] = None
    """Rate of the low-latency protocol, by that of bulk."""
    middle_share: Annotated[Share | None, IdealValue(0.0)] = None
    """Rate of the middle protocol, by that of bulk."""
    pair_share: Annotated[Share | None, IdealValue(1.0)] = None
    """Share of the link's bandwidth in bulk between two devices."""
    eight_share: Annotated[Share | None, IdealValue(1.0)] = None
    """Share of the link's bandwidth in bulk between eight devices."""
    bridge_share: Annotated[Share | None, IdealValue(1.0)] = None
    """Factor on the share if more than two devices communicate over PCIe bridges."""
    switch_start: Annotated[Time | None, IdealValue(0.0)] = None
    """Start of a reduction inside the switch (NVLS)."""
    switch_share: Annotated[Share | None, IdealValue(0.0)] = None
    """Share of the link's bandwidth of a reduction inside the switch."""
    one_shot_start: Annotated[Time | None, IdealValue(0.0)] = None
    """Start of one kernel in which every device reads all others."""
    one_shot_share: Annotated[Share | None, IdealValue(0.0)] = None
    """Share of the link's bandwidth of that kernel."""
    two_shot_start: Annotated[Time | None, IdealValue(0.0)] = None
    """Start of one kernel that scatters the sums and gathers them."""
    two_shot_share: Annotated[Share | None, IdealValue(0.0)] = None
    """Share of the link's bandwidth of that kernel."""
    copy_launch: Annotated[Time | None, IdealValue(0.0)] = None
    """Launch of a copy into a registered buffer."""
    copy_share: Annotated[Share | None, IdealValue(0.0)] = None
    """Share of main memory's bandwidth of that copy."""


#: Exponent of the soft minimum over protocols: a library's switching thresholds are close to the
#: crossover points, but not exactly there.
_SOFT_MINIMUM_EXPONENT: Final = 12.0
#: Minimum number of devices for an in-switch reduction.
_MIN_SWITCH_DEVICES: Final = 8.0


def wire_bytes(name: str, message_bytes: Value, devices: Value) -> Value:
    """Return the bytes that a ring sends over each device's link in each direction.

    Parameters
    ----------
    name
        One of `COLLECTIVES`.
    message_bytes
        Bytes of the whole message: the operand of an all-reduce, the result of an all-gather.
    devices
        Number of participating devices n.

    Returns
    -------
    float or array
        ``passes (n - 1) / n message_bytes``, with the passes of `COLLECTIVES`.
    """
    return COLLECTIVES[name] * message_bytes * (devices - 1.0) / devices


def candidates(
    name: str,
    message_bytes: Value,
    devices: Value,
    bandwidth: Value,
    k: KernelConstants,
    *,
    pcie: Value = False,
) -> dict[str, Value]:
    """Return the time of each algorithm in seconds, without launches; infinite if unavailable.

    Notes
    -----
    With ``w = wire_bytes`` and ``e = share(n) bandwidth``, where the share is interpolated from
    `pair_share` at two devices to `eight_share` at eight, linearly in ``1 - 2 / n``::

        ring low    = steps step + w / (low_share e)
        ring middle = middle_start + steps middle_step + w / (middle_share e)
        ring bulk   = bulk_start + steps bulk_step + w / e + ramp bytes / (bytes + ramp bandwidth)
        switch      = switch_start + bytes / (switch_share bandwidth)
        one shot    = one_shot_start + (n - 1) bytes / (one_shot_share bandwidth)
        two shots   = two_shot_start + w / (two_shot_share bandwidth)
    """
    xp = namespace(message_bytes, devices, bandwidth, k.launch, k.pair_share)
    b, n, pcie = message_bytes, devices, xp.asarray(pcie)
    steps = (n - 1.0) * (COLLECTIVES[name] if name != "all_to_all" else 1.0)
    wire = wire_bytes(name, b, n)
    share = k.pair_share + (k.eight_share - k.pair_share) * (1.0 - 2.0 / n) / 0.75
    share = share * xp.where(pcie & (n > 2.0), k.bridge_share, 1.0)
    bulk = wire / (share * bandwidth)
    low, middle, slow = (xp.where(pcie, r, 1.0) for r in PCIE_STEPS.values())
    never = 0.0 * (b + n) + float("inf")

    def offered(share: Value, seconds: Value) -> Value:
        return xp.where(share > 0.0, seconds, never)

    out = {
        "ring, bulk": k.bulk_start
        + steps * k.bulk_step * slow
        + bulk
        + k.ramp * b / (b + k.ramp * bandwidth),
        "ring, low latency": offered(
            k.low_share, steps * k.step * low + bulk / _nonzero(k.low_share, xp)
        ),
        "ring, middle": offered(
            k.middle_share,
            k.middle_start + steps * k.middle_step * middle + bulk / _nonzero(k.middle_share, xp),
        ),
    }
    if name == "all_reduce":
        inside = k.switch_start + b / (_nonzero(k.switch_share, xp) * bandwidth)
        out["in the switch"] = xp.where(
            pcie | (n < _MIN_SWITCH_DEVICES), never, offered(k.switch_share, inside)
        )
        # Peer memory cannot be read over a host bridge, and two devices have nothing to scatter.
        # These kernels include their own launch, so that the launch of the ring is subtracted.
        peers = pcie & (n > 2.0)
        one = k.one_shot_start + (n - 1.0) * b / (_nonzero(k.one_shot_share, xp) * bandwidth)
        two = k.two_shot_start + wire / (_nonzero(k.two_shot_share, xp) * bandwidth)
        one, two = one - k.launch, two - k.launch
        out["one shot"] = xp.where(peers, never, offered(k.one_shot_share, one))
        out["two shots"] = xp.where(peers | (n <= 2.0), never, offered(k.two_shot_share, two))
    return out


def _nonzero(share: Value, xp: object) -> Value:
    """Return a share that is safe to divide by: 1 where it is missing."""
    space: Value = xp
    return space.where(share > 0.0, share, 1.0)


def collective_seconds(
    name: str,
    message_bytes: Value,
    devices: Value,
    bandwidth: Value,
    k: KernelConstants,
    *,
    pcie: Value = False,
    memory_bandwidth: Value = float("inf"),
) -> Value:
    """Return the time of a collective in seconds.

    Parameters
    ----------
    name
        One of `COLLECTIVES`.
    message_bytes
        Bytes of the whole message.
    devices
        Number of participating devices, at least two.
    bandwidth
        Bytes per second that a device sends over its links in one direction.
    k
        Constants of the library.
    pcie
        Whether the link is PCIe: steps are slower, and more than two devices communicate over
        bridges.
    memory_bandwidth
        Bandwidth of a device's main memory, bytes per second, for libraries that first copy the
        message into a registered buffer.

    Returns
    -------
    float or array
        ``max(host_floor, launch + t + copy)`` with t the minimum over the algorithms; over the
        protocols of a ring it is the soft minimum ``(sum t_i^-p)^(-1/p)``, p = 12.
    """
    by_algorithm = candidates(name, message_bytes, devices, bandwidth, k, pcie=pcie)
    xp = namespace(message_bytes, devices, bandwidth, k.launch, k.pair_share)
    rings = [seconds for key, seconds in by_algorithm.items() if key.startswith("ring")]
    least = rings[0]
    for seconds in rings[1:]:
        least = xp.minimum(least, seconds)
    soft = sum((least / seconds) ** _SOFT_MINIMUM_EXPONENT for seconds in rings)
    time = least * soft ** (-1.0 / _SOFT_MINIMUM_EXPONENT)
    for key, seconds in by_algorithm.items():
        if not key.startswith("ring"):
            time = xp.minimum(time, seconds)
    copy = k.copy_launch + 2.0 * message_bytes / (_nonzero(k.copy_share, xp) * memory_bandwidth)
    copy = xp.where(k.copy_share > 0.0, copy, 0.0)
    return xp.maximum(k.host_floor, k.launch + time + copy)
