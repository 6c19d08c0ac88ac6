"""Result of `split`: the best cut at each rate, its breakpoints, and all other cuts.

Latency and energy of every cut are linear in ``1 / rate`` (`perfmodel.system.split.cuts`), so that
the best cut for every rate is the lower envelope of lines (`perfmodel.system.split.envelope`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.cost.capacity import Violation
from perfmodel.optimise.certified import Certified, nothing
from perfmodel.system.split.cuts import (
    CutTable,
    SplitLink,
    broken,
    input_bytes,
    latency_lines,
)
from perfmodel.system.split.energy import within
from perfmodel.system.split.energy_metrics import PER_PERIOD, SplitEnergyMetrics
from perfmodel.system.split.envelope import Segment, envelope, least_of_maxima
from perfmodel.system.split.rate_ranges import energy_ranges, rate_ranges
from perfmodel.system.split.stages import SplitStageCosts, Stages
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import align_columns
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.plan import Plan

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

#: Objectives of a split; `throughput` is maximised, the others minimised.
OBJECTIVES = ("latency_s", "energy_j", "throughput")

#: Metrics of a cut that depend on the rate, and those that do not.
_PER_RATE = ("latency_s", "energy_j", "period_s", "link_s")
_PER_CUT = (
    "device_s",
    "server_s",
    "server_j",
    "up_bytes",
    "down_bytes",
    "device_bytes",
    "server_bytes",
)


@dataclass(frozen=True, slots=True)
class Range:
    """Range of rates over which one cut is the best; infinite if unbounded."""

    cut: int
    name: str
    from_bytes_per_s: float
    to_bytes_per_s: float


@dataclass(frozen=True, repr=False)
class Split(SplitEnergyMetrics, Result):
    """Every cut of a network over two devices, at every rate of the link between them.

    Attributes
    ----------
    rates_bytes_per_s
        Rates upwards, including headers; shape ``(rates,)``.
    complete
        Whether `cuts` contains all cuts; otherwise those along the execution order, and the minimum
        cuts at the rates where the best one changes.
    request_period_s
        Seconds from one run to the next; None for one run alone.
    boundary
        Boundary of the energy: ``device``, or ``system`` with the server and the network.

    Its plot: ``latency()``.
    """

    noun = "split"

    objective: str
    stages: Stages
    device: SplitStageCosts
    server: SplitStageCosts
    channel: SplitLink
    link: str
    rates_bytes_per_s: Floats
    cuts: CutTable
    complete: bool
    request_period_s: float | None = None
    boundary: str = "device"

    @cached_property
    def latency_s(self) -> Floats:
        """Seconds of one run, shape ``(cuts, rates)``."""
        return self.latency_at(self.rates_bytes_per_s)

    def latency_at(self, rates_bytes_per_s: Floats) -> Floats:
        """Return the seconds of one run at other rates, shape ``(cuts, rates)``."""
        level, slope = latency_lines(self.cuts, self.channel)
        return level[:, None] + slope[:, None] / rates_bytes_per_s

    @cached_property
    def link_s(self) -> Floats:
        """Seconds of one run on the link, including empty messages; shape ``(cuts, rates)``."""
        return self.latency_s - (self.cuts.device_s + self.cuts.server_s)[:, None]

    @cached_property
    def period_s(self) -> Floats:
        """Seconds between overlapping runs: the slowest of device, link and server.

        ``max(device_s, server_s, up_bytes / (efficiency rate), down_bytes / (efficiency rate))``,
        with the rate of each direction.

        Shape ``(cuts, rates)``; the link carries both directions at once.
        """
        cuts, channel = self.cuts, self.channel
        rates = self.rates_bytes_per_s * channel.efficiency
        back = rates
        if channel.down_bytes_per_s is not None:
            back = np.full_like(rates, channel.down_bytes_per_s * channel.efficiency)
        parts = (
            cuts.device_s[:, None],
            cuts.server_s[:, None],
            cuts.up_bytes[:, None] / rates,
            cuts.down_bytes[:, None] / back,
        )
        return np.maximum.reduce(np.broadcast_arrays(*parts))

    @cached_property
    def _objective_values(self) -> Floats:
        """The objective of each cut and rate; infinite for cuts that do not fit.

        With a period, the energy is that of a period, and a run ends before the next one begins.
        """
        names = {"throughput": "period_s"}
        possible = self.cuts.fits[:, None]
        if self.request_period_s is not None:
            names["energy_j"] = "energy_per_period_j"
            possible = possible & (self.latency_s <= self.request_period_s)
        values = getattr(self, names.get(self.objective, self.objective))
        return np.where(possible, values, np.inf)

    @cached_property
    def _bounds(self) -> Floats:
        """Lower bound over all cuts at each rate; minimum cuts count even if they do not fit."""
        return (self._objective_values if self.complete else self.latency_s).min(axis=0)

    @property
    def proved(self) -> bool:
        """Whether no cut is better than the best of those listed, at any rate."""
        least = np.min(self._objective_values, axis=0)
        return self.complete or bool(np.all(least * (1.0 - 1e-12) <= self._bounds))

    def answer(self, rate: int = -1) -> Certified[int]:
        """Return the index of the best cut at one rate (given by index), with its lower bound."""
        cut, bound = int(self.best[rate]), float(self._bounds[rate])
        method = "list" if self.complete else "min_cut"
        if cut < 0:
            return nothing(method, math.inf if self.complete else bound)
        return Certified(cut, float(self._objective_values[cut, rate]), bound, method)

    @cached_property
    def best(self) -> Index:
        """Best cut at each rate that fits memories and period, ``(rates,)``; -1 if none does."""
        best = np.argmin(self._objective_values, axis=0).astype(np.intp)
        least: Floats = np.min(self._objective_values, axis=0)
        return np.where(np.isposinf(least), -1, best)

    @property
    def feasible(self) -> bool:
        """Whether any cut fits the memories of both sides and, at a rate, the period."""
        return bool((self.best >= 0).any())

    @property
    def local(self) -> int:
        """Index of the cut with everything on the device."""
        return int(np.flatnonzero(~self.cuts.split)[0])

    @property
    def remote(self) -> int:
        """Index of the cut with everything on the server."""
        return int(np.flatnonzero(~self.cuts.local.any(axis=1))[0])

    def name(self, cut: int) -> str:
        """Return the label of a cut: the operators whose results are sent upwards."""
        if cut < 0:
            return "none fits"
        if cut == self.local:
            return "all on the device"
        if cut == self.remote:
            return "all on the server"
        makers = {flow.tensor: flow.maker for flow in self.stages.flows}
        names = [
            "the input" if makers[tensor] < 0 else self.stages.members[makers[tensor]][-1]
            for tensor in self.cuts.crossing[cut]
        ]
        names = list(dict.fromkeys(names))
        if len(names) > 3:
            names[2:] = [f"{len(names) - 2} more"]
        return "after " + " + ".join(names) if names else "without a tensor"

    @cached_property
    def ranges(self) -> list[Range]:
        """Best cut in each range of rates, with exact breakpoints, in ascending order.

        For latency and energy from the lower envelope of lines in ``1 / rate``. For throughput each
        period is the maximum of a constant and bytes over the rate; periods can only change order
        where the bytes over the rate of one equal the seconds of another. With a period, tails are
        cut short and runs too long are ruled out, so that there are no such breakpoints: empty.
        """
        unknown = np.isnan(self._objective_values[self.cuts.fits]).any()
        if not self.feasible or unknown or self.request_period_s is not None:
            return []
        segments = (
            self._throughput_segments() if self.objective == "throughput" else self._envelope()
        )
        return [
            Range(
                cut,
                self.name(cut),
                1.0 / end if end > 0 else math.inf,
                1.0 / begin if begin > 0 else math.inf,
            )
            for cut, begin, end in reversed(segments)
        ]

    @property
    def _misfits(self) -> list[str]:
        """Why no cut fits: limits of memories, or a period that is over before a run ends."""
        if not self.cuts.fits.any():
            return [str(violation) for violation in self.violations]
        if self.request_period_s is None:
            return []
        least, period = (
            show(seconds, "time")
            for seconds in (float(self.latency_s[self.cuts.fits].min()), self.request_period_s)
        )
        return [f"! infeasible: no run ends in its period of {period}; the shortest takes {least}"]

    def _envelope(self) -> list[Segment]:
        """Best cut in each interval of ``1 / rate``, for latency or energy."""
        latency = self.objective == "latency_s"
        lines = latency_lines(self.cuts, self.channel) if latency else self._energy_lines
        return envelope(np.where(self.cuts.fits, lines[0], np.inf), lines[1])

    def _throughput_segments(self) -> list[Segment]:
        """Best cut in each interval of ``1 / rate``, for throughput."""
        cuts, channel = self.cuts, self.channel
        rate = channel.efficiency
        floor = np.maximum(cuts.device_s, cuts.server_s)
        slope = cuts.up_bytes / rate
        if channel.down_bytes_per_s is None:
            slope = np.maximum(slope, cuts.down_bytes / rate)
        else:
            floor = np.maximum(floor, cuts.down_bytes / (channel.down_bytes_per_s * rate))
        return least_of_maxima(np.where(cuts.fits, floor, np.inf), slope)

    @property
    def violations(self) -> list[Violation]:
        """Limits of memories exceeded by the cut closest to fitting; empty if any cut fits them."""
        if self.cuts.fits.any():
            return []
        exceeded = [
            broken(self.cuts, self.stages, self.device, self.server, k)
            for k in (self.local, self.remote)
        ]
        return [v for each in exceeded for v in each]

    @property
    def notes(self) -> list[str]:
        """Assumptions and limitations of the numbers."""
        notes: list[str] = []
        if np.isfinite(self.cuts.device_j).all():
            notes += self._energy_notes()
        for side in (self.device, self.server):
            p = side.prediction
            if "unknown" in p.energy_model:
                notes.append(f"{p.device} states neither energies nor power")
            notes += [f"{p.device}: {text}" for text in p.unsupported]
        if not self.complete:
            notes.append(
                "more cuts than are listed: those of the order of execution, and least cuts"
            )
        if self.feasible and not self.proved:
            notes.append("the least cut does not fit the memories; the best of those listed")
        return notes

    @property
    def _per_rate(self) -> tuple[str, ...]:
        """Metrics that depend on the rate."""
        return _PER_RATE if self.request_period_s is None else (*_PER_RATE, *PER_PERIOD)

    @cached_property
    def table(self) -> Table:
        """One row per rate and cut, for cuts that are best at some rate or all on one side."""
        shown = self.shown
        count = len(self.rates_bytes_per_s)
        rows = np.repeat(shown, count)
        rates = np.tile(np.arange(count), len(shown))
        cuts = self.cuts
        columns: dict[str, Any] = {
            "rate_bytes_per_s": self.rates_bytes_per_s[rates],
            "cut": np.array([self.name(int(k)) for k in rows], dtype=object),
            "best": self.best[rates] == rows,
        }
        for name in self._per_rate:
            columns[name] = getattr(self, name)[rows, rates]
        for name in (*_PER_CUT, "fits"):
            columns[name] = getattr(cuts, name)[rows]
        for name, joule in self.energy_terms_j.items():
            columns[f"energy_{name}_j"] = joule[rows, rates]
        return Table(columns)

    @property
    def shown(self) -> list[int]:
        """Return the cuts that are best at some requested rate, and all on either side."""
        best = [int(k) for k in self.best if k >= 0]
        return list(dict.fromkeys([self.local, *sorted(best), self.remote]))

    def to_plan(self, rate: int = -1) -> Plan:
        """Return the best cut at one rate (given by index) as a plan of the graph.

        Raises
        ------
        ValueError
            No cut fits.
        """
        from perfmodel.system.split.cut_plan import plan_of

        k = int(self.best[rate])
        if k < 0:
            raise ValueError("no cut fits both sides")
        inputs = input_bytes(self.stages, self.device)
        sizes = {
            flow.tensor: self.channel.size(flow, self.stages, self.device, inputs)
            for flow in self.stages.flows
        }
        names = self.device.prediction.device, self.server.prediction.device
        if names[0] == names[1]:
            names = names[0], f"{names[1]}#2"
        return plan_of(
            self.stages,
            self.cuts.local[k].tolist(),
            names,
            self.link,
            sizes,
            str(self.device.precision),
        )

    def explain(self, rate: int = -1) -> str:
        """Return the derivation of the best cut at one rate (given by index).

        Raises
        ------
        IndexError
            The index of the rate is out of range.
        """
        speed = float(self.rates_bytes_per_s[rate])
        k = int(self.best[rate])
        if k < 0:
            return "\n".join(["no cut fits both sides", *self._misfits])
        cuts, channel = self.cuts, self.channel
        lines = [f"{self.name(k)}, at {show(speed, 'bandwidth', unit='Mbit/s')}:"]
        rows = int(cuts.local[k].sum())
        for name, side, seconds, stages in (
            ("device", self.device, cuts.device_s[k], rows),
            ("server", self.server, cuts.server_s[k], self.stages.count - rows),
        ):
            p = side.prediction
            lines.append(
                f"  {name:<7} {show(seconds, 'time'):>10}  {stages} of "
                f"{self.stages.count} stages on {p.device}, {p.precision}, "
                f"runtime {p.runtime}"
            )
        for name, size, limit in (
            ("up", cuts.up_bytes[k], speed),
            ("down", cuts.down_bytes[k], channel.down_bytes_per_s or speed),
        ):
            if size > 0:
                seconds = channel.latency_s + size / channel.efficiency / limit
                lines.append(
                    f"  {name:<7} {show(seconds, 'time'):>10}  = {show(channel.latency_s, 'time')}"
                    f" + {show(size, 'bytes', unit='B')} / ({channel.efficiency:g} * "
                    f"{show(limit, 'bandwidth', unit='Mbit/s')})"
                )
        lines.append(f"  {'all':<7} {show(self.latency_s[k, rate], 'time'):>10}")
        if math.isfinite(self.energy_j[k, rate]):
            lines.append(f"  {self.boundary}'s energy {show(self.energy_j[k, rate], 'energy')}")
            for name, joule in within(self.energy_terms_j, self.boundary).items():
                lines += [f"    {name:<9} {show(joule[k, rate], 'energy')}"] * bool(joule[k, rate])
        sent = ", ".join(cuts.crossing[k])
        if sent:
            lines.append(f"  sent up: {sent}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return all results as a dictionary for JSON; unknown or infinite values are null."""
        d, s = self.device.prediction, self.server.prediction
        best = self.best
        at = np.arange(len(best))
        out: dict[str, Any] = {
            "workload": d.workload.name,
            "device": d.device,
            "server": s.device,
            "device_runtime": d.runtime,
            "server_runtime": s.runtime,
            "device_precision": d.precision,
            "server_precision": s.precision,
            "link": self.link,
            "objective": self.objective,
            "feasible": self.feasible,
            "proved": self.proved,
            "stages": self.stages.count,
            "cuts": self.cuts.count,
            "every_cut_listed": self.complete,
            "rates_bytes_per_s": self.rates_bytes_per_s,
            "best": [self.name(int(k)) for k in best],
            "sent_up": [list(self.cuts.crossing[int(k)]) if k >= 0 else [] for k in best],
        }
        for name in self._per_rate:
            out[name] = getattr(self, name)[best, at]
        out["energy_boundary"] = self.boundary
        out["request_period_s"] = self.request_period_s
        out["energy_terms_j"] = {n: joule[best, at] for n, joule in self.energy_terms_j.items()}
        for name in _PER_CUT:
            out[name] = getattr(self.cuts, name)[best]
        for name, cut in (("local", self.local), ("remote", self.remote)):
            out[name] = {
                "feasible": self.cuts.fits[cut],
                "latency_s": self.latency_s[cut],
                "energy_j": self.energy_j[cut],
            }
        out["ranges"] = [
            {
                "cut": r.name,
                "from_bytes_per_s": r.from_bytes_per_s,
                "to_bytes_per_s": r.to_bytes_per_s,
                "up_bytes": self.cuts.up_bytes[r.cut],
            }
            for r in self.ranges
        ]
        out["violations"] = self.violations
        out["notes"] = self.notes
        return plain(out)

    @property
    def headline(self) -> str:
        """Network, devices, and number of cuts."""
        d, s = self.device.prediction, self.server.prediction
        cuts = f"{self.cuts.count} cuts" if self.complete else f"{self.cuts.count} cuts listed"
        cuts += "" if self.feasible else ": no cut fits"
        return (
            f"{d.workload.name} on {d.device} ({d.precision}) and {s.device} ({s.precision}) "
            f"over {self.link}: {self.stages.count} stages, {cuts}"
        )

    def sections(self) -> list[str]:
        """Return one line per range of rates with the same best cut, and the breakpoints."""
        if not self.feasible:
            return []
        lines = align_columns(rate_ranges(self))
        changes = [
            f"{show(r.to_bytes_per_s, 'bandwidth', unit='Mbit/s', digits=4)} "
            f"({r.name} | {after.name})"
            for r, after in zip(self.ranges, self.ranges[1:], strict=False)
        ]
        if changes:
            lines.append("the best cut changes at " + ", ".join(changes))
        blocks = [lines, align_columns(energy_ranges(self))]
        return ["\n".join(f"  {line}" for line in block) for block in blocks if block]

    def cautions(self) -> list[str]:
        """Return why no cut fits, or the notes."""
        if not self.feasible:
            return self._misfits
        return [f"note: {note}" for note in self.notes]
