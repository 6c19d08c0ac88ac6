"""A search declared by names and texts, resolved with all faults reported at once, then run."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast, get_args

from perfmodel.errors import Fault, InputError, nearest, no_such
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.metrics import unsearched_fault
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
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
from perfmodel.search.accuracy_loss import LOSSES
from perfmodel.search.accuracy_sources import AccuracySource, accuracy_of, source_faults
from perfmodel.search.constraints import RATES, Constraint, parse_constraints
from perfmodel.search.loss_tables import loss_tables
from perfmodel.search.oracle.metric_reader import METRICS, TRAFFIC
from perfmodel.search.search_query import SearchQuery
from perfmodel.search.search_result import SearchResult
from perfmodel.search.space import ConfigurationSpace, configurations_of
from perfmodel.search.space.space_construction import SHARES, Share
from perfmodel.settings import FaultList, Settings, is_fact, split
from perfmodel.workload.nas_spaces import ArchitectureSpace
from perfmodel.workload.nas_spaces import names as space_names
from perfmodel.workload.nas_spaces import space as space_named
from perfmodel.workload.workload import Workload

#: auto selects exact if costs are tables, exhaustive for few members, else evolve.
SearchMethod: TypeAlias = Literal["auto", "exact", "exhaustive", "evolve"]

_METHODS: Final = get_args(SearchMethod)
_TRAFFIC = re.compile(rf"\b{re.escape(TRAFFIC)}\w+")
_CONSTRAINT = re.compile(r"constraints\[\d+\]")

#: Share of the time limit after which no new step starts.
_SHARE: Final = 0.95


class _ResolvedSearch(NamedTuple):
    """A space and a device as objects; options as for `Oracle`."""

    space: ConfigurationSpace | ArchitectureSpace
    machine: Device | Machine
    constraints: tuple[Constraint, ...]
    accuracy: Any
    options: Mapping[str, Any]


@dataclass(frozen=True)
class SearchProblem:
    """A search as declared in a call, on a command line or in a file.

    Attributes
    ----------
    workload, device
        Names in the library, paths, or objects; a workload may be a space of architectures.
    set
        Facts of the device, parameters of the workload or of the space.
    choices, share, precision, runtime, engine, constraints, objective, method
        As for `perfmodel.search.public_functions.search`.
    accuracy
        Source of the loss: an `AccuracySource`, an accuracy model (`perfmodel.search.accuracy`), or
        for architectures a callable ``choices (n, decisions) -> losses (n,)``.
    time_limit_s
        Seconds from `since` until the best solution so far is returned with its gap; None for no
        limit. If the costs of the kernels are not complete by then, there is no solution and no
        bound.
    model, warm
        As for `predict`.
    evaluations, seed
        Settings of evolution.
    place
        Function that adds the source location to a fault. Paths of faults begin with the name of an
        attribute: ``choices.weight_bits``, ``constraints[0]``, ``set.batch``.
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
        """Resolve the problem, run the search and return its result.

        Parameters
        ----------
        faults
            Faults so far; further ones are added, and all are raised together.
        since
            Start of the time limit on the clock `time.monotonic`; by default the time of the call.

        Raises
        ------
        InputError
            For all faults of the problem at once.
        """
        began, since = time.process_time(), time.monotonic() if since is None else since
        resolved = self.resolved(FaultList() if faults is None else faults)
        limit = self.time_limit_s
        deadline = Deadline(None if limit is None else _SHARE * limit, since)
        goal = self.objective or ("latency_s" if self.accuracy is None else "accuracy_drop")
        try:
            query = SearchQuery(
                resolved.space,
                resolved.machine,
                goal,
                resolved.constraints,
                resolved.accuracy,
                resolved.options,
                limit,
                self.evaluations,
                self.seed,
                deadline=deadline,
            )
            return query.answer(self.method)
        except OutOfTimeError as late:
            note = f"time ran out when {late}: nothing is known; a longer time limit is needed"
            return SearchResult(
                None,
                math.inf,
                -math.inf,
                "none",
                space=resolved.space,
                device=_spec(resolved.machine).name,
                objective=goal,
                unit="",
                source="",
                model="nothing yet",
                notes=(note,),
                seconds=time.process_time() - began,
            )
        except InputError as error:
            raise InputError(map(self._placed, error.faults)) from None

    def resolved(self, faults: FaultList) -> _ResolvedSearch:
        """Return the parts of the problem as objects, or raise all their faults."""
        own = FaultList()
        resolved = self._resolve(own)
        # A stable sort: on a command line no fault has a line, and the order is preserved.
        faults.extend(sorted(map(self._placed, own), key=lambda f: (f.line, f.column)))
        faults.settle()
        if resolved is None:
            raise InputError(_no_decision())
        return resolved

    def _placed(self, fault: Fault) -> Fault:
        if _CONSTRAINT.fullmatch(fault.file):
            # A syntax fault, whose column refers to the constraint's text.
            at = f"column {fault.column}: " if fault.column else ""
            fault = replace(
                fault, path=fault.file, message=f"{at}{fault.message}", file="", line=0, column=0
            )
        return fault if fault.file or self.place is None else self.place(fault)

    def _resolve(self, faults: FaultList) -> _ResolvedSearch | None:
        """Return the parts of the problem as objects, or None; append all faults."""
        stated = split(self.set)
        faults += [
            Fault(f"'{name}' cannot be set", f"set.{name}", expected="its own option")
            for name in (*stated.options, *stated.subjects)
        ]
        runtime = _trying(faults, "runtime", runtime_of, self.runtime)
        device = _trying(faults, "device", device_of, self.device)
        precision = _trying(faults, "precision", precision_of, self.precision)
        space, base, numbers = self._subject(stated, faults)
        machine = device
        if device is not None and stated.facts:
            details = (runtime, stated.facts, base, precision, self.engine)
            machine = _trying(faults, "set", machine_of, device, *details)
            note_remarks(machine or device)
        if device is not None and self.engine is not None:
            spec = device if isinstance(device, Machine) else device.machine()
            faults += check_choices(spec, self.engine, None)
        if stated.bits:
            _trying(faults, "set", checked_bits, stated.bits)
            if device is not None and not faults:
                precision = with_bits(precision, stated.bits, base, device, runtime, self.engine)
        if space is None and self.choices is not None and not self._of_architectures:
            faults += _option_faults(self.choices, device, runtime, base)
        if base is not None:
            space = self._configurations(base, precision, faults)
        else:
            self._check("share", "no layers are shared by", SHARES, faults)
        constraints = self._goals(faults, device, _unit(space, base))
        self._check_numbers(faults)
        accuracy = self._accuracy(faults, space)
        if space is None or machine is None:
            return None
        options = {
            "precision": precision,
            "runtime": runtime,
            "engine": self.engine,
            "model": self.model,
            "warm": self.warm,
            "settings": numbers,
        }
        return _ResolvedSearch(space, machine, constraints, accuracy, options)

    @property
    def _of_architectures(self) -> bool:
        return isinstance(self.workload, str) and self.workload in space_names()

    def _subject(
        self, stated: Settings, faults: FaultList
    ) -> tuple[Any, Workload | None, dict[str, float]]:
        """Return a space or a network, and values of the networks' free dimensions."""
        space: Any = None
        numbers: dict[str, float] = {}
        if self._of_architectures:
            read = _trying(faults, "set", _space, self.workload, stated.workload)
            space, numbers = read or (space, numbers)
        elif isinstance(self.workload, ArchitectureSpace | ConfigurationSpace):
            space = self.workload
        else:
            base = _trying(faults, "workload", _workload, self.workload, stated.workload)
            if base is None and stated.workload and not isinstance(self.workload, Workload):
                # Faulty settings must not hide faults of the choices.
                base = FaultList().trying(_workload, self.workload, {})
            return None, base, numbers
        if self.choices:
            message = "a space has its own choices"
            faults.append(Fault(message, path="choices", expected="a network"))
        return space, None, numbers

    def _configurations(
        self, base: Workload, precision: Precision | None, faults: FaultList
    ) -> ConfigurationSpace | None:
        if self.choices is None:
            faults.append(_no_decision())
        if not self.choices:
            return None
        options = {"share": self.share, "precision": precision}
        return _trying(faults, "choices", configurations_of, base, self.choices, **options)

    def _goals(
        self, faults: FaultList, device: Device | Machine | None, unit: str
    ) -> tuple[Constraint, ...]:
        """Return the constraints; check that they and the objective name known metrics."""
        # Only the rate in the unit of the workload's items applies.
        rates = [rate for rate in RATES if not unit or rate == f"{unit}_per_s"]
        known = [name for name in METRICS if name not in RATES] + [*rates, *LOSSES]
        if device is None:
            # The memories of an unknown device may have any name.
            known += _TRAFFIC.findall(" ".join((*self.constraints, self.objective)))
        else:
            known += [f"{TRAFFIC}{memory.name}" for memory in _spec(device).memories]
        self._check("method", "there is no method", _METHODS, faults)
        if self.objective:
            self._check("objective", "there is no objective", known, faults)
        used = [("objective", self.objective)]
        constraints: list[Constraint] = []
        for i, text in enumerate(self.constraints):
            path = f"constraints[{i}]"
            own = faults.trying(parse_constraints, text, known, where=path) or ()
            used += [(path, constraint.metric) for constraint in own]
            constraints += own
        if self.accuracy is None:
            faults += [
                Fault(
                    f"'{name}' needs a source of accuracy, and none is given",
                    path=path,
                    expected="an accuracy: sqnr of weights, a table, or hawq's traces",
                )
                for path, name in used
                if name in LOSSES
            ]
        return tuple(constraints)

    def _check(self, name: str, message: str, known: Sequence[str], faults: FaultList) -> None:
        value = getattr(self, name)
        if value not in known:
            unknown = no_such(f"{message} '{value}'", str(value), known, name)
            faults.append(unsearched_fault(value, name) or unknown)

    def _check_numbers(self, faults: FaultList) -> None:
        limit = self.time_limit_s
        for path, sound, noun, expected in (
            (
                "time_limit_s",
                limit is None or 0 < limit < math.inf,
                "time limit",
                "seconds above zero",
            ),
            ("seed", self.seed >= 0, "seed", "a whole number from 0"),
            ("evaluations", self.evaluations >= 1, "number of evaluations", "one at least"),
        ):
            if not sound:
                faults.append(
                    Fault(f"{getattr(self, path)} is not a {noun}", path, expected=expected)
                )

    def _accuracy(self, faults: FaultList, space: Any) -> Any:
        """Return the accuracy model, after a check that it covers all options of the space."""
        source = self.accuracy
        if source is None or space is None:
            if isinstance(source, AccuracySource):
                faults += source_faults(source, self.workload)
            return None
        if isinstance(source, AccuracySource):
            source = _trying(faults, "accuracy", accuracy_of, source, space, self.workload)
        if (
            isinstance(space, ConfigurationSpace)
            and hasattr(source, "table")
            and getattr(source, "separable", True)
        ):
            _trying(faults, "accuracy", loss_tables, source, space)
        return source


def _spec(device: Device | Machine) -> Device:
    return device.device if isinstance(device, Machine) else device


def _trying(
    faults: FaultList, path: str, work: Callable[..., Any], *arguments: Any, **named: Any
) -> Any:
    """Return the result of a call, or None; faults without a field are reported for `path`."""
    try:
        return work(*arguments, **named)
    except InputError as error:
        for fault in error.faults:
            if not fault.file and not fault.path.startswith(path):
                fault = replace(fault, path=_path_of(fault.path, path))
            faults.append(fault)
        return None


def _path_of(inner: str, path: str) -> str:
    """Return the path of a fault: unknown names of a workload were settings."""
    if inner and path == "workload":
        return f"set.{inner}"
    if path == "choices" and inner.partition(".")[0] in ("share", "precision"):
        return inner
    return f"{path}.{inner}" if inner else path


def _workload(source: str | Path | Workload, settings: Mapping[str, Any]) -> Workload:
    try:
        return workload_of(source, settings)
    except InputError as error:
        name = str(source)
        meant = nearest(name, space_names())
        if meant and not any(f.suggestion or f.path for f in error.faults) and "." not in name:
            raise InputError(
                [replace(f, suggestion=meant, expected="") for f in error.faults]
            ) from None
        raise


def _space(name: str, settings: Mapping[str, Any]) -> tuple[ArchitectureSpace, dict[str, float]]:
    """Return a space, and the settings that bind free dimensions of its networks."""
    plain = space_named(name)
    fields = type(plain.settings).model_fields
    free = plain.parameters((0,) * len(plain.decisions))
    numbers = {k: v for k, v in settings.items() if k in free and k not in fields}
    own = {k: v for k, v in settings.items() if k not in numbers}
    space = space_named(name, **own) if own else plain
    if numbers:
        space.workload((0,) * len(space.decisions), **numbers)
    return space, numbers


def _unit(space: Any, base: Workload | None) -> str:
    """Return the unit of a run's items; empty if unknown."""
    if base is not None:
        return base.unit
    return space.workload((0,) * len(space.decisions)).unit if space is not None else ""


def _no_decision() -> Fault:
    return Fault("nothing is decided", "choices", expected="such as weight_bits of 2, 4 and 8")


def _option_faults(
    choices: Mapping[str, Any],
    device: Device | Machine | None,
    runtime: Runtime | None,
    workload: Workload | None,
) -> list[Fault]:
    """Return the faults of options for device facts and workload parameters."""
    faults = FaultList()
    for name, options in choices.items():
        listed = cast("Sequence[Any]", options if isinstance(options, list | tuple) else [options])
        for option in listed:
            value, path = {name: option}, f"choices.{name}"
            if is_fact(name) and device is not None:
                machine = faults.trying_at(path, machine_of, device, runtime, value, workload)
                if machine is not None:
                    note_remarks(machine)
            elif workload is not None and name in workload.parameters:
                faults.trying_at(path, workload.bind, value)
    return list(dict.fromkeys(faults))
