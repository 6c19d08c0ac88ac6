"""Energy, power and battery life of a `Split`, as attributes, and what their numbers leave out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

from perfmodel.cost.energy import static_power_w
from perfmodel.cost.thermal import HOUR
from perfmodel.hardware.system import link_classes
from perfmodel.system.split.cuts import Floats
from perfmodel.system.split.energy import (
    DevicePower,
    device_power,
    energy_lines,
    energy_terms,
    total_energy,
)
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.system.split.result import Split

#: Metrics of a cut at a rate, of a system whose runs follow each other in a stated time.
PER_PERIOD = (
    "energy_per_period_j",
    "average_power_w",
    "battery_runs",
    "battery_hours",
    "battery_share_in_an_hour",
)


class SplitEnergyMetrics:
    """Energy of a split by term, power and battery life; arrays have the shape (cuts, rates)."""

    @cached_property
    def _power(self) -> DevicePower:
        split = cast("Split", self)
        return device_power(split.device.prediction, split.server.prediction)

    @cached_property
    def energy_terms_j(self) -> dict[str, Floats]:
        """Term -> joules of one run: ``compute``, ``waiting``, ``sending``, ``receiving``, ...

        Those of the device, then ``server`` and ``network``; with a period also ``sleeping``.
        """
        split = cast("Split", self)
        rates, period_s = split.rates_bytes_per_s, split.request_period_s
        latency_s = split.latency_s
        return energy_terms(split.cuts, split.channel, self._power, rates, latency_s, period_s)

    @cached_property
    def energy_j(self) -> Floats:
        """Joules of one run within the boundary; NaN if a side within it states no energy."""
        terms = {n: joule for n, joule in self.energy_terms_j.items() if n != "sleeping"}
        return total_energy(terms, cast("Split", self).boundary)

    @cached_property
    def energy_per_period_j(self) -> Floats:
        """Joules from one run to the next, sleep included; NaN without a period."""
        split = cast("Split", self)
        if split.request_period_s is None:
            return np.full_like(split.latency_s, np.nan)
        return total_energy(self.energy_terms_j, split.boundary)

    @property
    def average_power_w(self) -> Floats:
        """Average power over a period, watts; NaN without a period."""
        return self.energy_per_period_j / (cast("Split", self).request_period_s or np.nan)

    @property
    def battery_runs(self) -> Floats:
        """Runs on a charge of the device's battery; NaN without a battery or a period."""
        split = cast("Split", self)
        if split.request_period_s is None:
            return np.full_like(split.latency_s, np.nan)
        return self._power.battery_j / total_energy(self.energy_terms_j, "device")

    @property
    def battery_hours(self) -> Floats:
        """Hours that a charge lasts; NaN without a battery or a period."""
        return self.battery_runs * (cast("Split", self).request_period_s or np.nan) / HOUR

    @property
    def battery_share_in_an_hour(self) -> Floats:
        """Share of a charge that an hour takes; NaN without a battery or a period."""
        return 1.0 / self.battery_hours

    @cached_property
    def _energy_lines(self) -> tuple[Floats, Floats]:
        """Joules within the boundary at infinite rate, and the coefficient of ``1 / rate``."""
        split = cast("Split", self)
        lines = energy_lines(split.cuts, split.channel, self._power)
        level, slope = (
            total_energy({name: line[i] for name, line in lines.items()}, split.boundary)
            for i in (0, 1)
        )
        return level, slope

    def _energy_notes(self) -> Iterator[str]:
        """Yield what the energy leaves out, and whose power the radio's is."""
        split = cast("Split", self)
        channel, known = split.channel, link_classes().get(split.link)
        left_out = ["its power at idle"] * (static_power_w(split.device.setting) is None)
        if not channel.has_radio:
            left_out.append("the link's radio")
        elif known is not None and known.number("tail_time") and not channel.tail_s:
            left_out.append("the tail of its radio")
        if left_out:
            parts = " and ".join(left_out)
            yield f"the device's energy leaves out {parts}, of which nothing is stated"
        if channel.radio_class:
            name = channel.radio_class
            source = link_classes()[name].source
            yield f"the radio's power is that of the class {name} (assumed; {source})"
        if channel.wake_s:
            waking = show(channel.wake_s, "time")
            yield f"a radio that sleeps wakes in {waking}, which the latency leaves out"
        if split.request_period_s is not None and not self._power.sleeps:
            yield "the device states no power of sleep: it idles from one run to the next"
        if split.boundary == "system" and not channel.network_j_per_byte:
            yield "the system's energy leaves out the network, of which nothing is stated"
