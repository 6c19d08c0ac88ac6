"""The metrics of a prediction, declared once: each row says which answers have the metric.

A metric is an attribute of `Prediction` (an array over the points of an array-valued one; ``None``
or NaN where it does not apply). Its unit, dimension and preferred direction follow from its name
(`perfmodel.columns`). A row with `MetricRow.label` appears at a glance of a prediction where its
value is known.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from perfmodel.errors import Fault


class MetricRow(NamedTuple):
    """A metric, and the answers that have it.

    Attributes
    ----------
    name
        Attribute of a prediction, column of a sweep.
    answers
        Words of ``predict`` (JSON of a prediction, ``solve``), ``sweep`` (column by default),
        ``request`` (column of a sweep on request, or named in a condition, an objective or a
        front), ``compare``, ``search`` (tables of networks) and ``view`` (cards and pictures of a
        sweep).
    label
        Text before the value at a glance; empty for metrics that have their own line.
    facts
        End of the path of a fact: a metric on request is a column by default where a device has
        such a fact.
    unsearched
        Why a search cannot have the metric, and what it has instead.
    """

    name: str
    answers: str
    label: str = ""
    facts: str = ""
    unsearched: tuple[str, str] | None = None


#: Why a search has no ends of a resource.
_ENDS: Final = ("ends by weights are no sum over kernels", "an amount by expectation, such as lut")

#: All metrics, in the order of columns.
METRIC_ROWS: Final = (
    MetricRow("latency_s", "predict sweep compare search"),
    MetricRow("tokens_per_s", "predict sweep compare search"),
    MetricRow("frames_per_s", "predict sweep compare search"),
    MetricRow("ttft_s", "predict sweep compare search"),
    MetricRow("tpot_s", "predict sweep compare search"),
    MetricRow("energy_j", "predict sweep compare search"),
    MetricRow("power_w", "predict sweep compare search"),
    MetricRow("peak_memory_bytes", "predict sweep compare search"),
    MetricRow("weight_bytes", "predict sweep compare search"),
    MetricRow("kv_bytes", "predict sweep compare search"),
    MetricRow("activation_bytes", "predict sweep compare search"),
    MetricRow("arena_bytes", "predict sweep compare search"),
    MetricRow(
        "process_bytes",
        "predict sweep compare",
        unsearched=("copies of weights are no sum over kernels", "weight_bytes or arena_bytes"),
    ),
    MetricRow("traffic_bytes", "predict sweep compare search"),
    MetricRow("bandwidth_bytes_per_s", "predict sweep compare search"),
    MetricRow("required_bandwidth_bytes_per_s", "predict request compare search"),
    MetricRow("utilization", "predict sweep compare search"),
    MetricRow("macs", "predict sweep compare search"),
    MetricRow("cost_usd", "predict request compare search"),
    MetricRow("usd_per_million_tokens", "predict request compare search"),
    MetricRow("usd_per_inference", "predict request compare search"),
    MetricRow("carbon_kg", "predict request compare search"),
    MetricRow("carbon_kg_per_million_tokens", "predict request compare search"),
    MetricRow("carbon_kg_per_inference", "predict request compare search"),
    MetricRow("embodied_kg", "predict request compare search"),
    MetricRow("burst_s", "predict request compare search"),
    MetricRow("sustained_speed", "predict request compare search"),
    MetricRow("sustained_latency_s", "predict request compare search"),
    MetricRow("steady_celsius", "predict request compare search"),
    MetricRow("energy_per_period_j", "predict request compare search", facts="use.period"),
    MetricRow("average_power_w", "predict request compare search", facts="use.period"),
    MetricRow("battery_hours", "predict request compare search"),
    MetricRow("battery_share_in_an_hour", "predict request compare search"),
    MetricRow("bit_operations", "predict request compare search"),
    MetricRow(
        "parameters",
        "predict request compare",
        unsearched=("networks are told apart by their bytes and work", "weight_bytes or macs"),
    ),
    MetricRow(
        "active_parameters",
        "predict request compare",
        unsearched=("networks are told apart by their bytes and work", "weight_bytes or macs"),
    ),
    MetricRow("area_mm2", "predict request compare search view", label="area (blocks)"),
    MetricRow("leakage_w", "predict request compare search view", label="leakage"),
    MetricRow("interval_s", "predict request compare search"),
    MetricRow("samples_per_s", "predict request compare search"),
    MetricRow("lut", "predict request compare search"),
    MetricRow("ff", "predict request compare search"),
    MetricRow("dsp", "predict request compare search"),
    MetricRow("bram", "predict request compare search"),
    MetricRow("uram", "predict request compare search"),
    MetricRow("lut_low", "predict request compare", unsearched=_ENDS),
    MetricRow("lut_high", "predict request compare", unsearched=_ENDS),
    MetricRow("ff_low", "predict request compare", unsearched=_ENDS),
    MetricRow("ff_high", "predict request compare", unsearched=_ENDS),
    MetricRow("dsp_low", "predict request compare", unsearched=_ENDS),
    MetricRow("dsp_high", "predict request compare", unsearched=_ENDS),
    MetricRow("lut_share", "predict request compare search"),
    MetricRow("ff_share", "predict request compare search"),
    MetricRow("dsp_share", "predict request compare search"),
    MetricRow("bram_share", "predict request compare search"),
    MetricRow("uram_share", "predict request compare search"),
    MetricRow("resource_share", "predict request compare search", facts=".lut"),
)


def metrics_of(answer: str) -> tuple[str, ...]:
    """Return the names of the metrics that an answer has, in order; see `MetricRow.answers`."""
    return tuple(row.name for row in METRIC_ROWS if answer in row.answers.split())


def unsearched_fault(name: str, path: str) -> Fault | None:
    """Return the fault of a search for a metric that only other answers have; None for others.

    Parameters
    ----------
    path
        Where the search names it.
    """
    reasons = {row.name: row.unsearched for row in METRIC_ROWS if row.unsearched is not None}
    if name not in reasons:
        return None
    reason, expected = reasons[name]
    return Fault(f"a search has no {name}, as {reason}", path, expected=expected)


def labelled_metrics() -> dict[str, str]:
    """Return name -> label of the metrics that are shown at a glance by their label."""
    return {row.name: row.label for row in METRIC_ROWS if row.label}


#: Metrics that rest on measured energies, not on measured times.
ENERGIES: Final = frozenset({"energy_j", "power_w"})


def lacks_items(metric: str, unit: str) -> bool:
    """Return whether a metric counts items that a workload of a unit does not yield."""
    of_frames = metric.endswith("_per_inference") or metric == "frames_per_s"
    return of_frames if unit == "tokens" else "token" in metric
