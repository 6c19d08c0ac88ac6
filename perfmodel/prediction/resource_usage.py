"""Share of each resource of an engine that a design for one network occupies.

Engines that are built for a network, such as a layer pipeline on an FPGA, occupy logic, multipliers
and block memory; share = used / available, and the design fits if no share exceeds 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from perfmodel.arrays import Value, first_number, namespace
from perfmodel.cost.capacity import resources

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction


#: Layers that the explanation of a resource names.
_LARGEST: Final = 4


def _resource_metric(resource: str, column: str, title: str) -> property:
    """Return a property with a column of a resource; ``None`` for engines without it.

    The ends of an amount that is known are the amount.
    """

    def value(prediction: Prediction) -> Value:
        usage = resource_usage(prediction).get(resource)
        return None if usage is None else usage.get(column, usage["used"])

    return property(value, doc=f"{title}; ``None`` where the engine takes no such design.")


class ResourceMetrics:
    """Metrics of designs that are made for a network: resources and pace of a pipeline."""

    lut = _resource_metric("lut", "used", "Look-up tables that the design takes")
    ff = _resource_metric("ff", "used", "Flip-flops that the design takes")
    dsp = _resource_metric("dsp", "used", "DSP slices that the design takes")
    bram = _resource_metric("bram", "used", "Memory blocks of 18 Kb that the design takes")
    uram = _resource_metric("uram", "used", "UltraRAM blocks that the design takes")
    lut_low = _resource_metric("lut", "low", "Fewest look-up tables, whatever the weights")
    lut_high = _resource_metric("lut", "high", "Most look-up tables, whatever the weights")
    ff_low = _resource_metric("ff", "low", "Fewest flip-flops, whatever the weights")
    ff_high = _resource_metric("ff", "high", "Most flip-flops, whatever the weights")
    dsp_low = _resource_metric("dsp", "low", "Fewest DSP slices, whatever the weights")
    dsp_high = _resource_metric("dsp", "high", "Most DSP slices, whatever the weights")
    lut_share = _resource_metric("lut", "share", "Share of the part's look-up tables")
    ff_share = _resource_metric("ff", "share", "Share of the part's flip-flops")
    dsp_share = _resource_metric("dsp", "share", "Share of the part's DSP slices")
    bram_share = _resource_metric("bram", "share", "Share of the part's memory blocks")
    uram_share = _resource_metric("uram", "share", "Share of the part's UltraRAM blocks")

    @property
    def resources(self) -> dict[str, dict[str, Value]]:
        """Resource of the engine (``lut``, ``dsp`` ...) -> ``used``, ``available``, ``share``.

        Empty for engines that are not configured for a network.
        """
        return resource_usage(cast("Prediction", self))

    @property
    def resource_share(self) -> Value:
        """Largest share of any resource, at most 1 if all fit; ``None`` without resources."""
        return largest_share(self.resources) if self.resources else None

    @property
    def interval_s(self) -> Value:
        """Initiation interval of a pipeline, in seconds; ``None`` for a machine without one."""
        prediction = cast("Prediction", self)
        interval = prediction.totals.get("interval_s")
        return None if interval is None else prediction.shaped(interval)

    @property
    def samples_per_s(self) -> Value:
        """Samples per second that a pipeline accepts; ``None`` for a machine without one."""
        return None if self.interval_s is None else 1.0 / self.interval_s


#: Names of the metrics of designs, which are no sums over rows.
DESIGN_METRICS: Final = frozenset(name for name in vars(ResourceMetrics) if name[0] != "_")


def resource_usage(prediction: Prediction) -> dict[str, dict[str, Value]]:
    """Return ``used``, ``available`` and their ratio ``share`` of each resource.

    Where the amount follows from weights that are not known, ``low`` and ``high`` are its ends.
    Each has the shape of the prediction.
    """
    usage: dict[str, dict[str, Value]] = {}
    for name, amounts in resources(prediction.totals, prediction.setting).items():
        xp = namespace(*amounts)
        used, available = map(xp.asarray, amounts)
        # Any use of a resource that a device lacks exceeds its capacity.
        share = xp.where(used > 0, used / xp.maximum(available, 1e-9), 0.0)
        columns = {"used": used, "available": available, "share": share}
        for end in ("low", "high"):
            if (amount := prediction.totals.get(f"resource {name} {end}")) is not None:
                columns[end] = amount
        usage[name] = {key: prediction.shaped(value) for key, value in columns.items()}
    return usage


def scarcest(usage: Mapping[str, Mapping[str, Value]]) -> str:
    """Return the resource with the largest share (of the first point); empty if there is none."""
    shares = {name: first_number(columns["share"]) for name, columns in usage.items()}
    return max(shares, key=lambda name: shares[name]) if shares else ""


def largest_share(usage: Mapping[str, Mapping[str, Value]]) -> Value:
    """Return the largest share of any resource: at most 1 if all fit; NaN without resources."""
    shares = [np.asarray(columns["share"], dtype=float) for columns in usage.values()]
    return np.max(np.broadcast_arrays(*shares), axis=0) if shares else float("nan")


def design_lines(prediction: Prediction, columns: Mapping[str, Any]) -> list[str]:
    """Return the interval and the resources of a pipeline as sums over its layers (one point).

    Parameters
    ----------
    columns
        Columns of the table of kernels; ``interval`` are clocks.
    """
    if prediction.interval_s is None:
        return []
    clocks, clock = columns["interval"], first_number(prediction.setting.clock)
    slowest = int(np.argmax(clocks))
    pace = f"{clocks[slowest]:.12g}/{clock:.12g} = {prediction.interval_s:.9g}"
    lines = ["", f"interval_s = {pace}", f"  (clocks of {columns['name'][slowest]})"]
    for name, use in prediction.resources.items():
        if not use["used"] or name not in columns:
            continue
        amounts = columns["count"] * columns[name]
        shown = [int(i) for i in np.argsort(-amounts, kind="stable")[:_LARGEST] if amounts[i]]
        terms, layers = [f"{amounts[i]:.12g}" for i in shown], [columns["name"][i] for i in shown]
        if abs(others := float(use["used"] - amounts[shown].sum())) > 1e-6:
            terms, layers = [*terms, f"{others:.12g}"], [*layers, "others"]
        lines.append(f"{name} = {' + '.join(terms)} = {use['used']:.9g}")
        lines.append(f"  ({', '.join(layers)})")
    return lines
