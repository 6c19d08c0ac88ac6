"""What a split says: the best cut at each rate, where it changes, and every cut beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from perfmodel.cost.capacity import Violation
from perfmodel.system.split.cuts import CutTable, SplitLink, broken, input_bytes
from perfmodel.system.split.envelope import Segment, envelope
from perfmodel.system.split.stages import SplitStageCosts, Stages
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import aligned
from perfmodel.units import show

if TYPE_CHECKING:
    from perfmodel.plan import Plan

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

#: What may be minimised; `throughput` is maximised.
OBJECTIVES = ("latency_s", "energy_j", "throughput")

#: Figures of a cut that depend on the rate, and those that do not.
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
    """Rates over which one cut is the best; infinite where there is no end."""

    cut: int
    name: str
    from_bytes_per_s: float
    to_bytes_per_s: float


@dataclass(frozen=True, repr=False)
class Split(Result):
    """Every cut of a network over two devices, at every rate of the link between them.

    Attributes
    ----------
    rates_bytes_per_s
        Of the way up, headers included; shape ``(rates,)``.
    complete
        Whether `cuts` are all there are; otherwise the cuts along the order of execution, and those
        that minimum cuts found at the rates where the best one changes.

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
    proved: bool

    # lines in x = 1 / rate

    def _lines(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Return seconds at an infinite rate, bytes that divide it, and the same of joule."""
        cuts, channel = self.cuts, self.channel
        up, down = cuts.up_bytes / channel.efficiency, cuts.down_bytes / channel.efficiency
        fixed = np.zeros(cuts.count)
        follows = down
        if channel.down_bytes_per_s is not None:
            fixed, follows = down / channel.down_bytes_per_s, np.zeros(cuts.count)
        messages = channel.latency_s * ((up > 0).astype(float) + (down > 0))
        level = cuts.device_s + cuts.server_s + messages + fixed
        slope = up + follows
        idle = float(np.asarray(self.device.setting.facts.get("power.idle", 0.0)))
        joule = cuts.device_j + idle * (cuts.server_s + messages)
        if np.isnan(cuts.device_j).any():
            joule = np.full(cuts.count, np.nan)
        joule = joule + (idle + channel.power_down_w) * fixed
        joule = joule + channel.up_j_per_byte * cuts.up_bytes
        joule = joule + channel.down_j_per_byte * cuts.down_bytes
        power = (idle + channel.power_up_w) * up + (idle + channel.power_down_w) * follows
        return level, slope, joule, power

    @cached_property
    def latency_s(self) -> Floats:
        """Seconds of one run, shape ``(cuts, rates)``."""
        level, slope, _, _ = self._lines()
        return level[:, None] + slope[:, None] / self.rates_bytes_per_s

    @cached_property
    def link_s(self) -> Floats:
        """Seconds of it on the link, empty messages included; shape ``(cuts, rates)``."""
        return self.latency_s - (self.cuts.device_s + self.cuts.server_s)[:, None]

    @cached_property
    def energy_j(self) -> Floats:
        """Joule of the device: its part, its radio, and waiting at idle power; ``(cuts, rates)``.

        NaN where the device's spec says nothing of its energy.
        """
        _, _, joule, power = self._lines()
        return joule[:, None] + power[:, None] / self.rates_bytes_per_s

    @cached_property
    def period_s(self) -> Floats:
        """Seconds from one run to the next where runs overlap: the slowest of device, link, server.

        Shape ``(cuts, rates)``; the link carries both ways at once.
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
    def _values(self) -> Floats:
        values = getattr(self, "period_s" if self.objective == "throughput" else self.objective)
        return np.where(self.cuts.fits[:, None], values, np.inf)

    @cached_property
    def best(self) -> Index:
        """The best cut at each rate that fits both memories, shape ``(rates,)``; -1 where none."""
        best = np.argmin(self._values, axis=0).astype(np.intp)
        return np.where(self.feasible, best, -1)

    @property
    def feasible(self) -> bool:
        """Whether any cut fits the memories of both sides."""
        return bool(self.cuts.fits.any())

    @property
    def local(self) -> int:
        """The cut that leaves everything to the device."""
        return int(np.flatnonzero(~self.cuts.split)[0])

    @property
    def remote(self) -> int:
        """The cut that leaves everything to the server."""
        return int(np.flatnonzero(~self.cuts.local.any(axis=1))[0])

    def name(self, cut: int) -> str:
        """Return a cut in words: the operators whose results go up."""
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
        """The best cut from the lowest rate to the highest, and exactly where it changes.

        For latency and energy the lower envelope of lines in ``1 / rate``. For throughput the
        times are the larger of a number and bytes over the rate; they can only change order where
        one's bytes over the rate equal the seconds of another.
        """
        if not self.feasible or np.isnan(self._values[self.cuts.fits]).any():
            return []
        segments = self._pipelined() if self.objective == "throughput" else self._envelope()
        return [
            Range(
                cut,
                self.name(cut),
                1.0 / end if end > 0 else math.inf,
                1.0 / begin if begin > 0 else math.inf,
            )
            for cut, begin, end in reversed(segments)
        ]

    def _envelope(self) -> list[Segment]:
        level, slope, joule, power = self._lines()
        a, b = (level, slope) if self.objective == "latency_s" else (joule, power)
        return envelope(np.where(self.cuts.fits, a, np.inf), b)

    def _pipelined(self) -> list[Segment]:
        cuts, channel = self.cuts, self.channel
        rate = channel.efficiency
        floor = np.maximum(cuts.device_s, cuts.server_s)
        slope = cuts.up_bytes / rate
        if channel.down_bytes_per_s is None:
            slope = np.maximum(slope, cuts.down_bytes / rate)
        else:
            floor = np.maximum(floor, cuts.down_bytes / (channel.down_bytes_per_s * rate))
        floor = np.where(cuts.fits, floor, np.inf)
        finite, sent = np.unique(floor[cuts.fits]), np.unique(slope[cuts.fits & (slope > 0)])
        points = np.unique((finite[:, None] / sent).reshape(-1)) if sent.size else np.zeros(0)
        edges = np.concatenate([[0.0], points, [2.0 * points[-1] if points.size else 1.0]])
        middles = 0.5 * (edges[1:] + edges[:-1])
        out: list[Segment] = []
        for begin, end, x in zip(edges[:-1], edges[1:], middles, strict=True):
            cut = int(np.argmin(np.maximum(floor, slope * x)))
            if out and out[-1][0] == cut:
                out[-1] = (cut, out[-1][1], float(end))
            else:
                out.append((cut, float(begin), float(end)))
        last, begin, _ = out[-1]
        return [*out[:-1], (last, begin, math.inf)]

    @property
    def violations(self) -> list[Violation]:
        """Limits that the cut nearest to fitting exceeds; empty where any cut fits."""
        if self.feasible:
            return []
        exceeded = [
            broken(self.cuts, self.stages, self.device, self.server, k)
            for k in (self.local, self.remote)
        ]
        return [v for each in exceeded for v in each]

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the numbers."""
        notes: list[str] = []
        if np.isfinite(self.cuts.device_j).all():
            unsaid = ["its power at idle"] * ("power.idle" not in self.device.setting.facts)
            channel = self.channel
            powers = channel.power_up_w, channel.power_down_w
            radio = any((*powers, channel.up_j_per_byte, channel.down_j_per_byte))
            unsaid += ["the link's radio"] * (not radio)
            if unsaid:
                notes.append(
                    "the device's energy leaves out "
                    + " and ".join(unsaid)
                    + ", of which nothing is stated"
                )
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

    @cached_property
    def table(self) -> Table:
        """One row a rate and a cut that is the best somewhere, or all on one side."""
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
        for name in _PER_RATE:
            columns[name] = getattr(self, name)[rows, rates]
        for name in (*_PER_CUT, "fits"):
            columns[name] = getattr(cuts, name)[rows]
        return Table(columns)

    @property
    def shown(self) -> list[int]:
        """Cuts that are the best at some rate that was asked for, and all on either side."""
        best = [int(k) for k in self.best if k >= 0]
        return list(dict.fromkeys([self.local, *sorted(best), self.remote]))

    def to_plan(self, rate: int = -1) -> Plan:
        """Return the best cut at one rate, by its index, as a plan of the graph.

        Raises
        ------
        ValueError
            No cut fits.
        """
        from perfmodel.system.split.plans import plan_of

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
        """Return the arithmetic behind the best cut at one rate, by its index.

        Raises
        ------
        IndexError
            There is no such rate.
        """
        speed = float(self.rates_bytes_per_s[rate])
        k = int(self.best[rate])
        if k < 0:
            return "\n".join(["no cut fits both sides", *map(str, self.violations)])
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
            lines.append(f"  device's energy {show(self.energy_j[k, rate], 'energy')}")
        sent = ", ".join(cuts.crossing[k])
        if sent:
            lines.append(f"  sent up: {sent}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON; what is unknown or infinite is null."""
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
        for name in _PER_RATE:
            out[name] = getattr(self, name)[best, at]
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
        """Which network over which devices, and how many cuts there are."""
        d, s = self.device.prediction, self.server.prediction
        cuts = f"{self.cuts.count} cuts" if self.complete else f"{self.cuts.count} cuts listed"
        cuts += "" if self.feasible else ": no cut fits"
        return (
            f"{d.workload.name} on {d.device} ({d.precision}) and {s.device} ({s.precision}) "
            f"over {self.link}: {self.stages.count} stages, {cuts}"
        )

    def _rows(self) -> list[tuple[str, ...]]:
        """Return a row for each stretch of the asked rates with one best cut."""
        rows: list[tuple[str, ...]] = []
        rates, best = self.rates_bytes_per_s, self.best
        start = 0
        for i in range(1, len(best) + 1):
            if i < len(best) and best[i] == best[start]:
                continue
            k = int(best[start])
            ends = sorted({start, i - 1})
            rows.append(
                (
                    "..".join(f"{rates[e] * 8e-6:.4g}" for e in ends),
                    self.name(k),
                    show(self.cuts.up_bytes[k], "bytes"),
                    "..".join(show(self.latency_s[k, e], "time") for e in ends),
                    show(self.cuts.device_s[k], "time"),
                    show(self.cuts.server_s[k], "time"),
                    "..".join(_joule(self.energy_j[k, e]) for e in ends)
                    if math.isfinite(self.energy_j[k, start])
                    else "unknown",
                    "..".join(f"{1.0 / self.period_s[k, e]:.4g}" for e in ends),
                )
            )
            start = i
        return rows

    _COLUMNS = ("Mbit/s", "cut", "up", "latency", "device", "server", "device's energy", "runs/s")

    def sections(self) -> list[str]:
        """Return a line for each stretch of rates with one best cut, and where that changes."""
        if not self.feasible:
            return []
        lines = aligned([self._COLUMNS, *self._rows()])
        changes = [
            f"{_mbit(r.to_bytes_per_s)} ({r.name} | {after.name})"
            for r, after in zip(self.ranges, self.ranges[1:], strict=False)
        ]
        if changes:
            lines.append("the best cut changes at " + ", ".join(changes))
        return ["\n".join(f"  {line}" for line in lines)]

    def cautions(self) -> list[str]:
        """Return why no cut fits, or the notes."""
        if not self.feasible:
            return [str(violation) for violation in self.violations]
        return [f"note: {note}" for note in self.notes]


def _joule(value: float) -> str:
    return show(float(value), "energy")


def _mbit(rate: float) -> str:
    return show(rate, "bandwidth", unit="Mbit/s", digits=4)
