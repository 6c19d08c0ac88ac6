"""Public function `split`: best cut of a network between device and server at every rate.

The network is divided into stages with costs on each side (`stages`). If there are few cuts, all
are evaluated (`cuts`); else minimum s-t cuts (`mincut`) at the breakpoints of the lower envelope
over rates (`envelope`) give the optimal ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from perfmodel.axes import make_axis
from perfmodel.errors import Fault, input_error, not_among
from perfmodel.formats import Precision, format_named
from perfmodel.hardware.library import system as find_system
from perfmodel.hardware.system import System, SystemLink, link_classes
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve
from perfmodel.settings import FaultList, gathered
from perfmodel.system.split.cuts import (
    Floats,
    SplitLink,
    evaluate,
    every_cut,
    latency_lines,
    prefixes,
)
from perfmodel.system.split.energy import BOUNDARIES
from perfmodel.system.split.envelope import parametric
from perfmodel.system.split.mincut import least_cut
from perfmodel.system.split.result import OBJECTIVES, Split
from perfmodel.system.split.stages import SplitStageCosts, Stages, stages_of
from perfmodel.units import show

#: Methods: enumerate every cut, minimum cuts, or the first for at most `MOST_CUTS` cuts.
METHODS = ("auto", "list", "min_cut")
#: Maximum number of enumerated cuts; networks with more parallel branches use minimum cuts.
MOST_CUTS = 20_000
#: Maximum number of points of a plot: cuts x rates are in memory at once.
MOST_POINTS = 20_000_000
#: Factor by which minimum cuts search for breakpoints beyond both ends of the requested rates.
_WIDER = 1e3

#: Stages, their costs on the device and on the server, and the link.
_Sides: TypeAlias = tuple[Stages, SplitStageCosts, SplitStageCosts, SplitLink]

_RANGE = re.compile(r"\s*([\d.eE+]+)\s*([A-Za-z/]*)\s*\.\.\s*([\d.eE+]+)\s*([A-Za-z/]+)\s*")


def rates_of(rate: Any, file: str = "") -> list[float]:
    """Return rates of a link in bytes per second.

    Parameters
    ----------
    rate
        One or several: numbers (bytes per second), texts with a unit, or an axis as in sweeps.
        ``"1..50 Mbit/s"`` is every integer multiple of that unit.

    Raises
    ------
    InputError
        A value is not a positive bandwidth.
    """
    text: Any = rate
    if isinstance(rate, str):
        if not re.search(r"[A-Za-z]/s", rate) and re.search(r"\d\s*$", rate):
            # A bare number in a text means Mbit/s: 10 bytes per second is never intended.
            meant = re.sub(r"\s*(,|$)", r" Mbit/s\1", rate.strip())
            raise input_error(
                f"'{rate}' has no unit",
                "rate",
                file=file,
                suggestion=meant,
                expected="such as 20 Mbit/s or 1..50 Mbit/s",
            )
        bounds = _RANGE.fullmatch(rate)
        if bounds is not None and bounds[2] in ("", bounds[4]):
            unit = bounds[4]
            text = f"{bounds[1]} {unit}..{bounds[3]} {unit}:1 {unit}"
    axis = make_axis("rate", text, "bandwidth", file)
    if axis.interval is not None:
        raise input_error(
            f"'{rate}' has no values",
            "rate",
            file=file,
            expected="a list or a range such as 1..50 Mbit/s",
        )
    values = [float(v) for v in axis.values]
    low = [v for v in values if not v > 0]
    if low:
        raise input_error(
            f"{show(low[0], 'bandwidth')} sends nothing",
            "rate",
            file=file,
            expected="a rate above zero",
        )
    if len(values) > 1_000_000:
        raise input_error(f"{len(values)} rates", "rate", file=file, expected="at most 1,000,000")
    return values


def split(
    workload: WorkloadLike,
    device: DeviceLike | System | None = None,
    server: DeviceLike | None = None,
    *,
    system: System | str | Path | None = None,
    link: str | None = None,
    rate: Any = None,
    latency: float | str | None = None,
    efficiency: float | None = None,
    link_format: str | None = None,
    input_bytes: float | str | None = None,
    objective: str = "latency_s",
    server_precision: str | Precision | None = None,
    server_runtime: str | None = None,
    server_engine: str | None = None,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | None = None,
    engine: str | None = None,
    method: str = "auto",
    period: float | str | None = None,
    boundary: str = "device",
) -> Split:
    """Find where to cut a network between a device and a server.

    The device has the input and wants the output. It runs the first part, sends the tensors that
    cross the cut, and waits for the result. All cuts at all rates are one evaluation of arrays.

    Parameters
    ----------
    workload
        As for `predict`.
    device
        The device that has the input and needs the output: a device of the library, or a path.
    server
        The other device, in the same forms.
    system
        A spec file of a system with its link, in place of the two devices.
    link
        Class of the link between two devices, for the power of its radio, and its rate and headers
        where none are given: wifi, wifi_5, wifi_6, 3g, lte, 5g, ble, zigbee, lora, ethernet, usb3,
        pcie, ...
    rate
        Bit rate of the link from the device to the server, headers included: "20 Mbit/s", "1..50
        Mbit/s" (in steps of 1 Mbit/s), "logspace(1 Mbit/s, 1 Gbit/s, 31)", or numbers in bytes per
        second. By default that of the system.
    latency
        One-way latency of an empty message: "5 ms", or a number in seconds.
    efficiency
        Share of the transmitted bits that carry tensors, above 0 and at most 1.
    link_format
        Format in which activations are sent, such as int8. By default the format in which they are
        computed. Conversions on both sides are counted, scales are not.
    input_bytes
        Size of the network's inputs as they are sent: "50 kB" (a JPEG), or a number of bytes. By
        default the size with which they are computed.
    objective
        latency_s: latency of one run; energy_j: energy within the boundary; throughput: rate of
        successive runs.
    server_precision
        Precision on the server, if it differs.
    server_runtime
        Runtime of the server. By default its usual one.
    server_engine
        Engine of the server. By default the one that its runtime uses.
    set
        Parameters of the workload by name, and facts of the device by path.
    precision
        As for `predict`. It applies to both sides.
    runtime, engine
        As for `predict`. It applies to the device only.
    method
        list: evaluate every cut (at most 20,000); min_cut: minimum cuts of flow networks; auto:
        list if there are at most 20,000 cuts, else min_cut.
    period
        Time from one run to the next: "1 min", or a number in seconds. The energy is then that of
        a period, in which the device sleeps after its run, beside the power and the life of a
        charge; a run ends before the next one begins. By default the device's use.period, else one
        run that no other follows.
    boundary
        device: energy of the device; system: that of the server, with the effectiveness of its
        site, and of the network too.

    Returns
    -------
    Split

    Raises
    ------
    InputError
        Every fault of the input at once. Memories that are too small are a result.

    Examples
    --------
    >>> import perfmodel as pm
    >>> s = pm.split("alexnet", "galaxy_s7", "rtx_4090", rate="1..3 Mbit/s")
    >>> len(s.rates_bytes_per_s)
    3
    """
    return SplitArguments(**vars()).compute()


@dataclass(frozen=True, kw_only=True)
class SplitArguments:
    """Parameters of `split`."""

    workload: WorkloadLike
    device: DeviceLike | System | None
    server: DeviceLike | None
    system: System | str | Path | None
    link: str | None
    rate: Any
    latency: float | str | None
    efficiency: float | None
    link_format: str | None
    input_bytes: float | str | None
    objective: str
    server_precision: str | Precision | None
    server_runtime: str | None
    server_engine: str | None
    set: Mapping[str, Any] | None
    precision: str | Precision | None
    runtime: str | None
    engine: str | None
    method: str
    period: float | str | None
    boundary: str

    def compute(self) -> Split:
        """Return the result of `split`, with the same errors."""
        faults = gathered()
        faults += self._option_faults()
        system = self._system(faults)
        link = self._link(system, faults)
        channel = self._channel(link, faults)
        rates = None
        if self.rate is not None:
            rates = faults.trying(rates_of, self.rate)
        elif link is not None:
            rates = [link.bandwidth.value]
        elif self.system is None:
            expected = "such as 20 Mbit/s or 1..50 Mbit/s"
            faults.append(Fault("no rate is given", "rate", expected=expected))
        period_s = _amount(self.period, "period", "time", faults)
        subjects = self._sides(system, faults)
        faults.settle()
        assert subjects is not None
        assert rates is not None
        stages, (near, far) = stages_of(subjects)
        if period_s is None:
            period_s = near.prediction.machine.get("use.period")
        kind = "a link" if link is None else link.kind
        answer = self._with_cuts((stages, near, far, channel), kind, np.array(rates))
        answer = replace(answer, request_period_s=period_s, boundary=self.boundary)
        if self.objective == "energy_j" and np.isnan(answer.energy_j).any():
            raise input_error(
                f"there is no least energy: {_without_energy(answer)}",
                "objective",
                expected="devices that state energies or power, or latency_s",
            )
        return answer

    def _option_faults(self) -> list[Fault]:
        """Return the faults of the options."""
        faults = FaultList()
        known = {"objective": OBJECTIVES, "method": METHODS, "boundary": BOUNDARIES}
        for name, accepted in known.items():
            word = getattr(self, name)
            faults += not_among(f"'{word}' is not known", word, accepted, name)
        share = self.efficiency
        if share is not None and not 0.0 < share <= 1.0:
            expected = "above 0, at most 1"
            faults.append(Fault(f"{share:g} is not a valid share", "efficiency", expected=expected))
        if self.link_format is not None:
            faults.trying_at("link_format", format_named, self.link_format)
        return faults

    def _system(self, faults: FaultList) -> System | None:
        """Return the named system; ``None`` if two devices are named instead."""
        sides = {"device": self.device, "server": self.server}
        if self.system is None:
            faults += [
                Fault(f"there is no {name}", name, expected="two devices, or a system")
                for name, side in sides.items()
                if side is None
            ]
            return None
        if any(side is not None for side in sides.values()):
            expected = "a system, or two devices"
            faults.append(Fault("a system names its devices", "system", expected=expected))
        return faults.trying(find_system, self.system)

    def _link(self, system: System | None, faults: FaultList) -> SystemLink | None:
        """Return the link of the system, or the class of links that is named instead."""
        if self.link is None:
            return None if system is None else system.link
        if self.system is not None:
            expected = "a link, or a system"
            faults.append(Fault("a system states its link", "link", expected=expected))
            return None
        classes = link_classes()
        faults += not_among(f"'{self.link}' is not known", self.link, [*classes], "link")
        return classes.get(self.link)

    def _channel(self, link: SystemLink | None, faults: FaultList) -> SplitLink:
        """Return the link, from the system and the options."""
        bits = None
        if self.link_format is not None and all(f.path != "link_format" for f in faults):
            bits = float(format_named(self.link_format).bits)
        latency = _amount(self.latency, "latency", "time", faults)
        inputs = _amount(self.input_bytes, "input_bytes", "bytes", faults)
        share = self.efficiency
        if link is None:
            return SplitLink(share or 1.0, latency or 0.0, bits=bits, input_bytes=inputs)
        full = link.with_class_power()
        # A rate that a question states is that of both directions where a class gives the other.
        follows = link.down_bandwidth is None or (self.link is not None and self.rate is not None)
        of_class = self.link is not None or (full.states_power and not link.states_power)
        return SplitLink(
            efficiency=link.number("efficiency", 1.0) if share is None else share,
            latency_s=link.number("latency") if latency is None else latency,
            down_bytes_per_s=None if follows else link.number("down_bandwidth"),
            power_up_w=full.number("power_up"),
            power_down_w=full.number("power_down"),
            up_j_per_byte=full.number("energy_per_byte_up"),
            down_j_per_byte=full.number("energy_per_byte_down"),
            tail_w=full.number("tail_power"),
            tail_s=full.number("tail_time"),
            wake_w=full.number("wake_power"),
            wake_s=full.number("wake_time"),
            sleep_w=full.number("sleep_power"),
            network_j_per_byte=full.number("network_energy_per_byte"),
            has_radio=full.states_power,
            radio_class=link.kind if of_class else "",
            bits=bits,
            input_bytes=inputs,
        )

    def _sides(
        self, system: System | None, faults: FaultList
    ) -> tuple[PredictionInputs, PredictionInputs] | None:
        """Return the inputs of both sides; None if there is a fault."""
        near: dict[str, Any] = {
            "device": self.device,
            "precision": self.precision,
            "runtime": self.runtime,
            "engine": self.engine,
        }
        far: dict[str, Any] = {
            "device": self.server,
            "precision": self.server_precision or self.precision,
            "runtime": self.server_runtime,
            "engine": self.server_engine,
        }
        if system is not None:
            for side, spec in ((near, system.device), (far, system.server)):
                stated = {name: value for name, value in side.items() if value}
                side |= dict(spec) | stated | {"device": spec.device}
        if near["device"] is None or far["device"] is None:
            # The workload can be validated in any case.
            device = near["device"] or far["device"]
            if device is not None:
                faults.trying(resolve, self.workload, device, near["precision"], None, self.set)
            return None
        subject = faults.trying(resolve, self.workload, settings=self.set, **near)
        settings = {name: value for name, value in (self.set or {}).items() if "." not in name}
        workload = self.workload
        if subject is not None:
            workload, settings = subject.workload, {}
        own = FaultList()
        other = own.trying(resolve, workload, settings=settings, **far)
        for fault in own:
            option = fault.path.partition(".")[0]
            server = option in ("engine", "runtime") or (
                option == "precision" and self.server_precision is not None
            )
            faults.append(replace(fault, path=f"server_{fault.path}") if server else fault)
        # A fault of the workload or of a shared option is reported once.
        faults[:] = dict.fromkeys(faults)
        return None if subject is None or other is None else (subject, other)

    def _with_cuts(self, sides: _Sides, link: str, rates: Floats) -> Split:
        """Return a split with every cut, or with those that are best at some rate."""

        def evaluated(bits: Iterable[int], *, complete: bool) -> Split:
            cuts = evaluate(*sides, list(dict.fromkeys(bits)))
            return Split(self.objective, *sides, link, rates, cuts, complete)

        stages = sides[0]
        listed = None if self.method == "min_cut" else every_cut(stages, MOST_CUTS)
        if listed is not None:
            points = len(listed) * len(rates)
            if points > MOST_POINTS:
                message = f"{len(listed)} cuts at {len(rates)} rates are {points} points"
                raise input_error(message, "rate", expected=f"at most {MOST_POINTS}")
            return evaluated(listed, complete=True)
        many = f"there are more than {MOST_CUTS} cuts"
        if self.method == "list":
            raise input_error(many, "method", expected="min_cut")
        if self.objective != "latency_s":
            # Energy and period are not sums over stages, as minimum cuts require.
            if self.method == "min_cut":
                message = f"minimum cuts are of latency, not of {self.objective}"
                raise input_error(message, "method", expected="list")
            expected = "latency_s, whose best one minimum cuts find"
            raise input_error(many, "objective", expected=expected)
        return evaluated([*prefixes(stages), *_least(sides, rates)], complete=False)


def _amount(
    value: float | str | None, name: str, dimension: str, faults: FaultList
) -> float | None:
    """Return a nonnegative number in SI units, from a number or a text with its unit."""
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = faults.quantity(value, dimension, name)
    if number is None:
        return None
    if not (np.isfinite(number) and number >= 0):
        faults.append(Fault(f"{value} is out of range", name, expected="a number from 0"))
        return None
    return number


def _without_energy(answer: Split) -> str:
    """Return which sides state neither energies nor power."""
    sides = [answer.device, answer.server] if answer.boundary == "system" else [answer.device]
    names = [each.prediction.device for each in sides if np.isnan(each.prediction.energy_j)]
    return f"{' and '.join(names) or 'a part of the network'} states neither energies nor power"


def _least(sides: _Sides, rates: Floats) -> list[int]:
    """Return every cut that is optimal at some rate around the requested ones."""
    stages, *_, channel = sides
    everything = (1 << stages.count) - 1
    lines: dict[int, tuple[float, float]] = {}

    def line(bits: int) -> tuple[float, float]:
        if bits not in lines:
            level, slope = latency_lines(evaluate(*sides, [bits]), channel)
            lines[bits] = float(level[0]), float(slope[0])
        return lines[bits]

    def solve(x: float) -> tuple[float, float]:
        cut = least_cut(*sides, x / channel.efficiency)
        return min(map(line, (everything, 0, cut)), key=lambda ab: ab[0] + ab[1] * x)

    low, high = 1.0 / (float(rates.max()) * _WIDER), _WIDER / float(rates.min())
    for _ in parametric(solve, low, high):
        pass
    return list(lines)
