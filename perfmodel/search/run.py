"""Search: which configuration of a network, or which architecture, is best under limits."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from perfmodel.errors import Fault, input_error, not_among
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.accuracy import AccuracyModel
from perfmodel.search.constraints import RATES, Constraint, parse_constraints
from perfmodel.search.loss import LOSSES
from perfmodel.search.oracle.reader import METRICS, TRAFFIC
from perfmodel.search.question import SearchQuery
from perfmodel.search.result import SearchResult
from perfmodel.search.space import ConfigurationSpace, configurations_of
from perfmodel.search.space.choices import Share
from perfmodel.settings import FaultList
from perfmodel.workload.nas_spaces import ArchitectureSpace
from perfmodel.workload.workload import Workload

#: How: exact where costs are tables, every member where there are few, else evolution.
SearchMethod: TypeAlias = Literal["auto", "exact", "exhaustive", "evolve"]

METHODS: tuple[SearchMethod, ...] = ("auto", "exact", "exhaustive", "evolve")

#: Parameters that `Oracle` takes as they are.
_OPTIONS = ("precision", "runtime", "engine", "model", "warm")

#: Share of the time limit after which nothing new is begun.
_SHARE = 0.95


def search(
    workload: Workload | ArchitectureSpace | ConfigurationSpace,
    device: Device | Machine,
    *,
    choices: Mapping[str, Any] | None = None,
    constraints: str | Iterable[str] = (),
    objective: str = "",
    accuracy: AccuracyModel | Any = None,
    share: Share = "layer",
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    engine: str | None = None,
    model: str | None = None,
    warm: bool = False,
    settings: Mapping[str, float] | None = None,
    method: SearchMethod = "auto",
    time_limit_s: float | None = 60.0,
    evaluations: int = 4000,
    seed: int = 0,
    since: float | None = None,
) -> SearchResult:
    """Find the configuration with the least objective under constraints.

    Parameters
    ----------
    workload
        A network, with `choices`; or a space.
    device
        A device; facts may be varied by one number each.
    choices, share
        What is decided; as for `perfmodel.search.space.configurations_of`.
    constraints
        Such as ``latency_s <= 5 ms``, ``peak_memory_bytes <= 512 KiB``; each metric of the oracle,
        rates (``frames_per_s >= 30``), and the loss. That memories hold the network is always one.
    objective
        A metric to be small, or ``accuracy_drop`` (``sensitivity``), which needs `accuracy`. By
        default the loss where there is an accuracy model, else ``latency_s``.
    accuracy
        Where the loss comes from (`perfmodel.search.accuracy`); for a space of architectures, a
        callable ``choices (n, decisions) -> losses (n,)``. A loss without a unit is a
        ``sensitivity``, and the result says so.
    precision, runtime, engine, model, warm
        As for `predict`.
    settings
        Numbers for free dimensions.
    method
        ``exact``: tables and a proof of them; ``exhaustive``: every member; ``evolve``: NSGA-II;
        ``auto``: the first of these that can.
    time_limit_s
        From the call; then the best so far and its gap. Where not even the costs of the kernels are
        known by then, nothing is found and nothing proved.
    evaluations, seed
        Of evolution.
    since
        Moment from which the time counts, by `time.monotonic`; by default that of the call.

    Returns
    -------
    SearchResult
        Where nothing satisfies the constraints, `best` is None and `infeasible` says why.

    Raises
    ------
    InputError
        Every fault of the input at once.
    """
    return SearchQuestion(**vars()).answer()


@dataclass(frozen=True, kw_only=True)
class SearchQuestion:
    """The parameters of `search`."""

    workload: Workload | ArchitectureSpace | ConfigurationSpace
    device: Device | Machine
    choices: Mapping[str, Any] | None
    constraints: str | Iterable[str]
    objective: str
    accuracy: AccuracyModel | Any
    share: Share
    precision: str | Precision | None
    runtime: str | Runtime | None
    engine: str | None
    model: str | None
    warm: bool
    settings: Mapping[str, float] | None
    method: SearchMethod
    time_limit_s: float | None
    evaluations: int
    seed: int
    since: float | None

    def answer(self) -> SearchResult:
        """Return the result of `search`; it raises the same errors."""
        began = time.process_time()
        limit = self.time_limit_s
        deadline = Deadline(None if limit is None else _SHARE * limit, self.since)
        faults = FaultList(
            not_among(f"no method is called '{self.method}'", self.method, METHODS, "method")
        )
        space = faults.trying(self._space)
        goal, constraints = self._goal(faults)
        faults.settle()
        options = {name: getattr(self, name) for name in _OPTIONS}
        options["settings"] = dict(self.settings or {})
        try:
            query = SearchQuery(
                space,
                self.device,
                goal,
                constraints,
                self.accuracy,
                options,
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
                space=space,
                device=_plain(self.device).name,
                objective=goal,
                unit="",
                source="",
                model="nothing yet",
                notes=(note,),
                seconds=time.process_time() - began,
            )

    def _space(self) -> Any:
        """Return the space: the one of the question, or that of a network and its choices."""
        if not isinstance(self.workload, Workload):
            if self.choices:
                raise input_error(
                    "a space has its own choices", path="choices", expected="a network"
                )
            return self.workload
        if not self.choices:
            expected = "such as {'weight_bits': [2, 4, 8]}"
            raise input_error("nothing is decided", path="choices", expected=expected)
        return configurations_of(
            self.workload, self.choices, share=self.share, precision=self.precision
        )

    def _goal(self, faults: FaultList) -> tuple[str, tuple[Constraint, ...]]:
        """Return the objective and the constraints."""
        levels = [f"{TRAFFIC}{memory.name}" for memory in _plain(self.device).memories]
        known = [*METRICS, *RATES, *LOSSES, *levels]
        lossless = self.accuracy is None
        goal = self.objective or ("latency_s" if lossless else "accuracy_drop")
        if goal in LOSSES and lossless:
            message = f"'{goal}' of what? no accuracy model is given"
            expected = "perfmodel.search.accuracy: table, sqnr, hawq, fitted, calibrated ..."
            faults.append(Fault(message, path="accuracy", expected=expected))
        else:
            faults += not_among(f"no objective is called '{goal}'", goal, known, "objective")
        constraints = faults.trying(parse_constraints, self.constraints, known) or ()
        if lossless and any(c.metric in LOSSES for c in constraints):
            message = "a loss is limited and no accuracy model is given"
            expected = "perfmodel.search.accuracy: table, sqnr, hawq ..."
            faults.append(Fault(message, path="accuracy", expected=expected))
        return goal, constraints


def _plain(device: Device | Machine) -> Device:
    return device.device if isinstance(device, Machine) else device
