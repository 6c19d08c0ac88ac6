"""Weights and the least peak of activations of EmbBERT."""

from __future__ import annotations

import perfmodel as pm
from perfmodel.formats import as_precision
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.problem_from_graph import scheduling_problem
from perfmodel.workload import FusionRules


def memory_bytes(precision: str, kept_format: str = "") -> int:
    """Return the bytes of all weights and of the least peak of activations."""
    settings = {"kept_format": kept_format} if kept_format else {}
    workload = pm.workload("embbert", **settings)
    schedule = scheduling_problem(
        workload, as_precision(precision), FusionRules(flash_attention=False)
    )
    return schedule.weight_bytes + int(minimum_peak(schedule.problem).value)


def predicted() -> dict[str, float]:
    """Return claim -> megabytes or kilobytes."""
    return {
        "fp32_mb": memory_bytes("fp32") / 1e6,
        "quantised_kb": memory_bytes("w=int8,a=fp16", "fp16") / 1e3,
        "all_int8_kb": memory_bytes("w8a8") / 1e3,
    }
