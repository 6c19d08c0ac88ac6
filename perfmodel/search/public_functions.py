"""Public functions `pm.space` and `pm.search`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from perfmodel.call_record import records_call
from perfmodel.deprecation import deprecated_parameters
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.solvers import with_solver
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.settings import FaultList, gathered
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.search.search_problem import SearchMethod, SearchProblem
    from perfmodel.search.search_result import SearchResult
    from perfmodel.search.space import ConfigurationSpace
    from perfmodel.search.space.space_construction import Share
    from perfmodel.workload.nas_spaces import ArchitectureSpace

#: Head of a fault's path that the call does not have.
_HEAD: Final = re.compile(r"(?:workload|device)(?:\.|$)")


@deprecated_parameters(what="subject")
def space(
    subject: str | WorkloadLike,
    choices: Mapping[str, Any] | None = None,
    *,
    share: Share | None = None,
    precision: str | Precision | None = None,
    **settings: Any,  # open-ended: they depend on the space
) -> ArchitectureSpace | ConfigurationSpace:
    """Return a space of architectures, or of configurations of one network.

    Parameters
    ----------
    subject
        A space of architectures by name (``nas_bench_201``, ``fbnet``, ``ofa_mobilenet_v3``,
        ``mcunet``); with `choices` a network: an object, a name of the library, or a path.
    choices
        Decisions and their options; as for `perfmodel.search.space.configurations_of`.
    share, precision
        With `choices`: the scope of one decision, and the formats of everything undecided.
    **settings
        Settings of a space of architectures: input size, classes, ...

    Raises
    ------
    InputError
        For all unknown names, settings, choices and options at once.
    """
    pairs = {"share": share, "precision": precision}.items()
    choice_options: dict[str, Any] = {name: value for name, value in pairs if value is not None}
    if choices is None:
        from perfmodel.workload.nas_spaces import space as named

        return named(str(subject), **settings, **choice_options)
    if settings:
        raise InputError(
            no_such(f"a space of choices has no '{name}'", name, ("share", "precision"), name)
            for name in settings
        )
    from perfmodel.search.space import configurations_of

    network = subject if isinstance(subject, Workload) else find(subject, {})
    return configurations_of(network, choices, **choice_options)


@records_call
@with_solver
def search(
    workload: WorkloadLike | ArchitectureSpace | ConfigurationSpace,
    device: DeviceLike | None = None,
    *,
    choices: Mapping[str, Any] | None = None,
    constraints: str | Iterable[str] = (),
    objective: str = "",
    accuracy: Any = None,
    calibration: str | Path | None = None,
    share: Share = "layer",
    evaluations: int = 4000,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
    model: str | None = None,
    warm: bool = False,
    method: SearchMethod = "auto",
    solver: str = "highs",
    time_limit_s: float | None = 60.0,
    seed: int = 0,
) -> SearchResult:
    """Find the configuration, or the architecture, with the least objective under constraints.

    Parameters
    ----------
    workload
        A model of the library, a path, or a space of architectures (nas_bench_201, fbnet,
        ofa_mobilenet_v3, mcunet). Without a device: the path of a .yaml or .json file that declares
        the whole problem; only the method, its limits and its seed may then be given as options. In
        Python also an object.
    device
        A device of the library, or a path to a spec file (.yaml).
    choices
        What is decided, and its options: weight_bits, weight_format, sparsity, activation_bits,
        kv_bits, channels, precision, parameters of the workload, facts of the device.
    constraints
        Limits such as "latency_s <= 5 ms", "peak_memory_bytes <= 512 KiB", "frames_per_s >= 30".
    objective
        The metric to minimise, or accuracy_drop, which needs an accuracy model. By default
        accuracy_drop if there is an accuracy model, else latency_s.
    accuracy
        Accuracy model: sqnr[:WEIGHTS] (quantisation noise of the weights in an .onnx or
        .safetensors file), table:FILE (the loss of each option in each layer, or the accuracy of
        each architecture), hawq:FILE (Hessian traces). In Python also an accuracy model such as
        ``pm.accuracy.sqnr("net.onnx")``; for architectures a callable.
    calibration
        File of activations, for the quantisation noise (sqnr) of activation formats.
    share
        Which layers take the same option: layer (each decides by itself), block, kind or network.
    evaluations
        Number of networks that the evolutionary method evaluates.
    set, precision, runtime, engine, model, warm
        As for `predict`.
    method
        exact (tables of costs, with a proof), exhaustive, evolve (NSGA-II), or auto: the first of
        these that applies.
    solver
        Solver of integer programmes: highs, or any other that PuLP finds on this machine (cbc,
        gurobi, scip). A solver that is stopped by the time limit proves nothing.
    time_limit_s
        Seconds after which the best configuration found so far is returned, with its gap. In
        Python, None means no limit.
    seed
        Seed of the evolutionary method and of random samples.

    Returns
    -------
    SearchResult
        ``best``, ``proved`` (for ``model``), ``front``, prices of the limits. If no configuration
        satisfies the constraints, ``infeasible`` names conflicting limits and relaxations.

    Raises
    ------
    InputError
        For all faults of the input at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> r = pm.search("resnet18", "edge_tpu", choices={"weight_bits": [4, 8]}, share="network")
    >>> r.proved
    True
    """
    # The time limit includes imports and file reads.
    return _answer(vars(), monotonic())


#: Search settings that may accompany a problem file.
_HOW: Final = ("method", "time_limit_s", "evaluations", "seed")


def _answer(question: dict[str, Any], since: float) -> SearchResult:
    """Answer `search` from its parameters."""
    from perfmodel.search.search_problem import SearchProblem

    faults = gathered()
    del question["solver"]
    calibration, limits = question.pop("calibration"), question["constraints"]
    question["constraints"] = (limits,) if isinstance(limits, str) else tuple(limits)
    if question["device"] is None:
        problem = faults.trying(_declared, question, calibration)
        if problem is None:
            raise InputError(faults)
        return problem.search(faults, since)
    if isinstance(question["accuracy"], str):
        question["accuracy"] = _source(question["accuracy"], calibration, faults)
    elif calibration is not None:
        expected = "accuracy sqnr[:WEIGHTS]"
        faults.append(Fault("a calibration without accuracy", "calibration", expected=expected))
    question["set"] = dict(question["set"] or {})
    return SearchProblem(**question, place=_called).search(faults, since)


def _source(accuracy: str, calibration: str | Path | None, faults: FaultList) -> Any:
    """Return the accuracy source named by a text; after a fault, a placeholder."""
    from perfmodel.search.accuracy_sources import parse_source

    path = None if calibration is None else Path(calibration)
    return faults.trying(parse_source, accuracy, path) or _no_loss


def _no_loss(choices: Any) -> Any:
    raise AssertionError(f"no loss of {choices}")


def _declared(question: Mapping[str, Any], calibration: str | Path | None) -> SearchProblem:
    """Return the problem of a file, with the non-default search settings of the call."""
    from perfmodel.search.problem_file import load
    from perfmodel.search.search_problem import SearchProblem

    defaults = SearchProblem.__dataclass_fields__
    own = {name: question[name] for name in _HOW if question[name] != defaults[name].default}
    beside = {**question, "calibration": calibration, "share": question["share"] != "layer"}
    stated = [name for name in beside.keys() - {"workload", *_HOW} if beside[name]]
    problem = load(question["workload"], stated)

    def placed(fault: Fault) -> Fault:
        return fault if fault.path in own or problem.place is None else problem.place(fault)

    return replace(problem, **own, place=placed)


def _called(fault: Fault) -> Fault:
    """Return a fault with its path as in the call."""
    return replace(fault, path=_HEAD.sub("", fault.path, count=1))
