"""What something costs: one prediction, two side by side, many, and where a limit is met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from perfmodel.asked import remember
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.predict import predict as core_predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve

if TYPE_CHECKING:
    from perfmodel.collective import Collective
    from perfmodel.compare import Comparison
    from perfmodel.plan import Plan
    from perfmodel.prediction.cited import Citations
    from perfmodel.solve import Solution
    from perfmodel.table import Table


def predict(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    set: Mapping[str, Any] | None = None,
    engine: str | None = None,
    model: str | None = None,
    fuse: bool | None = None,
    flash_attention: bool | None = None,
    relaxed: bool = False,
    warm: bool = False,
    plan: Plan | None = None,
) -> Prediction:
    """Predict what a workload costs on a device.

    Parameters
    ----------
    workload, device
        Objects, names of the library, or paths.
    precision
        Precision or its text, such as ``w4a16kv8``.
    runtime
        Runtime or its name; by default the device's.
    set
        More settings by name: facts of the device by path
        (``{"memories.main.bandwidth": "25 GB/s"}``), parameters of the workload
        (``{"batch": 8}``), ``weight_bits``, ``kv_bits``. Numbers may be arrays, which broadcast.
    engine, model, fuse, flash_attention, relaxed, warm, plan
        As for `perfmodel.predict.predict`.

    Returns
    -------
    Prediction
        Numbers where every input is a number; else arrays of their broadcast shape.

    Raises
    ------
    InputError
        Every fault of the input at once. A workload that does not fit is a result, not an error.
    """
    subject = resolve(workload, device, precision, runtime, set, engine, model)
    return core_predict(
        subject.workload, subject.device, precision=subject.precision, runtime=subject.runtime,
        engine=subject.engine, model=subject.model, fuse=fuse, flash_attention=flash_attention,
        relaxed=relaxed, warm=warm, plan=plan,
    )  # fmt: skip


def cite(
    subject: WorkloadLike | Prediction | Table, device: DeviceLike | None = None, **options: Any
) -> Citations:
    """Return the documents behind a result: equations, facts, constants of runtimes, networks.

    Parameters
    ----------
    subject
        A prediction; a table of a sweep; or a workload, with a device.
    device
        Device of the workload.
    **options
        As for `predict`, of a workload and a device.

    Returns
    -------
    Citations
        ``print`` it; ``bibtex()``, ``to_dict()``, ``references``.

    Raises
    ------
    InputError
        A workload without a device, a table without the columns that say what was predicted, or
        what `predict` refuses.
    """
    from perfmodel.prediction.cited import citations, merged

    if isinstance(subject, Prediction):
        return citations(subject)
    if hasattr(subject, "to_records"):
        cases = cited_cases(cast("Table", subject))
        found = [citations(predict(*case[:2], runtime=case[2], precision=case[3] or None))
                 for case in cases]  # fmt: skip
        noun = "result" if len(found) == 1 else "kinds of result"
        return merged(found, f"a table of {len(found)} {noun}")
    if device is None:
        raise input_error(
            "a workload without a device rests on nothing yet",
            expected="a device beside the workload, a prediction, or a table",
        )
    return citations(predict(cast("WorkloadLike", subject), device, **options))


def cited_cases(table: Table) -> list[tuple[str, str, str, str]]:
    """Return what a table predicts, each once: workload, device, runtime, precision.

    Raises
    ------
    InputError
        The table has no column of that name.
    """
    needed = ("workload", "device", "runtime", "precision")
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InputError([Fault(f"the table has no column '{name}'",
                                expected="a table of `sweep`") for name in missing])  # fmt: skip
    columns = [[str(text) for text in table[name]] for name in needed]
    return list(dict.fromkeys(zip(*columns, strict=True)))


def compare(
    workload: WorkloadLike | Prediction,
    a: DeviceLike | Prediction,
    b: DeviceLike | Prediction | None = None,
    **options: Any,
) -> Comparison:
    """Compare two predictions: what differs, and why, kernel by kernel.

    Parameters
    ----------
    workload, a, b
        A workload and two devices; or two predictions.
    **options
        As for `predict`, for both; a pair gives each its own: ``precision=("w16a16", "w4a16")``.
    """
    from perfmodel.compare import compare as run

    return remember(run(workload, a, b, **options), "compare", (workload, a, b), options)


def sweep(
    workloads: WorkloadLike | Iterable[WorkloadLike],
    devices: DeviceLike | Iterable[DeviceLike],
    set: Mapping[str, Any] | None = None,
    **options: Any,
) -> Table:
    """Predict at every point of a grid.

    Parameters
    ----------
    workloads, devices
        One or several; names, paths or objects. ``"tag:phone"`` stands for all devices with a tag.
    set
        Axis by name: an array or a list, or a text such as ``"2**9..2**15"``. Facts of devices,
        parameters of workloads, ``precision``, ``runtime``.
    **options
        As for `perfmodel.sweep.run.sweep`: ``where``, ``output``, ``executor``, ``resume``,
        ``zip``, ``sobol``, ``seed`` and what `predict` takes.

    Returns
    -------
    Table
        One row a point. Where a point cannot be predicted, its row has no numbers and a column
        ``reason`` says why.

    Raises
    ------
    InputError
        Every fault of the input at once, before anything is computed or written; or no point can
        be predicted.
    """
    from perfmodel.sweep import sweep as run

    given = {"set": set, **options}
    return remember(run(workloads, devices, set, **options), "sweep", (workloads, devices), given)


def solve(
    workload: WorkloadLike,
    device: DeviceLike,
    variable: str,
    until: str,
    **options: Any,
) -> Solution:
    """Find the value of one number at which a condition starts, or ceases, to hold.

    Parameters
    ----------
    workload, device
        As for `predict`.
    variable
        A fact of the device (``memories.main.bandwidth``) or a parameter of the workload.
    until
        A condition on metrics, such as ``"tokens_per_s >= 20"``.
    **options
        As for `predict`.
    """
    from perfmodel.solve import solve as run

    return run(workload, device, variable, until, **options)


def collective(
    name: str, message_bytes: Any, devices: Any, device: str | Device | Machine, **options: Any
) -> Collective:
    """Predict a collective between devices of a node; as `perfmodel.collective.collective`.

    Parameters
    ----------
    name
        ``all_reduce``, ``all_gather``, ``reduce_scatter``, ``all_to_all``.
    message_bytes
        Bytes of the whole message.
    devices
        How many take part.
    device
        Device, its name, or a machine with facts varied.
    options
        `runtime` (``nccl``, ``vllm_all_reduce`` ...), `link`, `set` (facts of the device by path).
    """
    from perfmodel.collective import collective as run

    return run(name, message_bytes, devices, device, **options)


def traffic(workload: WorkloadLike, capacity: Any, **options: Any) -> Table:
    """Return the least traffic against a buffer's capacity; as `perfmodel.traffic.traffic`.

    Parameters
    ----------
    capacity
        Bytes, a text with unit, or an axis of them.
    options
        `precision`, `buffering`, `halo`, `allocation`, `partial_bytes`, `keep`, `layers`; anything
        else is a parameter of the workload.
    """
    from perfmodel.traffic import traffic as run

    own = {"precision", "buffering", "halo", "allocation", "partial_bytes", "keep", "layers"}
    chosen = {name: value for name, value in options.items() if name in own}
    rest = {name: value for name, value in options.items() if name not in own}
    return run(workload, capacity, settings=rest, **chosen)
