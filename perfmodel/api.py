"""The face: the words that ``import perfmodel as pm`` offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from perfmodel.formats import Precision, as_precision
from perfmodel.hardware import library as devices
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.predict import predict as core_predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve
from perfmodel.workload import library as workloads
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.calibrate import Calibration
    from perfmodel.compare import Comparison
    from perfmodel.plan import Plan
    from perfmodel.schedule.allocate import Allocation, Lifetime
    from perfmodel.schedule.assign import DeviceAssignment
    from perfmodel.schedule.curve import Curve
    from perfmodel.schedule.place import PlacementResult
    from perfmodel.schedule.result import Schedule
    from perfmodel.schedule.stream import StreamResult
    from perfmodel.schedule.tiling.face import PatchResult
    from perfmodel.solve import Solution
    from perfmodel.table import Table

__all__ = [
    "allocate",
    "assign",
    "calibrate",
    "compare",
    "hardware",
    "patches",
    "place",
    "precision",
    "predict",
    "reproduce",
    "runtime",
    "schedule",
    "solve",
    "stream",
    "sweep",
    "traffic",
    "validate",
    "workload",
]


def hardware(name: str | Path | Device, directories: Iterable[str | Path] = ()) -> Device:
    """Return a device.

    Parameters
    ----------
    name
        A name or alias of the library (``hardware.list()``), or a path to a spec file.
    directories
        More folders of spec files; theirs win over the library's.

    Raises
    ------
    InputError
        An unknown name, or every fault of the file.
    """
    return devices.hardware(name, directories)


def runtime(name: str | Path | Runtime, directories: Iterable[str | Path] = ()) -> Runtime:
    """Return a runtime by name or path; as `hardware`."""
    return devices.runtime(name, directories)


def precision(text: str | Precision) -> Precision:
    """Return the formats of weights, activations and KV cache that a text stands for.

    Parameters
    ----------
    text
        ``fp16``, ``q4_k_m``, ``w4a16kv8``, ``w=q4_0,a=fp16,kv=q8_0``.

    Raises
    ------
    InputError
        The text is none of these.
    """
    return as_precision(text)


def workload(name: WorkloadLike, **settings: Any) -> Workload:
    """Return a workload.

    Parameters
    ----------
    name
        A name of the library (``workload.list()``), or a path: ``.yaml``, ``.onnx``, a
        Hugging Face ``config.json``, or an operator graph ``.json``.
    **settings
        Free dimensions (``batch=8``, numbers or arrays) and fields of the structure
        (``phase="decode"``).

    Raises
    ------
    InputError
        An unknown name, faults of the file, or settings that it does not have.
    """
    if isinstance(name, Workload):
        return name.bind(settings) if settings else name
    return workloads.find(name, settings)


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


@overload
def schedule(
    workload: WorkloadLike, device: DeviceLike | None = None, *, capacity: float | None = None,
    set: Mapping[str, Any] | None = None, **options: Any,
) -> Schedule: ...  # fmt: skip


@overload
def schedule(
    workload: WorkloadLike, device: DeviceLike | None = None, *, capacity: str,
    set: Mapping[str, Any] | None = None, **options: Any,
) -> Schedule | Curve: ...  # fmt: skip


@overload
def schedule(
    workload: WorkloadLike, device: DeviceLike | None = None, *,
    capacity: Iterable[float] | list[Any] | tuple[Any, ...],
    set: Mapping[str, Any] | None = None, **options: Any,
) -> Curve: ...  # fmt: skip


def schedule(
    workload: WorkloadLike,
    device: DeviceLike | None = None,
    *,
    capacity: str | float | Iterable[str | float] | None = None,
    set: Mapping[str, Any] | None = None,
    **options: Any,
) -> Schedule | Curve:
    """Find the order of a network's operators, what stays on chip, and where each tensor lies.

    Parameters
    ----------
    workload
        An object, a name of the library, or a path; an operator graph with sizes alone too.
    device
        A device, its name or a path; may be left out where a capacity is stated.
    capacity
        Bytes for activations, or a text with a unit (``"256 KiB"``); a list, or a range
        (``"64 KiB..1 MiB"``, doubling), gives a curve.
    set
        Facts of the device and parameters of the workload, by name.
    **options
        As for `perfmodel.schedule.run.schedule`: ``method`` (``greedy``, ``beam``, ``ilp``,
        ``exact``), ``objective`` (``bytes``, ``latency_s``, ``energy_j``, ``peak``), ``memory``,
        ``precision``, ``runtime``, ``weights``, ``time_limit_s`` ...

    Returns
    -------
    Schedule or Curve
        What does not fit is a result too: ``s.infeasible`` says why and what would help.

    Raises
    ------
    InputError
        Every fault of the input at once.
    """
    from perfmodel.schedule.face import schedule as run

    return run(workload, device, capacity=capacity, settings=set, **options)


def assign(
    workload: WorkloadLike, devices: DeviceLike | Iterable[DeviceLike], **options: Any
) -> DeviceAssignment:
    """Find the engine of every operator, on one device or over several, with a proof or a bound.

    Parameters
    ----------
    workload, devices
        Objects, names of the library, or paths; one device or several.
    **options
        As for `perfmodel.schedule.assign.run.assign`: ``objective`` (``latency_s``,
        ``throughput``), ``parallel``, ``contiguous``, ``precision``, ``runtime``, ``engines``,
        ``link`` ...

    Raises
    ------
    InputError
        Every fault of the input. An operator that no engine runs is a result.
    """
    from perfmodel.schedule.assign import assign as run

    return run(workload, devices, **options)


def place(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    set: Mapping[str, Any] | None = None,
    engine: str | None = None,
    **options: Any,
) -> PlacementResult:
    """Place weights and KV cache in the memories of a device, with a proof or a bound.

    Parameters
    ----------
    workload, device, precision, runtime, set, engine
        As for `predict`; one point.
    **options
        As for `perfmodel.schedule.place.place.place`: ``method``, ``objective``, ``levels``,
        ``capacities``, ``extra``, ``kv_levels``, ``pinned``, ``cached``, ``popularity``, ``by``,
        ``seconds``.
    """
    from perfmodel.schedule.place import place as run

    subject = resolve(workload, device, precision, runtime, set, engine)
    return run(subject.workload, subject.device, precision=subject.precision,
               runtime=subject.runtime, engine=subject.engine, **options)  # fmt: skip


def stream(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    precision: str | Precision | None = None,
    runtime: str | Runtime | None = None,
    set: Mapping[str, Any] | None = None,
    engine: str | None = None,
    **options: Any,
) -> StreamResult:
    """Stream the weights that do not stay in main memory while a workload runs.

    Parameters
    ----------
    workload, device, precision, runtime, set, engine
        As for `predict`; one point.
    **options
        As for `perfmodel.schedule.stream.stream.stream`: ``source``, ``memory``, ``depth``,
        ``keep``, ``spread``, ``cached``, ``popularity``, ``hit_fraction``, ``accuracy``,
        ``grouped``, ``runs``, ``seed``.
    """
    from perfmodel.schedule.stream import stream as run

    subject = resolve(workload, device, precision, runtime, set, engine)
    return run(subject.workload, subject.device, precision=subject.precision,
               runtime=subject.runtime, engine=subject.engine, **options)  # fmt: skip


def allocate(
    buffers: Iterable[Lifetime] | str | Path, capacity: str | float | None = None, **options: Any
) -> Allocation:
    """Give buffers with lifetimes offsets in one memory, such that none overlap.

    Parameters
    ----------
    buffers
        `perfmodel.schedule.allocate.Lifetime` of each, or the path of a CSV file with the columns
        ``id,lower,upper,size``.
    capacity
        Bytes, or a text with a unit; without it the lowest packing is looked for.
    **options
        As for `perfmodel.schedule.allocate.allocate`: ``time_limit_s``, ``seed``, ``alignment`` ...

    Returns
    -------
    Allocation
        Packed; infeasible, with a proof; or not found, with the height that was reached.

    Raises
    ------
    InputError
        Every fault of the input at once.
    """
    from perfmodel.schedule.allocate import allocate as run
    from perfmodel.schedule.target import bytes_of

    return run(buffers, None if capacity is None else bytes_of(capacity), **options)


def patches(
    workload: WorkloadLike, device: DeviceLike | None = None, **options: Any
) -> PatchResult:
    """Find the layers that run in patches, their grids, and what the halo costs.

    Parameters
    ----------
    workload, device
        Objects, names of the library, or paths; the device may be left out.
    **options
        As for `perfmodel.schedule.tiling.face.patches`: ``capacity``, ``objective`` (``offchip``,
        ``macs``, ``peak``), ``modes``, ``most_patched``, ``precision`` ...

    Raises
    ------
    InputError
        Every fault of the input at once.
    """
    from perfmodel.schedule.tiling.face import patches as run

    return run(workload, device, **options)


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

    return run(workload, a, b, **options)


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
        One row a point.

    Raises
    ------
    InputError
        Every fault of the input at once, before anything is computed or written.
    """
    from perfmodel.sweep import sweep as run

    return run(workloads, devices, set, **options)


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


def validate(names: str | Iterable[str] | None = None, **options: Any) -> Any:
    """Compare predictions with measured rows; as `perfmodel.validate.validate`."""
    from importlib import import_module

    chosen = [names] if isinstance(names, str) else names
    return import_module("perfmodel.validate").validate(chosen, **options)


def calibrate(
    device: DeviceLike | None, runtime: str | Path | Runtime | None, measurements: str | Path
) -> Calibration:
    """Fit multipliers of the seconds of each class to a few measured rows of a device.

    Parameters
    ----------
    device, runtime
        That the rows are of; ``None`` for those that they name.
    measurements
        A CSV file as `validate` takes it: ``model``, ``device``, ``latency_s`` ...

    Returns
    -------
    Calibration
        Its ``machine()`` is what `predict` takes; ``to_yaml()`` the text of a file.
    """
    from importlib import import_module

    found = hardware(device) if isinstance(device, str | Path) else device
    spec = found.device if isinstance(found, Machine) else found
    chosen = devices.runtime(runtime) if isinstance(runtime, str | Path) else runtime
    return import_module("perfmodel.validate.calibration").calibrate(measurements, spec, chosen)


def reproduce(names: str | Iterable[str] | None = None) -> Any:
    """Predict what published systems claim; as `perfmodel.reproduce.reproduce`."""
    from importlib import import_module

    return import_module("perfmodel.reproduce").reproduce(names)


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
