"""Live activations of a prediction: bytes resident in each memory at each step of the schedule.

The picture of memory use (`perfmodel.charts.memory_use`) draws them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perfmodel.arrays import first_number
from perfmodel.charts.prediction_point import Column, PredictionPoint
from perfmodel.cost.capacity import usable
from perfmodel.cost.residency import residency_needs
from perfmodel.cost.setting import Setting


class LiveActivations(NamedTuple):
    """Live activations per step.

    Attributes
    ----------
    by_level
        Memory -> bytes resident in it at each step, shape ``(steps,)``.
    largest
        Name and bytes of the largest live tensor at each step.
    home
        Tensor -> memory where it resides.
    """

    by_level: dict[str, Column]
    largest: list[tuple[str, float]]
    home: dict[str, str]

    @property
    def total(self) -> Column:
        """Bytes live at each step."""
        return np.sum(list(self.by_level.values()), axis=0)


def live_activations(subject: PredictionPoint) -> LiveActivations:
    """Return the live activations at each step of the order, by the memory where they reside.

    A tensor t with lifetime ``[first, last]`` is live at every step between the two, so that
    ``live bytes(step) = sum of bytes(t) over all t with first <= step <= last``.

    The memory follows the rule of `perfmodel.cost.residency`: an activation resides in the nearest
    memory whose capacity covers it together with every activation whose lifetime is not longer. The
    inputs and outputs of a network, and all tensors of a bare roofline, reside in main memory.
    """
    job, setting = subject.job, subject.setting
    table = job.lowered.bind(job.workload.parameters, 1, accesses=True, relaxed=job.relaxed)
    assert table.accesses is not None
    lifetimes = table.accesses.lifetimes
    steps = len(table.rows)
    by_level = {level: np.zeros(steps) for level in setting.levels}
    largest: list[tuple[str, float]] = [("", 0.0)] * steps
    home: dict[str, str] = {}
    if not lifetimes.names:
        return LiveActivations(by_level, largest, home)
    bits = np.array([float(np.asarray(setting.precision.bits(slot))) for slot in lifetimes.slots])
    sizes = np.asarray(table.accesses.sizes, dtype=float)[:, 0] * bits / 8.0
    required = residency_needs(lifetimes, sizes[:, None])[:, 0]
    graph = job.lowered.graph
    always_main = {*graph.inputs, *graph.outputs}
    main, capacities = setting.levels[-1], inner_capacities(setting)
    for name, (first, last), tensor_bytes, required_bytes in zip(
        lifetimes.names, lifetimes.intervals, sizes, required, strict=True
    ):
        inner = () if name in always_main or setting.bare else capacities.items()
        level = next((level for level, capacity in inner if required_bytes <= capacity), main)
        home[name] = level
        by_level[level][first : last + 1] += tensor_bytes
        for step in range(first, last + 1):
            if tensor_bytes > largest[step][1]:
                largest[step] = (name, float(tensor_bytes))
    return LiveActivations(by_level, largest, home)


def inner_capacities(setting: Setting) -> dict[str, float]:
    """Return the usable capacity in bytes of each memory except main memory."""
    return {level: first_number(usable(setting, level)) for level in setting.levels[:-1]}
