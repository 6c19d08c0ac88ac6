"""Tabulated segments of many forms: same kernels and tensor sizes, different operations.

A NAS-Bench-201 cell has thousands of forms, most of which differ only in the placement of
operations. `perfmodel.search.oracle.segment_forms` enumerates them; this module costs each distinct
kernel in all states of residency.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby

import numpy as np

from perfmodel.arrays import Value, first_number
from perfmodel.search.oracle.kernel_pricing import Floats, Priced
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.segment_forms import SegmentForms
from perfmodel.search.oracle.stretch_banks import Stretches
from perfmodel.search.oracle.stretch_graphs import NetworkStretch
from perfmodel.workload.fuse import fused_kernels
from perfmodel.workload.nas_spaces import Choice


def stretches_of_forms(
    forms: SegmentForms,
    build: Callable[[Choice], NetworkStretch],
    values: Mapping[str, Value],
    pricing: Pricing,
) -> Stretches:
    """Return the forms of one segment as stretches.

    Parameters
    ----------
    forms
        Forms of segments with the same structure.
    build
        Choice -> the segment under this choice, as a stretch.
    values
        Free dimension -> value.
    """
    activation_bytes = 0.0
    priced: list[Priced] = []
    # The last row stands for a missing kernel, which stores nothing.
    stored: list[tuple[float, ...]] = []
    for option, examples in groupby(forms.examples, key=lambda example: example[0]):
        steps = [step for _, step in examples]
        stretch = build(option)
        graph = stretch.graph
        table = pricing.bound(pricing.executed_part(stretch.surrounded), values, 1)
        priced.append(pricing.priced(table, [stretch.start + step for step in steps]))
        entering = graph.tensors[graph.inputs[0]]
        activation_bytes = first_number(pricing.stored({entering: 1}, values))
        fused = fused_kernels(graph, pricing.job.model.fusion)
        for kernel in (fused[step] for step in steps):
            read = [graph.tensors[name] for name in kernel.reads]
            stored.append(
                tuple(
                    first_number(
                        pricing.stored(
                            {t: kernel.block.stored for t in read if t.role in roles}, values
                        )
                    )
                    for roles in (("weight",), ("kv", "state"))
                )
            )

    def needs(lengths: tuple[int, ...]) -> Floats:
        return forms.needs(lengths) * activation_bytes

    by_kernel = np.array([*stored, (0.0, 0.0)])[forms.rows].sum(axis=1)
    peaks = forms.peaks[forms.shape] * activation_bytes
    return Stretches(
        priced,
        forms.rows,
        forms.shape,
        forms.ranges,
        forms.touched,
        forms.spans[forms.shape],
        needs,
        np.concatenate([by_kernel, peaks], axis=1)[:, None],
    )
