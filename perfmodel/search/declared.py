"""A search in names and texts: resolved with every fault at once, then run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, cast, get_args

from perfmodel.errors import Fault, InputError, nearest, no_such
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.resolve import (
    check_choices,
    checked_bits,
    device_of,
    machine_of,
    note_remarks,
    precision_of,
    runtime_of,
    with_bits,
    workload_of,
)
from perfmodel.search.accuracy import AccuracyModel
from perfmodel.search.constraints import RATES, parse_constraints
from perfmodel.search.loss import LOSSES
from perfmodel.search.oracle.reader import METRICS, TRAFFIC
from perfmodel.search.result import SearchResult
from perfmodel.search.run import METHODS, SearchMethod
from perfmodel.search.run import search as run
from perfmodel.search.sources import AccuracySource, accuracy_of
from perfmodel.search.space import ConfigurationSpace, configurations_of
from perfmodel.search.space.choices import SHARES, Share
from perfmodel.settings import FaultList, is_fact, split
from perfmodel.workload.nas_spaces import ArchitectureSpace
from perfmodel.workload.nas_spaces import names as space_names
from perfmodel.workload.nas_spaces import space as find_space
from perfmodel.workload.workload import Workload

_TRAFFIC = re.compile(rf"\b{re.escape(TRAFFIC)}\w+")
_CONSTRAINT = re.compile(r"constraints\[\d+\]")


class _Ready(NamedTuple):
    """Everything of a problem, resolved."""

    space: ConfigurationSpace | ArchitectureSpace
    machine: Device | Machine
    precision: Precision | None
    runtime: Runtime | None
    accuracy: Any
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class SearchProblem:
    """A search as it is written on a command line or in a file.

    Attributes
    ----------
    workload, device
        Names of the library, paths, or objects; a workload may be a space of architectures.
    set
        Facts of the device, parameters of the workload or of the space.
    choices, share, precision, runtime, engine, constraints, objective, method
        As for `perfmodel.search.run.search`.
    accuracy
        Where the loss comes from; a `AccuracySource` or an accuracy model.
    time_limit_s
        For a proof; None for no limit.
    model, warm
        As for `predict`.
    evaluations, seed
        Of evolution.
    place
        Puts a fault where it was written. Paths of faults begin with the name of an attribute:
        ``choices.weight_bits``, ``constraints[0]``, ``set.batch``.
    """

    workload: Any
    device: Any
    set: Mapping[str, Any] = field(default_factory=dict[str, Any])
    choices: Mapping[str, Any] | None = None
    share: Share = "layer"
    precision: str | Precision | None = None
    runtime: str | Path | Runtime | None = None
    engine: str | None = None
    constraints: tuple[str, ...] = ()
    objective: str = ""
    accuracy: AccuracySource | AccuracyModel | Any = None
    method: SearchMethod = "auto"
    time_limit_s: float | None = 60.0
    evaluations: int = 4000
    seed: int = 0
    model: str | None = None
    warm: bool = False
    place: Callable[[Fault], Fault] | None = field(default=None, repr=False, compare=False)

    def search(self, faults: FaultList | None = None, since: float | None = None) -> SearchResult:
        """Search.

        Parameters
        ----------
        faults
            Faults gathered so far; more are added, and all are raised.
        since
            Moment from which the time counts, by `time.monotonic`; by default that of the call.

        Raises
        ------
        InputError
            Every fault of the problem at once.
        """
        since = monotonic() if since is None else since
        ready = self.resolved(FaultList() if faults is None else faults)
        try:
            return run(
                ready.space,
                ready.machine,
                constraints=self.constraints,
                objective=self.objective,
                accuracy=ready.accuracy,
                precision=ready.precision,
                runtime=ready.runtime,
                engine=self.engine,
                model=self.model,
                warm=self.warm,
                settings=ready.numbers,
                method=self.method,
                time_limit_s=self.time_limit_s,
                evaluations=self.evaluations,
                seed=self.seed,
                since=since,
            )
        except InputError as error:
            raise InputError([self._placed(fault) for fault in error.faults]) from None

    def resolved(self, faults: FaultList) -> _Ready:
        """Return the problem's parts, or raise every fault of them."""
        mine = FaultList()
        ready = self._resolve(mine)
        # Stable: on a command line, where no fault has a line, they stay in order.
        faults.extend(sorted(map(self._placed, mine), key=lambda f: (f.line, f.column)))
        faults.settle()
        if ready is None:
            raise InputError(_nothing())
        return ready

    def _placed(self, fault: Fault) -> Fault:
        if _CONSTRAINT.fullmatch(fault.file):
            # A fault of syntax: its column is one of the constraint's text.
            at = f"column {fault.column}: " if fault.column else ""
            fault = replace(
                fault, path=fault.file, message=f"{at}{fault.message}", file="", line=0, column=0
            )
        return fault if fault.file or self.place is None else self.place(fault)

    def _resolve(self, faults: FaultList) -> _Ready | None:
        parts = split(self.set)
        for name in (*parts.options, *parts.subjects):
            faults.append(
                Fault(f"'{name}' cannot be set", path=f"set.{name}", expected="its own option")
            )
        runtime = _trying(faults, "runtime", runtime_of, self.runtime)
        device = _trying(faults, "device", device_of, self.device)
        precision = _trying(faults, "precision", precision_of, self.precision)
        named = isinstance(self.workload, str) and self.workload in space_names()
        space: Any = None
        base: Workload | None = None
        numbers: dict[str, float] = {}
        if isinstance(self.workload, ArchitectureSpace | ConfigurationSpace):
            space = self.workload
        elif named:
            made = _trying(faults, "set", _space, self.workload, parts.workload)
            space, numbers = made or (None, {})
        else:
            base = _trying(faults, "workload", _workload, self.workload, parts.workload)
            if base is None and parts.workload and not isinstance(self.workload, Workload):
                # Settings at fault hide nothing of the choices.
                base = FaultList().trying(_workload, self.workload, {})
        machine: Any = device
        if device is not None and parts.facts:
            machine = _trying(
                faults,
                "set",
                machine_of,
                device,
                runtime,
                parts.facts,
                base,
                precision,
                self.engine,
            )
            note_remarks(machine or device)
        if device is not None and self.engine is not None:
            spec = device if isinstance(device, Machine) else device.machine()
            faults += check_choices(spec, self.engine, None)
        if parts.bits:
            _trying(faults, "set", checked_bits, parts.bits)
            if device is not None and not faults:
                precision = with_bits(precision, parts.bits, base, device, runtime, self.engine)
        if not named and space is None and self.choices is not None:
            faults += _option_faults(self.choices, device, runtime, base)
        if base is not None:
            if self.choices:
                space = _trying(
                    faults,
                    "choices",
                    configurations_of,
                    base,
                    self.choices,
                    share=self.share,
                    precision=precision,
                )
            elif self.choices is None:
                faults.append(_nothing())
        elif self.choices and (named or space is not None):
            faults.append(
                Fault("a space has its own choices", path="choices", expected="a network")
            )
        if base is None and self.share not in get_args(Share):
            faults.append(_no_such("share", "no layers are shared by", self.share, SHARES))
        self._question(faults, device, _unit(space, base))
        accuracy = self._accuracy(faults, space)
        if space is None or machine is None:
            return None
        return _Ready(space, machine, precision, runtime, accuracy, numbers)

    def _question(self, faults: FaultList, device: Device | Machine | None, unit: str) -> None:
        # Of rates those of what a run yields.
        rates = [rate for rate in RATES if not unit or rate == f"{unit}_per_s"]
        known = [name for name in METRICS if name not in RATES] + [*rates, *LOSSES]
        if device is None:
            # Memories of a device that is not known may have any name.
            known += _TRAFFIC.findall(" ".join((*self.constraints, self.objective)))
        else:
            plain = device.device if isinstance(device, Machine) else device
            known += [f"{TRAFFIC}{m.name}" for m in plain.memories]
        if self.method not in METHODS:
            faults.append(_no_such("method", "there is no method", self.method, METHODS))
        if self.objective and self.objective not in known:
            faults.append(_no_such("objective", "there is no objective", self.objective, known))
        used = {"objective": [self.objective]}
        for i, text in enumerate(self.constraints):
            path = f"constraints[{i}]"
            try:
                used[path] = [c.metric for c in parse_constraints(text, known, where=path)]
            except InputError as error:
                faults += error.faults
        if self.accuracy is None:
            faults += [
                Fault(
                    f"'{name}' of what? no source of accuracy is given",
                    path=path,
                    expected="an accuracy: sqnr of weights, a table, or hawq's traces",
                )
                for path, names in used.items()
                for name in names
                if name in LOSSES
            ]
        limit = self.time_limit_s
        if limit is not None and not 0 < limit < float("inf"):
            faults.append(
                Fault(f"{limit} is no time limit", "time_limit_s", expected="seconds above zero")
            )
        if self.seed < 0:
            faults.append(
                Fault(f"{self.seed} is no seed", path="seed", expected="a whole number from 0")
            )
        if self.evaluations < 1:
            faults.append(
                Fault(
                    f"{self.evaluations} is no number of evaluations",
                    path="evaluations",
                    expected="one at least",
                )
            )

    def _accuracy(self, faults: FaultList, space: Any) -> Any:
        """Return the accuracy model, asked once for all that the space may choose."""
        from perfmodel.search.losses import loss_tables

        given = self.accuracy
        if given is None or space is None:
            if isinstance(given, AccuracySource):
                from perfmodel.search.sources import source_faults

                faults += source_faults(given, self.workload)
            return None
        if isinstance(given, AccuracySource):
            given = _trying(faults, "accuracy", accuracy_of, given, space, self.workload)
        if (
            isinstance(space, ConfigurationSpace)
            and hasattr(given, "table")
            and getattr(given, "separable", True)
        ):
            _trying(faults, "accuracy", loss_tables, given, space)
        return given


def _trying(
    faults: FaultList, path: str, work: Callable[..., Any], *arguments: Any, **named: Any
) -> Any:
    """Return what a call returns, or None; what its faults say of no field is said of `path`."""
    try:
        return work(*arguments, **named)
    except InputError as error:
        for fault in error.faults:
            if not fault.file and not fault.path.startswith(path):
                inner = f"{path}.{fault.path}" if fault.path else path
                fault = replace(fault, path=_settings(inner, path))
            faults.append(fault)
        return None


def _settings(inner: str, path: str) -> str:
    """Return the place of a fault: names that a workload does not know were settings."""
    head = inner.removeprefix(f"{path}.")
    if path in ("workload",) and head != inner:
        return f"set.{head}"
    if path == "choices" and head.partition(".")[0] in ("share", "precision"):
        return head
    return inner


def _workload(given: str | Path | Workload, settings: Mapping[str, Any]) -> Workload:
    known = space_names()
    try:
        return workload_of(given, settings)
    except InputError as error:
        name = str(given)
        meant = nearest(name, known)
        if meant and not any(f.suggestion or f.path for f in error.faults) and "." not in name:
            raise InputError(
                [replace(f, suggestion=meant, expected="") for f in error.faults]
            ) from None
        raise


def _space(name: str, settings: Mapping[str, Any]) -> tuple[ArchitectureSpace, dict[str, float]]:
    """Return a space, and the settings that bind free dimensions of its networks."""
    plain = find_space(name)
    fields = type(plain.settings).model_fields
    free = plain.parameters((0,) * len(plain.decisions))
    numbers = {k: v for k, v in settings.items() if k in free and k not in fields}
    own = {k: v for k, v in settings.items() if k not in numbers}
    made = find_space(name, **own) if own else plain
    if numbers:
        made.workload((0,) * len(made.decisions), **numbers)
    return made, numbers


def _unit(space: Any, base: Workload | None) -> str:
    """Return what a run yields; empty where that is not known."""
    if base is not None:
        return base.unit
    return space.workload((0,) * len(space.decisions)).unit if space is not None else ""


def _nothing() -> Fault:
    expected = "such as weight_bits of 2, 4 and 8"
    return Fault("nothing is decided", path="choices", expected=expected)


def _option_faults(
    choices: Mapping[str, Any],
    device: Device | Machine | None,
    runtime: Runtime | None,
    workload: Workload | None,
) -> list[Fault]:
    """Return the faults of facts of the device and parameters that are to be chosen."""
    faults: list[Fault] = []
    for name, options in choices.items():
        fact = is_fact(name) and device is not None
        if not fact and (workload is None or name not in workload.parameters):
            continue
        listed = isinstance(options, list | tuple)
        for option in cast("Sequence[Any]", options if listed else [options]):
            try:
                if fact and device is not None:
                    note_remarks(machine_of(device, runtime, {name: option}, workload))
                elif workload is not None:
                    workload.bind({name: option})
            except InputError as error:
                faults += [replace(f, path=f"choices.{name}") for f in error.faults]
    return list(dict.fromkeys(faults))


def _no_such(path: str, message: str, value: str, known: Any) -> Fault:
    return no_such(f"{message} '{value}'", str(value), known, path)
