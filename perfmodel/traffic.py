"""Public function `traffic`: least traffic of a network over buffer capacity, for any machine.

Every layer with a loop nest is tiled for a buffer of a given capacity, and the tile with the least
bytes across the edge of the buffer is taken (`perfmodel.cost.tiled_traffic`). The result is
compared with the compulsory traffic (every operand once) and with a lower bound over all tilings
(`perfmodel.cost.tiled_lower_bounds`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from perfmodel.arrays import Value
from perfmodel.axes import make_axis
from perfmodel.cost.nest_row_sums import RowSums
from perfmodel.cost.setting import Setting
from perfmodel.cost.tiled_lower_bounds import nest_bounds
from perfmodel.cost.tiled_traffic import Tiled, tiled_traffic
from perfmodel.cost.traffic.nest import Allocation, Buffering, Conventions, Halo
from perfmodel.deprecation import deprecated_settings
from perfmodel.errors import Fault, nearest
from perfmodel.formats import Precision, as_precision
from perfmodel.resolve import WorkloadLike, workload_of
from perfmodel.settings import FaultList, gathered
from perfmodel.table import Table
from perfmodel.workload.lower import lower
from perfmodel.workload.operator_table import OperatorTable
from perfmodel.workload.workload import Workload

#: Capacity of a buffer that holds any network, in bytes.
_UNLIMITED_BYTES = 1e18
#: Largest accepted width of a partial sum, in bytes.
_MAX_PARTIAL_BYTES = 64.0


@deprecated_settings
def traffic(
    workload: WorkloadLike,
    capacity: Any,
    *,
    buffering: Buffering = "double",
    halo: Halo = "refetched",
    allocation: Allocation = "even",
    partial_bytes: float = 4.0,
    keep: float = 0.0,
    layers: bool = False,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
) -> Table:
    """Return the least bytes that a network moves across the edge of a buffer.

    Parameters
    ----------
    workload
        As for `predict`. Every free dimension must be a number.
    capacity
        Capacity of the buffer in bytes: a number, a size with its unit ("64 KiB"), a list ("16
        KiB,64 KiB") or a range (2**14..2**22). In Python also an array.
    buffering
        double: the next tile is fetched while the current one is used; or single.
    halo
        refetched: inputs that neighbouring tiles share are fetched again; kept: they stay in the
        buffer.
    allocation
        even: all operands use the same tile sizes; uneven: one operand may keep a full panel.
    partial_bytes
        Bytes of a partial sum.
    keep
        Share of the buffer that activations may keep between layers; 0 treats every layer by
        itself.
    layers
        Return one row per layer and capacity instead of one per capacity.
    set
        Parameters of the workload, such as batch=8.
    precision
        As for `predict`. By default those stored in the model file, else int8.

    Returns
    -------
    Table
        ``capacity_bytes``, ``traffic_bytes`` (infinite where not even the smallest tile fits),
        ``bound_bytes`` (what no tiling of the layers one by one can beat; not with `keep`),
        ``compulsory_bytes`` (each layer's operands once), ``times_compulsory`` and
        ``macs_per_byte``; of layers also their names and the parts of the traffic (``other_bytes``
        is what lies outside loop nests: bias, residual input, pooling); ``model`` names the
        conventions that the figures hold under.

    Raises
    ------
    InputError
        Every fault at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> table = pm.traffic("resnet18", "64 KiB,1 MiB", halo="kept")
    >>> table["capacity_bytes"].tolist()
    [65536.0, 1048576.0]
    """
    faults = gathered()
    network = faults.trying(workload_of, workload, set or {})
    formats = faults.trying(_precision, precision, network)
    axis = faults.trying(make_axis, "capacity", capacity, "bytes")
    sizes = np.asarray(axis.values if axis else [1.0], dtype=float)
    if axis is not None and (axis.interval is not None or not np.all(sizes > 0)):
        faults.append(
            Fault(
                "is not a list of sizes above zero",
                "capacity",
                expected='bytes, such as "64 KiB" or "16 KiB,1 MiB"',
            )
        )
    rule = _conventions(buffering, halo, allocation, faults)
    if not 0 <= keep < 1:
        faults.append(Fault(f"{keep:g} is not a share", "keep", expected="0 to below 1"))
    if not 0 < partial_bytes <= _MAX_PARTIAL_BYTES:
        wanted = f"bytes of an element, above 0 and at most {_MAX_PARTIAL_BYTES:g}"
        faults.append(Fault(f"{partial_bytes:g} is not a width", "partial_bytes", expected=wanted))
    if network is not None:
        faults += _workload_faults(network)
    faults.settle()
    assert network is not None
    assert formats is not None
    lowered = lower(network.graph(), tagged=bool(formats.weights.overrides))

    def tiled_at(values: Any) -> tuple[OperatorTable, Tiled]:
        table = lowered.bind(network.parameters, len(values), nests=True)
        facts = {"memories.buffer.capacity": values, "memories.far.capacity": _UNLIMITED_BYTES}
        setting = Setting(facts, "", ("buffer", "far"), "far", formats)
        return table, tiled_traffic(table, setting, rule, partial=partial_bytes, keep=keep)

    sizes = np.sort(sizes)
    table, tiled = tiled_at(sizes)
    _, least = tiled_at(np.array([_UNLIMITED_BYTES]))
    facts = {"memories.buffer.capacity": sizes, "memories.far.capacity": _UNLIMITED_BYTES}
    setting = Setting(facts, "", ("buffer", "far"), "far", formats)
    bound = _bound(table, least, nest_bounds(table, setting, rule, sizes, partial_bytes))
    columns = _layers if layers else _network
    filled = columns(table, tiled, least, bound if not keep else None, sizes)
    filled["model"] = np.full(len(filled["capacity_bytes"]), tiled.model, dtype=object)
    return Table(filled)


def _workload_faults(network: Workload) -> list[Fault]:
    """Return the faults of a network without loop nests, and of dimensions with many values."""
    faults = [
        Fault("has many values", name, expected="one number")
        for name, value in network.parameters.items()
        if np.ndim(value)
    ]
    if not any(operator.nests for _, operator in network.graph().walk()):
        message = f"'{network.name}' has no loop nest to tile: it multiplies nothing"
        faults.insert(0, Fault(message, "workload"))
    return faults


def _precision(precision: str | Precision | None, workload: Workload | None) -> Precision:
    own = workload.precision if workload is not None else ""
    return as_precision(precision if precision is not None else own or "int8")


def _conventions(buffering: str, halo: str, allocation: str, faults: FaultList) -> Conventions:
    """Return the conventions of a tiling; unknown values are faults."""
    choices = {
        "buffering": (buffering, Buffering),
        "halo": (halo, Halo),
        "allocation": (allocation, Allocation),
    }
    good: dict[str, Any] = {}
    for name, (value, kind) in choices.items():
        known = get_args(kind)
        if value in known:
            good[name] = value
        else:
            faults.append(
                Fault(
                    f"unknown value '{value}'",
                    name,
                    suggestion=nearest(value, known),
                    expected=f"one of {', '.join(known)}",
                )
            )
    return Conventions(**good)


def _over_points(values: Value, points: int) -> Any:
    return np.broadcast_to(np.asarray(values, dtype=float), (len(values), points))


def _ratios(bytes_: Any, least: Any, macs: Any) -> dict[str, Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"times_compulsory": bytes_ / least, "macs_per_byte": macs / bytes_}


def _bound(table: OperatorTable, least: Tiled, nests: Any) -> Any:
    """Return the lower bound of each row: that of its nests, plus bytes outside nests once."""
    index = table.nests
    assert index is not None
    rows = RowSums(index.row, len(table.rows), np)
    inside = rows(least.nests.input + least.nests.weight + least.nests.output)
    return least.traffic["far"] - inside + rows(nests)


def _network(
    table: OperatorTable, tiled: Tiled, least: Tiled, bound: Any, sizes: Any
) -> dict[str, Any]:
    """Return the columns of the network: sums over the layers at each capacity."""
    bytes_ = (table.count * tiled.traffic["far"]).sum(axis=0)
    once = np.full(len(sizes), float((table.count * least.traffic["far"]).sum()))
    macs = float((table.count * table.macs)[:, 0].sum())
    return {
        "capacity_bytes": sizes,
        "traffic_bytes": np.broadcast_to(bytes_, sizes.shape),
        **({} if bound is None else {"bound_bytes": (table.count * bound).sum(axis=0)}),
        "compulsory_bytes": once,
        **_ratios(bytes_, once, macs),
    }


def _layers(
    table: OperatorTable, tiled: Tiled, least: Tiled, bound: Any, sizes: Any
) -> dict[str, Any]:
    """Return the columns with one row per capacity and layer."""
    points, rows = len(sizes), len(table.rows)
    bytes_ = _over_points(tiled.traffic["far"], points)
    once = _over_points(least.traffic["far"], points)
    macs = _over_points(table.macs, points)
    nests = table.nests
    assert nests is not None
    by_row = RowSums(nests.row, rows, np)
    columns: dict[str, Any] = {}
    others = np.array(bytes_)
    for name in ("input", "weight", "output"):
        part = by_row(_over_points(getattr(tiled.nests, name), points))
        with np.errstate(invalid="ignore"):
            others -= part
        columns[f"{name}_bytes"] = part.T.reshape(-1)
    # Bytes outside loop nests: bias, residual input, pooling; residues of cancellation are removed.
    others = np.where(np.abs(others) < 1e-9 * bytes_, 0.0, others)
    columns["other_bytes"] = np.nan_to_num(others, nan=0.0).T.reshape(-1)
    return {
        "name": np.array([row.name for row in table.rows] * points, dtype=object),
        "kind": np.array([row.kind for row in table.rows] * points, dtype=object),
        "count": np.tile(np.asarray(table.count, dtype=float)[:, 0], points),
        "capacity_bytes": np.repeat(sizes, rows),
        "traffic_bytes": bytes_.T.reshape(-1),
        **columns,
        **({} if bound is None else {"bound_bytes": bound.T.reshape(-1)}),
        "compulsory_bytes": once.T.reshape(-1),
        **{k: v.T.reshape(-1) for k, v in _ratios(bytes_, once, macs).items()},
    }
