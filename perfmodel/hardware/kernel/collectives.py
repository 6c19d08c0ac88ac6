"""Constants of collectives: protocols, a reducing switch, kernels of one or two shots."""

from __future__ import annotations

from perfmodel.hardware.kernel.ranges import Share, Time
from perfmodel.hardware.quantity import Spec


class CollectiveConstants(Spec):
    """What a library of collectives reaches and costs; `perfmodel.cost.collectives`."""

    step: Time | None = None
    """Collective: time of a step of the low-latency protocol."""
    middle_start: Time | None = None
    """Collective: further start of the middle protocol (128 byte lines)."""
    middle_step: Time | None = None
    """Collective: time of a step of the middle protocol."""
    bulk_start: Time | None = None
    """Collective: further start of the bulk protocol."""
    bulk_step: Time | None = None
    """Collective: time of a step of the bulk protocol."""
    low_share: Share | None = None
    """Collective: rate of the low-latency protocol, by that of bulk."""
    middle_share: Share | None = None
    """Collective: rate of the middle protocol, by that of bulk."""
    pair_share: Share | None = None
    """Collective: share of the link's bandwidth in bulk between two devices."""
    eight_share: Share | None = None
    """Collective: share of the link's bandwidth in bulk between eight devices."""
    bridge_share: Share | None = None
    """Collective: what is left of the share where more than two devices meet over PCIe bridges."""
    switch_start: Time | None = None
    """Collective: start of a reduction inside the switch (NVLS)."""
    switch_share: Share | None = None
    """Collective: share of the link's bandwidth of a reduction inside the switch."""
    one_shot_start: Time | None = None
    """Collective: start of one kernel in which every device reads all others."""
    one_shot_share: Share | None = None
    """Collective: share of the link's bandwidth of that kernel."""
    two_shot_start: Time | None = None
    """Collective: start of one kernel that scatters the sums and gathers them."""
    two_shot_share: Share | None = None
    """Collective: share of the link's bandwidth of that kernel."""
    copy_launch: Time | None = None
    """Collective: launch of a copy into a registered buffer."""
    copy_share: Share | None = None
    """Collective: share of main memory's bandwidth of that copy."""
