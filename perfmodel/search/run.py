"""Search: which configuration of a network, or which architecture, is best under limits."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline, OutOfTimeError
from perfmodel.search.accuracy import AccuracyModel
from perfmodel.search.constraints import RATES, parse_constraints
from perfmodel.search.loss import LOSSES
from perfmodel.search.oracle.reader import METRICS, TRAFFIC
from perfmodel.search.question import SearchQuery
from perfmodel.search.result import SearchResult
from perfmodel.search.space import ConfigurationSpace, configurations_of
from perfmodel.search.space.choices import Share
from perfmodel.workload.nas_spaces import ArchitectureSpace
from perfmodel.workload.workload import Workload

#: How: exact where costs are tables, every member where there are few, else evolution.
SearchMethod: TypeAlias = Literal["auto", "exact", "exhaustive", "evolve"]

METHODS: tuple[SearchMethod, ...] = ("auto", "exact", "exhaustive", "evolve")

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
    began = time.process_time()
    deadline = Deadline(None if time_limit_s is None else _SHARE * time_limit_s, since)
    faults: list[Fault] = []
    if method not in METHODS:
        faults.append(
            Fault(f"no method is called '{method}'", path="method",
                  expected=", ".join(METHODS), suggestion=nearest(method, METHODS))
        )  # fmt: skip
    space: Any = workload
    if isinstance(workload, Workload):
        if not choices:
            faults.append(Fault("nothing is decided", path="choices",
                                expected="such as {'weight_bits': [2, 4, 8]}"))  # fmt: skip
        else:
            try:
                space = configurations_of(workload, choices, share=share, precision=precision)
            except InputError as error:
                faults += error.faults
    elif choices:
        faults.append(Fault("a space has its own choices", path="choices", expected="a network"))
    known = [*METRICS, *RATES, *LOSSES]
    known += [f"{TRAFFIC}{m.name}" for m in _plain(device).memories]
    goal = objective or ("accuracy_drop" if accuracy is not None else "latency_s")
    if goal in LOSSES and accuracy is None:
        faults.append(
            Fault(f"'{goal}' of what? no accuracy model is given", path="accuracy",
                  expected="perfmodel.search.accuracy: table, sqnr, hawq, fitted, calibrated ...")
        )  # fmt: skip
    elif goal not in known:
        faults.append(
            Fault(f"no objective is called '{goal}'", path="objective",
                  expected=f"one of {', '.join(known)}", suggestion=nearest(goal, known))
        )  # fmt: skip
    try:
        limits = parse_constraints(constraints, known)
    except InputError as error:
        faults += error.faults
        limits = ()
    if accuracy is None and any(c.metric in LOSSES for c in limits):
        faults.append(
            Fault("a loss is limited and no accuracy model is given", path="accuracy",
                  expected="perfmodel.search.accuracy: table, sqnr, hawq ...")
        )  # fmt: skip
    if faults:
        raise InputError(faults)
    try:
        question = SearchQuery(
            space, device, goal, limits, accuracy,
            {"precision": precision, "runtime": runtime, "engine": engine, "model": model,
             "warm": warm, "settings": dict(settings or {})},
            time_limit_s, evaluations, seed, deadline=deadline,
        )  # fmt: skip
        return question.answer(method)
    except OutOfTimeError as late:
        note = f"time ran out when {late}: nothing is known; a longer time limit is needed"
        return SearchResult(
            space, _plain(device).name, goal, "", "", None, -math.inf, False, "nothing yet",
            "none", notes=(note,), seconds=time.process_time() - began,
        )  # fmt: skip


def _plain(device: Device | Machine) -> Device:
    return device.device if isinstance(device, Machine) else device
