"""Where to cut a network between a device and a server, for every rate of the link between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.axes import make_axis
from perfmodel.errors import Fault, input_error, nearest, one_of
from perfmodel.formats import Precision, format_named
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import system as find_system
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.system import System, SystemLink
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve
from perfmodel.settings import FaultList, gathered
from perfmodel.system.split.cuts import CutTable, SplitLink, evaluate, every_cut, prefixes
from perfmodel.system.split.envelope import parametric
from perfmodel.system.split.mincut import least_cut
from perfmodel.system.split.result import OBJECTIVES, Split
from perfmodel.system.split.stages import SplitStageCosts, Stages, stages_of
from perfmodel.units import UnitError, parse, show

#: How the best cut is found: list every cut, minimum cuts, or the first while it is no more than
#: `MOST_CUTS`.
METHODS = ("auto", "list", "min_cut")
#: Cuts that are listed at most; a network with more parallel branches has minimum cuts.
MOST_CUTS = 20_000
#: Points of a plot, at most: cuts x rates are held at once.
MOST_POINTS = 20_000_000
#: Ends of the rates between which minimum cuts look for changes, times the asked ones.
_WIDER = 1e3

_RANGE = re.compile(r"\s*([\d.eE+]+)\s*([A-Za-z/]*)\s*\.\.\s*([\d.eE+]+)\s*([A-Za-z/]+)\s*")


def rates_of(rate: Any, file: str = "") -> list[float]:
    """Return rates of a link in bytes a second.

    Parameters
    ----------
    rate
        One or several: numbers (bytes a second), texts with a unit, or an axis as sweeps read it.
        ``"1..50 Mbit/s"`` is every whole number of that unit.

    Raises
    ------
    InputError
        What is no bandwidth above zero.
    """
    text: Any = rate
    if isinstance(rate, str):
        if not re.search(r"[A-Za-z]/s", rate) and re.search(r"\d\s*$", rate):
            # A link's 10 is 10 Mbit/s to who writes it, and never 10 byte/s.
            meant = re.sub(r"\s*(,|$)", r" Mbit/s\1", rate.strip())
            raise input_error(
                f"'{rate}' has no unit",
                "rate",
                file=file,
                suggestion=meant,
                expected="such as 20 Mbit/s or 1..50 Mbit/s",
            )
        found = _RANGE.fullmatch(rate)
        if found is not None and found[2] in ("", found[4]):
            unit = found[4]
            text = f"{found[1]} {unit}..{found[3]} {unit}:1 {unit}"
    axis = make_axis("rate", text, "bandwidth", file)
    if axis.spread is not None:
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


def option_faults(
    objective: str, method: str, link_format: str | None, efficiency: float | None = None
) -> list[Fault]:
    """Return what is wrong with options by themselves."""
    faults: list[Fault] = []
    for name, value, known in (("objective", objective, OBJECTIVES), ("method", method, METHODS)):
        if value not in known:
            faults.append(Fault(f"'{value}' is not known", name, suggestion=nearest(value, known),
                                expected=one_of(known)))  # fmt: skip
    if efficiency is not None and not 0.0 < efficiency <= 1.0:
        faults.append(Fault(f"{efficiency:g} is no share", "efficiency",
                            expected="above 0, at most 1"))  # fmt: skip
    if link_format is not None:
        gathered = FaultList()
        gathered.trying_for("link_format", format_named, link_format)
        faults += [Fault(f.message, "link_format", expected=f.expected, suggestion=f.suggestion)
                   for f in gathered]  # fmt: skip
    return faults


def split(
    workload: WorkloadLike,
    device: DeviceLike | System | None = None,
    server: DeviceLike | None = None,
    *,
    system: System | str | Path | None = None,
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
) -> Split:
    """Find where to cut a network between a device and a server.

    The device has the input and wants the output. It runs the first part, sends the tensors that
    cross the cut, and waits for the result. All cuts at all rates are one evaluation of arrays.

    Parameters
    ----------
    workload
        As for `predict`.
    device
        The side that has the input and wants the output: a device of the library, or a path.
    server
        The other side.
    system
        Instead of the two devices: a spec file of a system, with its link.
    rate
        Of the link from the device to the server, headers included: "20 Mbit/s", "1..50 Mbit/s"
        (each whole number of it), "logspace(1 Mbit/s, 1 Gbit/s, 31)", or numbers in bytes per
        second. By default the system's.
    latency
        One way, of an empty message: "5 ms", or a number in seconds.
    efficiency
        Share of the bits that carry tensors, above 0 and at most 1.
    link_format
        Format in which activations are sent (int8). By default as they are computed. Scales are
        not counted, conversions on both sides are.
    input_bytes
        Of the network's inputs as they are sent: "50 kB" (a JPEG), or a number of bytes. By default
        as they are computed.
    objective
        latency_s of one run, energy_j of the device, or throughput of runs that follow each other.
    server_precision
        Of the server, where it has its own.
    server_runtime
        Software of the server. By default its own.
    server_engine
        Engine of the server. By default the runtime's.
    set
        Parameters of the workload and facts of the device, by name.
    precision
        As for `predict`. It holds for both sides.
    runtime, engine
        As for `predict`. It is the device's.
    method
        list: every cut (20,000 at most); min_cut: minimum cuts of flow networks; auto: the first
        while there are at most 20,000 cuts.

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
    faults = gathered()
    faults += option_faults(objective, method, link_format, efficiency)
    found = _system(system, device, server, faults)
    sides: list[Any] = [device, server]
    names = [runtime, server_runtime]
    formats: list[Any] = [precision, server_precision or precision]
    engines = [engine, server_engine]
    if found is not None:
        for i, side in enumerate((found.device, found.server)):
            sides[i] = side.device
            names[i] = names[i] or side.runtime
            formats[i] = formats[i] or side.precision
            engines[i] = engines[i] or side.engine
    link = found.link if found is not None else None
    channel = _channel(link, latency, efficiency, link_format, input_bytes, faults)
    rates = [link.bandwidth.value] if rate is None and link is not None else None
    if rates is None:
        if rate is None and system is None:
            faults.append(Fault("no rate is given", "rate",
                                expected="such as 20 Mbit/s or 1..50 Mbit/s"))  # fmt: skip
        elif rate is not None:
            rates = faults.trying(rates_of, rate)
    subject = other = None
    if not all(side is not None for side in sides):
        near = next((side for side in sides if side is not None), None)
        if near is not None:
            faults.trying(resolve, workload, near, formats[0], None, set, None)
    else:
        subject = faults.trying(resolve, workload, sides[0], formats[0], names[0], set, engines[0])
        there = {k: v for k, v in (set or {}).items() if "." not in k}
        if subject is not None:
            other = _trying_server(
                faults, server_precision is not None, subject.workload, sides[1], formats[1],
                names[1], None, engines[1],
            )  # fmt: skip
        else:
            _trying_server(faults, server_precision is not None, workload, sides[1], formats[1],
                           names[1], there, engines[1])  # fmt: skip
        # A fault of the workload or of a shared option is told once.
        faults[:] = list(dict.fromkeys(faults))
    faults.settle()
    assert subject is not None
    assert other is not None
    assert rates is not None
    pairs: list[tuple[Device | Machine, Any, Any, Any]] = [
        (s.device, s.precision, s.runtime, s.engine) for s in (subject, other)
    ]
    stages, (near, far) = stages_of(subject.workload, pairs)
    return _split(stages, near, far, channel, link, np.array(rates), objective, method)


def _trying_server(faults: FaultList, own: bool, *arguments: Any) -> PredictionInputs | None:
    """Resolve the server's side; faults of its own options are named after them."""
    gathered = FaultList()
    found = gathered.trying(resolve, *arguments)
    for fault in gathered:
        head, dot, rest = fault.path.partition(".")
        mine = head in ("engine", "runtime") or (head == "precision" and own)
        faults.append(replace(fault, path=f"server_{head}{dot}{rest}") if mine else fault)
    return found


def _system(
    given: System | str | Path | None, device: Any, server: Any, faults: FaultList
) -> System | None:
    if given is None:
        for name, side in (("device", device), ("server", server)):
            if side is None:
                faults.append(Fault(f"there is no {name}", name,
                                    expected="two devices, or a system"))  # fmt: skip
        return None
    if device is not None or server is not None:
        faults.append(Fault("a system names its devices", "system",
                            expected="a system, or two devices"))  # fmt: skip
    return faults.trying(find_system, given)


def _channel(
    link: SystemLink | None, latency: float | str | None, efficiency: float | None,
    link_format: str | None, input_bytes: float | str | None, faults: FaultList,
) -> SplitLink:  # fmt: skip
    bits = None
    if link_format is not None and not any(f.path == "link_format" for f in faults):
        bits = float(format_named(link_format).bits)
    wait = _amount(latency, "latency", "time", faults)
    sent = _amount(input_bytes, "input_bytes", "bytes", faults)
    if link is None:
        return SplitLink(efficiency or 1.0, wait or 0.0, bits=bits, input_bytes=sent)
    down = None if link.down_bandwidth is None else link.down_bandwidth.value
    return SplitLink(
        link.number("efficiency", 1.0) if efficiency is None else efficiency,
        link.number("latency") if wait is None else wait, down,
        link.number("power_up"), link.number("power_down"), link.number("energy_per_byte_up"),
        link.number("energy_per_byte_down"), bits, sent,
    )  # fmt: skip


def _amount(
    given: float | str | None, name: str, dimension: str, faults: FaultList
) -> float | None:
    """Return a number in SI units, or a text with its unit, from zero."""
    if given is None:
        return None
    try:
        value = parse(given, dimension) if isinstance(given, str) else float(given)
    except UnitError as error:
        try:
            value = float(given)
        except ValueError:
            faults.append(Fault(error.message, name, expected=error.expected,
                                suggestion=error.suggestion))  # fmt: skip
            return None
    if not (np.isfinite(value) and value >= 0):
        faults.append(Fault(f"{given} is out of range", name, expected="a number from 0"))
        return None
    return value


def _split(
    stages: Stages,
    near: SplitStageCosts,
    far: SplitStageCosts,
    channel: SplitLink,
    link: SystemLink | None,
    rates: Any,
    objective: str,
    method: str,
) -> Split:
    listed = None if method == "min_cut" else every_cut(stages, MOST_CUTS)
    if listed is not None and len(listed) * len(rates) > MOST_POINTS:
        said = f"{len(listed)} cuts at {len(rates)} rates are {len(listed) * len(rates)} points"
        raise input_error(said, "rate", expected=f"at most {MOST_POINTS}")
    if listed is None and method == "list":
        raise input_error(f"there are more than {MOST_CUTS} cuts", "method", expected="min_cut")
    if listed is None and objective != "latency_s":
        # Joule and periods of parts are no sums over stages that a minimum cut could take.
        if method == "min_cut":
            raise input_error(
                f"minimum cuts are of latency, not of {objective}", "method", expected="list"
            )
        raise input_error(
            f"there are more than {MOST_CUTS} cuts",
            "objective",
            expected="latency_s, whose best one minimum cuts find",
        )
    chosen = prefixes(stages) if listed is None else listed
    kind = "a link" if link is None else link.kind

    def made(bits: Iterable[int], *, complete: bool, proved: bool) -> Split:
        cuts = evaluate(stages, near, far, channel, list(dict.fromkeys(bits)))
        return Split(objective, stages, near, far, channel, kind, rates, cuts, complete, proved)

    if listed is not None:
        return made(listed, complete=True, proved=True)
    least = _least(stages, near, far, channel, rates)
    found = made([*chosen, *least], complete=False, proved=True)
    if bool(_fit(found.cuts, len(least)).all()):
        return found
    return made([*chosen, *least], complete=False, proved=False)


def _fit(cuts: CutTable, last: int) -> Any:
    return cuts.fits[-last:] if last else cuts.fits


def _least(
    stages: Stages, near: SplitStageCosts, far: SplitStageCosts, channel: SplitLink, rates: Any
) -> list[int]:
    """Return every cut that is the least at some rate, around those asked for."""
    everything = (1 << stages.count) - 1
    found: dict[int, tuple[float, float]] = {}

    def line(bits: int) -> tuple[float, float]:
        if bits not in found:
            cuts = evaluate(stages, near, far, channel, [bits])
            one = Split("latency_s", stages, near, far, channel, "", rates, cuts, False, False)
            level, slope, _, _ = one._lines()  # pyright: ignore[reportPrivateUsage]
            found[bits] = float(level[0]), float(slope[0])
        return found[bits]

    def solve(x: float) -> tuple[float, float]:
        cut = least_cut(stages, near, far, channel, x / channel.efficiency)
        lines = [line(bits) for bits in (everything, 0, cut)]
        return min(lines, key=lambda ab: ab[0] + ab[1] * x)

    low, high = 1.0 / (float(rates.max()) * _WIDER), _WIDER / float(rates.min())
    for _ in parametric(solve, low, high):
        pass
    return list(found)
