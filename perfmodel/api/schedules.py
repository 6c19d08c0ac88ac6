"""What runs where and when: schedules, assignments, placements, streams, addresses, patches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from perfmodel.asked import remember
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve

if TYPE_CHECKING:
    from perfmodel.schedule.allocate import Allocation, Lifetime
    from perfmodel.schedule.assign import DeviceAssignment
    from perfmodel.schedule.curve import Curve
    from perfmodel.schedule.place import PlacementResult
    from perfmodel.schedule.result import Schedule
    from perfmodel.schedule.stream import StreamResult
    from perfmodel.schedule.tiling.face import PatchResult


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
        ``exact``), ``objective`` (``bytes``, ``latency_s``, ``offchip_energy_j``, ``peak``),
        ``memory``, ``precision``, ``runtime``, ``weights``, ``time_limit_s`` ...

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

    found = run(workload, device, capacity=capacity, settings=set, **options)
    given = {"capacity": capacity, "set": set, **options}
    return remember(found, "schedule", (workload, device), given)


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
        ``throughput``), ``parallel``, ``contiguous``, ``precision``, ``runtime``, ``set``,
        ``engines``, ``link`` ...

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
