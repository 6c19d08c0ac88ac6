"""Energy of a cut by term: what the device, the server and the network take of one run.

Every term is a line in ``1 / rate``, as the latency of a cut is. With the idle power P of the
device, and the powers of its radio as in `perfmodel.hardware.system.SystemLink`, in joules::

    compute   = operations, bytes and static power of the device's part (perfmodel.cost.energy)
    waiting   = P (server_s + messages_s + seconds of sending and receiving)
    sending   = power_up x seconds of sending + energy_per_byte_up x bytes
    receiving = power_down x seconds of receiving + energy_per_byte_down x bytes
    tail      = tail_power (min(tail_time, server_s + messages_s) + tail_time)
    wake      = wake_power x wake_time

The radio stays awake between the last byte up and the answer, and after the answer: the tail that
Huang et al. (MobiSys 2012) measured. With a period, the tail ends with the period at the latest,
and what the device and its radio draw until the next run is the term ``sleeping``. Beyond the
device, ``server`` is the server's part with the effectiveness of its site, and ``network`` what
takes the bytes to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.cost.energy import resting_power_w, static_power_w
from perfmodel.prediction import Prediction
from perfmodel.system.split.cuts import CutTable, Floats, SplitLink, on_link

#: Boundaries of the energy of a split.
BOUNDARIES = ("device", "system")
#: Terms of each boundary beyond the device.
BEYOND = ("server", "network")


class DevicePower(NamedTuple):
    """Powers of the device that waits, and of the site of the server.

    Attributes
    ----------
    idle_w, sleep_w
        Power of the device that is on and waits, and between runs; the former if it states no
        other.
    sleeps
        Whether the device states a power of sleep, which its radio's comes on top of.
    battery_j
        Energy of a charge; NaN without a battery.
    effectiveness
        Power usage effectiveness of the server's site.
    """

    idle_w: float
    sleep_w: float
    sleeps: bool
    battery_j: float
    effectiveness: float


def device_power(device: Prediction, server: Prediction) -> DevicePower:
    """Return the powers of a device that waits for a server."""
    setting, machine = device.setting, device.machine
    idle, resting = (
        0.0 if watts is None else first_number(watts)
        for watts in (static_power_w(setting), resting_power_w(setting))
    )
    return DevicePower(
        idle,
        resting,
        machine.get("power.sleep") is not None,
        first_number(machine.get("power.battery", np.nan)),
        first_number(server.machine.get("site.power_usage_effectiveness", 1.0)),
    )


def energy_lines(
    cuts: CutTable, channel: SplitLink, power: DevicePower
) -> dict[str, tuple[Floats, Floats]]:
    """Return each term as joules at infinite rate, and the coefficient of ``1 / rate``.

    The tail is that of a run that no other follows. A term that is unknown of any cut is NaN.
    """
    up, fixed, follows, messages = on_link(cuts, channel)
    none = np.zeros(cuts.count)
    away_s = cuts.server_s + messages
    used = ((cuts.up_bytes > 0) | (cuts.down_bytes > 0)).astype(float)
    tail_s = used * (np.minimum(channel.tail_s, away_s) + channel.tail_s)
    sent, received = (
        channel.up_j_per_byte * cuts.up_bytes,
        channel.down_j_per_byte * cuts.down_bytes,
    )
    crossed = (cuts.up_bytes + cuts.down_bytes) / channel.efficiency
    return {
        "compute": (_if_known(cuts.device_j), none),
        "waiting": (power.idle_w * (away_s + fixed), power.idle_w * (up + follows)),
        "sending": (sent, channel.power_up_w * up),
        "receiving": (received + channel.power_down_w * fixed, channel.power_down_w * follows),
        "tail": (channel.tail_w * tail_s, none),
        "wake": (channel.wake_w * channel.wake_s * used, none),
        "server": (power.effectiveness * _if_known(cuts.server_j), none),
        "network": (channel.network_j_per_byte * crossed, none),
    }


def energy_terms(
    cuts: CutTable,
    channel: SplitLink,
    power: DevicePower,
    rates_bytes_per_s: Floats,
    latency_s: Floats,
    period_s: float | None,
) -> dict[str, Floats]:
    """Return each term in joules, shape ``(cuts, rates)``, of a run or of a period.

    Parameters
    ----------
    latency_s
        Seconds of a run, shape ``(cuts, rates)``.
    period_s
        Seconds from one run to the next; None for a run that no other follows.
    """
    lines = energy_lines(cuts, channel, power)
    terms = {
        name: level[:, None] + slope[:, None] / rates_bytes_per_s
        for name, (level, slope) in lines.items()
    }
    if period_s is None:
        return terms
    left_s = np.maximum(period_s - latency_s, 0.0)
    used = cuts.split[:, None]
    # The radio is not used while the device computes the first part of the next run either.
    unused_s = left_s + cuts.device_s[:, None]
    awake_s = np.minimum(channel.tail_s, unused_s) * used
    terms["tail"] = terms["tail"] - channel.tail_w * (channel.tail_s * used - awake_s)
    terms["wake"] = terms["wake"] * (channel.tail_s <= unused_s)
    # A device that computes everything itself needs no radio.
    radio_s = used * np.maximum(left_s - awake_s, 0.0) if power.sleeps else 0.0
    terms["sleeping"] = power.sleep_w * left_s + channel.sleep_w * radio_s
    return terms


def within(terms: Mapping[str, Floats], boundary: str) -> dict[str, Floats]:
    """Return the terms within a boundary."""
    return {n: joule for n, joule in terms.items() if boundary == "system" or n not in BEYOND}


def total_energy(terms: Mapping[str, Floats], boundary: str) -> Floats:
    """Return the sum of the terms within a boundary; NaN where one is unknown."""
    return np.sum(list(within(terms, boundary).values()), axis=0)


def _if_known(joules: Floats) -> Floats:
    """Return joules of cuts; NaN of all of them if one is unknown, so that none seems better."""
    return joules if np.isfinite(joules).all() else np.full_like(joules, np.nan)
