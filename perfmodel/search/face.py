"""The words `pm.space` and `pm.search`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from perfmodel.asked import remember
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.search.result import SearchResult
    from perfmodel.search.space import ConfigurationSpace
    from perfmodel.workload.nas_spaces import ArchitectureSpace


def space(
    what: str | WorkloadLike, choices: Mapping[str, Any] | None = None, **settings: Any
) -> ArchitectureSpace | ConfigurationSpace:
    """Return a space of architectures, or of configurations of one network.

    Parameters
    ----------
    what
        A space of architectures by name (``nas_bench_201``, ``fbnet``, ``ofa_mobilenet_v3``,
        ``mcunet``); with `choices` a network: an object, a name of the library, or a path.
    choices
        What is decided; as for `perfmodel.search.space.configurations_of`.
    **settings
        Input size, classes ... of a space; with `choices` ``share`` and ``precision``.

    Raises
    ------
    InputError
        Every unknown name, setting, choice and option at once.
    """
    if choices is None:
        from perfmodel.workload.nas_spaces import space as named

        return named(str(what), **settings)
    from perfmodel.search.space import configurations_of

    network = what if isinstance(what, Workload) else find(what, {})
    return configurations_of(network, choices, **settings)


def search(
    workload: WorkloadLike | ArchitectureSpace | ConfigurationSpace,
    device: DeviceLike | None = None,
    *,
    choices: Mapping[str, Any] | None = None,
    constraints: str | Iterable[str] = (),
    objective: str = "",
    accuracy: Any = None,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    set: Mapping[str, Any] | None = None,
    engine: str | None = None,
    model: str | None = None,
    **options: Any,
) -> SearchResult:
    """Find the configuration, or the architecture, with the least objective under constraints.

    Parameters
    ----------
    workload
        A network (with `choices`), or a space (`space`). Alone: the path of a file that declares
        the whole problem (`perfmodel.search.problem_file`).
    device
        An object, a name of the library, or a path.
    choices
        What is decided -> its options: ``weight_bits``, ``sparsity``, ``activation_bits``,
        ``kv_bits``, ``channels``, ``precision``, parameters, facts of the device.
    constraints
        Such as ``["latency_s <= 5 ms", "peak_memory_bytes <= 512 KiB"]``.
    objective
        A metric, or ``accuracy_drop``, which needs `accuracy`.
    accuracy
        Where the loss comes from: ``pm.accuracy.sqnr("net.onnx")``, ``table``, ``hawq``,
        ``fitted``, ``calibrated``; for architectures a callable.
    precision, runtime, set, engine, model
        As for `predict`.
    **options
        As for `perfmodel.search.run.search`: ``share``, ``method``, ``time_limit_s``, ``seed`` ...

    Returns
    -------
    SearchResult
        ``best``, ``proved`` (of ``model``), ``front``, prices of the limits. Where nothing
        satisfies the constraints, ``infeasible`` says why and what would open it.

    Raises
    ------
    InputError
        Every fault of the input at once.
    """
    # What is imported and read counts as well.
    since = monotonic()
    from perfmodel.search.run import search as run
    from perfmodel.search.space import ConfigurationSpace
    from perfmodel.workload.nas_spaces import ArchitectureSpace

    beside: dict[str, Any] = {
        "choices": choices, "constraints": constraints or None, "objective": objective or None,
        "accuracy": accuracy, "precision": precision, "runtime": runtime, "set": set,
        "engine": engine, "model": model, **options,
    }  # fmt: skip
    if device is None:
        from perfmodel.search.problem_file import load

        stated = [name for name, value in beside.items() if value is not None]
        found = load(workload, stated).search(since=since)
        return remember(found, "search", (workload,), beside)
    if isinstance(workload, ArchitectureSpace | ConfigurationSpace):
        sample = workload.workload((0,) * len(workload.decisions))
        subject = resolve(sample, device, precision, runtime, set, engine, model)
        network: Any = workload
    else:
        subject = resolve(workload, device, precision, runtime, set, engine, model)
        network = subject.workload
    timed: dict[str, Any] = {"since": since, **options}
    found = run(
        network, subject.device, choices=choices, constraints=constraints, objective=objective,
        accuracy=accuracy, precision=subject.precision, runtime=subject.runtime,
        engine=subject.engine, model=subject.model, **timed,
    )  # fmt: skip
    return remember(found, "search", (workload, device), beside)
