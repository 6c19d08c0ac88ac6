"""Segments of very many forms: the same kernels on tensors of one size but for the operations.

A NAS-Bench-201 cell has thousands of forms, of which few differ in more than which operation stands
where. What they are is `perfmodel.search.oracle.forms`; here every distinct kernel is costed in all
states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby

import numpy as np

from perfmodel.arrays import Value, first_number
from perfmodel.search.oracle.banks import Stretches
from perfmodel.search.oracle.forms import SegmentForms
from perfmodel.search.oracle.fragment import NetworkStretch
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Priced
from perfmodel.workload.fuse import kernels
from perfmodel.workload.nas_spaces import Choice


def stretches_of_forms(
    forms: SegmentForms,
    build: Callable[[Choice], NetworkStretch],
    values: Mapping[str, Value],
    pricing: Pricing,
) -> Stretches:
    """Return the forms of one segment, each a stretch.

    Parameters
    ----------
    forms
        Of segments that are built alike.
    build
        Choice -> this segment of it.
    values
        Free dimension -> number.
    """
    activation_bytes = 0.0
    priced: list[Priced] = []
    # A kernel that a form does not have stores nothing.
    stored: list[tuple[float, ...]] = []
    for option, examples in groupby(forms.examples, key=lambda example: example[0]):
        steps = [step for _, step in examples]
        stretch = build(option)
        graph = stretch.graph
        table = pricing.bound(stretch.surrounded, values, 1)
        priced.append(pricing.priced(table, [stretch.start + step for step in steps]))
        entering = graph.tensors[graph.inputs[0]]
        activation_bytes = first_number(pricing.stored({entering: 1}, values))
        fused = kernels(graph, pricing.job.model.fusion)
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
        forms.touched,
        forms.spans[forms.shape],
        needs,
        np.concatenate([by_kernel, peaks], axis=1)[:, None],
    )
