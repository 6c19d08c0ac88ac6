"""Time of collectives inside a node: the least over algorithms and protocols.

Each is ``alpha + beta``: a start, a time a step, and bytes over a share of the link (Hockney 1994;
Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH",
2005). Rings run in three protocols as NCCL's do: low latency, which spends half a line on flags; a
middle one of 128 byte lines; and bulk (NCCL, src/graph/tuning.cc; Hu et al., "Demystifying NCCL",
arXiv 2507.04786). A reduction inside the switch (NVLS), and kernels in which every device reads its
peers' memory (one shot, two shots), are further candidates where the runtime has them. Pure
functions on numbers or arrays that broadcast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.kernel import ConstantsOfKernels, Kernel, Share, Time

#: Collective -> passes over the whole message that a ring's links carry, beside ``(n - 1) / n``.
COLLECTIVES: Final[Mapping[str, float]] = {
    "all_reduce": 2.0,
    "all_gather": 1.0,
    "reduce_scatter": 1.0,
    "all_to_all": 1.0,
}

#: Time of a step over PCIe by that over NVLink: NCCL's own table of a ring's hardware latencies in
#: src/graph/tuning.cc, {LL, LL128, Simple}: PCI {1.0, 2.5, 5.7} us, NVLink {0.47, 1.9, 3.4} us.
PCIE_STEPS: Final = {"low": 1.0 / 0.47, "middle": 2.5 / 1.9, "bulk": 5.7 / 3.4}


class CollectiveKernel(Kernel):
    """What a library of collectives reaches and costs."""

    KIND: ClassVar[str] = "collective"

    step: Time | None = None
    """Time of a step of the low-latency protocol."""
    middle_start: Time | None = None
    """Further start of the middle protocol (128 byte lines)."""
    middle_step: Time | None = None
    """Time of a step of the middle protocol."""
    bulk_start: Time | None = None
    """Further start of the bulk protocol."""
    bulk_step: Time | None = None
    """Time of a step of the bulk protocol."""
    low_share: Share | None = None
    """Rate of the low-latency protocol, by that of bulk."""
    middle_share: Share | None = None
    """Rate of the middle protocol, by that of bulk."""
    pair_share: Share | None = None
    """Share of the link's bandwidth in bulk between two devices."""
    eight_share: Share | None = None
    """Share of the link's bandwidth in bulk between eight devices."""
    bridge_share: Share | None = None
    """What is left of the share where more than two devices meet over PCIe bridges."""
    switch_start: Time | None = None
    """Start of a reduction inside the switch (NVLS)."""
    switch_share: Share | None = None
    """Share of the link's bandwidth of a reduction inside the switch."""
    one_shot_start: Time | None = None
    """Start of one kernel in which every device reads all others."""
    one_shot_share: Share | None = None
    """Share of the link's bandwidth of that kernel."""
    two_shot_start: Time | None = None
    """Start of one kernel that scatters the sums and gathers them."""
    two_shot_share: Share | None = None
    """Share of the link's bandwidth of that kernel."""
    copy_launch: Time | None = None
    """Launch of a copy into a registered buffer."""
    copy_share: Share | None = None
    """Share of main memory's bandwidth of that copy."""


@dataclass(frozen=True, slots=True)
class CollectiveCostConstants(ConstantsOfKernels):
    """Constants of a library: `CollectiveKernel` says what they are.

    Seconds and shares; an algorithm whose share is 0 is none that the library has.
    """

    launch: Value = 0.0
    host_floor: Value = 0.0
    step: Value = 0.0
    middle_start: Value = 0.0
    middle_step: Value = 0.0
    bulk_start: Value = 0.0
    bulk_step: Value = 0.0
    low_share: Value = 0.0
    middle_share: Value = 0.0
    pair_share: Value = 1.0
    eight_share: Value = 1.0
    bridge_share: Value = 1.0
    ramp: Value = 0.0
    switch_start: Value = 0.0
    switch_share: Value = 0.0
    one_shot_start: Value = 0.0
    one_shot_share: Value = 0.0
    two_shot_start: Value = 0.0
    two_shot_share: Value = 0.0
    copy_launch: Value = 0.0
    copy_share: Value = 0.0


#: Joins protocols: nearly their least, as a library's thresholds are nearly at the crossing.
_NORM: Final = 12.0
#: Devices from which on a reduction inside the switch is offered.
_SWITCHED: Final = 8.0


def wire_bytes(name: str, message_bytes: Value, devices: Value) -> Value:
    """Return the bytes that a ring sends over each device's link in each direction.

    Parameters
    ----------
    name
        One of `COLLECTIVES`.
    message_bytes
        Bytes of the whole message: what an all-reduce sums, what an all-gather has gathered.
    devices
        How many take part.
    """
    return COLLECTIVES[name] * message_bytes * (devices - 1.0) / devices


def candidates(
    name: str,
    message_bytes: Value,
    devices: Value,
    bandwidth: Value,
    k: CollectiveCostConstants,
    *,
    pcie: Value = False,
) -> dict[str, Value]:
    """Return the seconds of each algorithm, launches left out; infinite where it is not to be had.

    Notes
    -----
    With ``w = wire_bytes`` and ``e = share(n) bandwidth``, where the share goes from `pair_share`
    of two devices to `eight_share` of eight with ``1 - 2 / n``::

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
            k.low_share, steps * k.step * low + bulk / _safe(k.low_share, xp)
        ),
        "ring, middle": offered(
            k.middle_share,
            k.middle_start + steps * k.middle_step * middle + bulk / _safe(k.middle_share, xp),
        ),
    }
    if name == "all_reduce":
        inside = k.switch_start + b / (_safe(k.switch_share, xp) * bandwidth)
        out["in the switch"] = xp.where(
            pcie | (n < _SWITCHED), never, offered(k.switch_share, inside)
        )
        # Peers are not read over a host bridge; two devices have no parts to scatter. They launch
        # themselves: what the ring's launch adds is taken off again.
        peers = pcie & (n > 2.0)
        one = k.one_shot_start + (n - 1.0) * b / (_safe(k.one_shot_share, xp) * bandwidth)
        two = k.two_shot_start + wire / (_safe(k.two_shot_share, xp) * bandwidth)
        one, two = one - k.launch, two - k.launch
        out["one shot"] = xp.where(peers, never, offered(k.one_shot_share, one))
        out["two shots"] = xp.where(peers | (n <= 2.0), never, offered(k.two_shot_share, two))
    return out


def _safe(share: Value, xp: object) -> Value:
    """Return a share to divide by: 1 where there is none."""
    space: Value = xp
    return space.where(share > 0.0, share, 1.0)


def collective_seconds(
    name: str,
    message_bytes: Value,
    devices: Value,
    bandwidth: Value,
    k: CollectiveCostConstants,
    *,
    pcie: Value = False,
    memory_bandwidth: Value = float("inf"),
) -> Value:
    """Return the seconds of a collective.

    Parameters
    ----------
    name
        One of `COLLECTIVES`.
    message_bytes
        Bytes of the whole message.
    devices
        How many take part; at least two.
    bandwidth
        Bytes a second that a device sends over its links, one direction.
    k
        Constants of the library.
    pcie
        Whether the link is PCIe: steps take longer, and more than two devices meet over bridges.
    memory_bandwidth
        Of a device's main memory; a library that copies the message first reads and writes it.

    Returns
    -------
    float or array
        ``max(host_floor, launch + least over the candidates + copy)``.
    """
    found = candidates(name, message_bytes, devices, bandwidth, k, pcie=pcie)
    xp = namespace(message_bytes, devices, bandwidth, k.launch, k.pair_share)
    rings = [seconds for key, seconds in found.items() if key.startswith("ring")]
    least = rings[0]
    for seconds in rings[1:]:
        least = xp.minimum(least, seconds)
    soft = sum((least / seconds) ** _NORM for seconds in rings)
    time = least * soft ** (-1.0 / _NORM)
    for key, seconds in found.items():
        if not key.startswith("ring"):
            time = xp.minimum(time, seconds)
    copy = k.copy_launch + 2.0 * message_bytes / (_safe(k.copy_share, xp) * memory_bandwidth)
    copy = xp.where(k.copy_share > 0.0, copy, 0.0)
    return xp.maximum(k.host_floor, k.launch + time + copy)
