"""The words `pm.space` and `pm.search`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from perfmodel.asked import remembered
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.solvers import with_solver
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.settings import FaultList, gathered
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.search.declared import SearchProblem
    from perfmodel.search.result import SearchResult
    from perfmodel.search.run import SearchMethod
    from perfmodel.search.space import ConfigurationSpace
    from perfmodel.search.space.choices import Share
    from perfmodel.workload.nas_spaces import ArchitectureSpace

#: What a problem says first in the path of a fault, and the question does not.
_HEAD: Final = re.compile(r"(?:workload|device)(?:\.|$)")


def space(
    what: str | WorkloadLike,
    choices: Mapping[str, Any] | None = None,
    *,
    share: Share | None = None,
    precision: str | Precision | None = None,
    **settings: Any,  # open-ended: which there are is the space's to say
) -> ArchitectureSpace | ConfigurationSpace:
    """Return a space of architectures, or of configurations of one network.

    Parameters
    ----------
    what
        A space of architectures by name (``nas_bench_201``, ``fbnet``, ``ofa_mobilenet_v3``,
        ``mcunet``); with `choices` a network: an object, a name of the library, or a path.
    choices
        What is decided; as for `perfmodel.search.space.configurations_of`.
    share, precision
        With `choices`: which layers decide together, and the formats of what is not decided.
    **settings
        Input size, classes ... of a space of architectures.

    Raises
    ------
    InputError
        Every unknown name, setting, choice and option at once.
    """
    of_choices: dict[str, Any] = {"share": share, "precision": precision}
    of_choices = {name: value for name, value in of_choices.items() if value is not None}
    if choices is None:
        from perfmodel.workload.nas_spaces import space as named

        return named(str(what), **settings, **of_choices)
    if settings:
        raise InputError(
            no_such(f"a space of choices has no '{name}'", name, ("share", "precision"), name)
            for name in settings
        )
    from perfmodel.search.space import configurations_of

    network = what if isinstance(what, Workload) else find(what, {})
    return configurations_of(network, choices, **of_choices)


@remembered
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
        the whole problem, beside which only the method, its limits and its seed are given. In
        Python also an object.
    device
        A device of the library, or a path to a spec file (.yaml).
    choices
        What is decided, and its options: weight_bits, weight_format, sparsity, activation_bits,
        kv_bits, channels, precision, parameters of the workload, facts of the device.
    constraints
        Limits such as "latency_s <= 5 ms", "peak_memory_bytes <= 512 KiB", "frames_per_s >= 30".
    objective
        What is to be small: a metric, or accuracy_drop, which needs an accuracy. By default
        accuracy_drop where there is one, else latency_s.
    accuracy
        Where the loss comes from: sqnr[:WEIGHTS] (noise of real weights, .onnx or .safetensors),
        table:FILE (losses by layer and option; for architectures their accuracies), hawq:FILE
        (traces). In Python also an accuracy model such as ``pm.accuracy.sqnr("net.onnx")``; for
        architectures a callable.
    calibration
        File of activations, for sqnr of activation formats.
    share
        Which layers decide together: layer (each by itself), block, kind or network.
    evaluations
        How many networks evolution evaluates.
    set, precision, runtime, engine, model, warm
        As for `predict`.
    method
        exact (tables, with a proof), exhaustive, evolve (NSGA-II), or auto: the first of these that
        can.
    solver
        Solver of integer programmes: highs, or any that PuLP finds here (cbc, gurobi, scip). One
        that is stopped proves nothing by itself.
    time_limit_s
        Seconds after which the best so far is the answer, with its gap. In Python None is no limit.
    seed
        Seed of evolution and of what is drawn.

    Returns
    -------
    SearchResult
        ``best``, ``proved`` (of ``model``), ``front``, prices of the limits. Where nothing
        satisfies the constraints, ``infeasible`` says why and what would open it.

    Raises
    ------
    InputError
        Every fault of the input at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> r = pm.search("resnet18", "edge_tpu", choices={"weight_bits": [4, 8]}, share="network")
    >>> r.proved
    True
    """
    # What is imported and read counts as well.
    since = monotonic()
    from perfmodel.search.declared import SearchProblem

    faults = gathered()
    how: dict[str, Any] = {
        "method": method,
        "time_limit_s": time_limit_s,
        "evaluations": evaluations,
        "seed": seed,
    }
    what: dict[str, Any] = {
        "choices": choices,
        "constraints": constraints or None,
        "objective": objective or None,
        "accuracy": accuracy,
        "precision": precision,
        "runtime": runtime,
        "engine": engine,
        "model": model,
        "warm": warm or None,
    }
    if device is None:
        beside = {**what, "calibration": calibration, "set": set}
        stated = [name for name, value in beside.items() if value is not None]
        problem = faults.trying(_declared, workload, stated, how)
        if problem is None:
            raise InputError(faults)
        return problem.search(faults, since)
    if isinstance(accuracy, str):
        what["accuracy"] = _source(accuracy, calibration, faults)
    elif calibration is not None:
        faults.append(
            Fault(
                "a calibration without accuracy", "calibration", expected="accuracy sqnr[:WEIGHTS]"
            )
        )
    limits = [constraints] if isinstance(constraints, str) else [*constraints]
    given = {name: value for name, value in what.items() if value is not None}
    problem = SearchProblem(
        workload,
        device,
        dict(set or {}),
        place=_called,
        share=share,
        **{**given, "constraints": tuple(limits)},
        **how,
    )
    return problem.search(faults, since)


def _source(accuracy: str, calibration: str | Path | None, faults: FaultList) -> Any:
    """Return the source that a text names; where it is at fault, one that is never asked."""
    from perfmodel.search.sources import parse_source

    path = None if calibration is None else Path(calibration)
    return faults.trying(parse_source, accuracy, path) or _no_loss


def _no_loss(choices: Any) -> Any:
    raise AssertionError(f"no loss of {choices}")


def _declared(file: Any, stated: list[str], how: Mapping[str, Any]) -> SearchProblem:
    """Return the problem of a file, searched as is asked here where that is not the default."""
    from perfmodel.search.declared import SearchProblem
    from perfmodel.search.problem_file import load

    problem = load(file, stated)
    own = {
        name: value
        for name, value in how.items()
        if value != SearchProblem.__dataclass_fields__[name].default
    }

    def placed(fault: Fault) -> Fault:
        return fault if fault.path in own or problem.place is None else problem.place(fault)

    return replace(problem, **own, place=placed)


def _called(fault: Fault) -> Fault:
    """Name a place of a problem as the question does."""
    return replace(fault, path=_HEAD.sub("", fault.path, count=1))
