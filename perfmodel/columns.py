"""Unit, dimension and preferred direction of a table column, derived from its name.

``latency_s`` is a time in seconds of which less is better; ``tokens_per_s`` is a rate of which more
is better; ``memories.dram.bandwidth`` is a fact in B/s. Tables, conditions and charts use these
rules, so that a metric needs no declaration beyond its name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from perfmodel.units import DIMENSIONS

#: Pseudo dimensions of columns without physical quantities.
TEXT: Final = "text"
TRUTH: Final = "truth"
RATE: Final = "rate"

#: Column of the basis of a row, and its value for lower bounds.
BASIS: Final = "basis"
BOUND: Final = "bound"

# Longest first: `bandwidth_bytes_per_s` is neither a time nor a plain rate.
_DIMENSION_OF_SUFFIX: Final = (
    ("_bytes_per_s", "bandwidth"),
    ("_per_s", RATE),
    ("_bytes", "bytes"),
    ("_usd", "price"),
    ("_kg", "mass"),
    ("_celsius", "temperature"),
    ("_hz", "frequency"),
    ("_mm2", "silicon"),
    ("_m2", "area"),
    ("_s", "time"),
    ("_j", "energy"),
    ("_w", "power"),
)
#: Metrics whose unit stands first, since what they are divided by has none.
_DIMENSION_OF_PREFIX: Final = (("usd_per_", "price"), ("carbon_kg_per_", "mass"))
_DIMENSION_OF_FACT: Final = {
    "bandwidth": "bandwidth",
    "capacity": "bytes",
    "reserved": "bytes",
    "latency": "time",
    "launch_overhead": "time",
    "handover": "time",
    "per_run": "time",
    "per_operator": "time",
    "per_subgraph": "time",
    "per_layer_clocks": "clocks",
    "per_sequence": "time",
    "per_prompt": "time",
    "per_layer_parallel": "time",
    "clock": "frequency",
    "units": "count",
    "energy_per_byte": "energy_per_byte",
    "idle": "power",
    "busy": "power",
    "background_power": "power",
    "node": "length",
    "thermal_resistance": "thermal_resistance",
    "heat_capacity": "heat_capacity",
    "chip_resistance": "thermal_resistance",
    "chip_heat_capacity": "heat_capacity",
    "chip_limit": "temperature",
    "ambient": "temperature",
    "limit": "temperature",
    "speed_exponent": "count",
    "battery": "energy",
    "area": "area",
    "price": "price",
    "electricity_price": "energy_price",
    "carbon_intensity": "carbon_intensity",
    "power_usage_effectiveness": "fraction",
    "lifetime": "time",
    "utilization": "fraction",
    "volume": "count",
    "sustained_fraction": "fraction",
}
_DIMENSION_OF_SECTION: Final = {
    "peaks": "compute",
    "vector_peaks": "compute",
    "energy_per_op": "energy_per_op",
    "efficiency": "fraction",
}
_MORE_IS_BETTER: Final = (
    *("utilization", "feasible", "accuracy", "sqnr_db"),
    *("burst_s", "sustained_speed", "battery_hours"),
)


@lru_cache(maxsize=4096)
def dimension_of(name: str) -> str:
    """Return the physical dimension of a column.

    Parameters
    ----------
    name : str
        Metric (``latency_s``) or path of a fact (``memories.dram.bandwidth``).

    Returns
    -------
    str
        Key of `perfmodel.units.DIMENSIONS`, ``"rate"``, or ``""`` if the name does not imply one.
    """
    if "." in name:
        parts = name.split(".")
        return _DIMENSION_OF_SECTION.get(parts[-2], "") or _DIMENSION_OF_FACT.get(parts[-1], "")
    if name == "utilization":
        return "fraction"
    by_end = (d for suffix, d in _DIMENSION_OF_SUFFIX if name.endswith(suffix))
    by_start = (d for prefix, d in _DIMENSION_OF_PREFIX if name.startswith(prefix))
    return next(by_end, next(by_start, ""))


def unit_of(name: str, dimension: str | None = None) -> str:
    """Return the SI unit of a column; ``""`` for dimensionless numbers and texts."""
    quantity = dimension_of(name) if dimension is None else dimension
    if quantity == RATE:
        return "1/s"
    unit = DIMENSIONS[quantity].unit if quantity in DIMENSIONS else ""
    return "" if unit == "1" else unit


def more_is_better(name: str) -> bool:
    """Return whether larger values are better: rates, utilization, accuracy, time on a charge."""
    return (
        name.endswith("_per_s") and name != "required_bandwidth_bytes_per_s"
    ) or name in _MORE_IS_BETTER
