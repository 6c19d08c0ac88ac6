"""Tabulated segments of many forms: same kernels and tensor sizes, different operations.

A NAS-Bench-201 cell has thousands of forms, most of which differ only in the placement of
operations. `perfmodel.search.oracle.segment_forms` enumerates them; this module costs each distinct
kernel in all states of residency.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from perfmodel.arrays import Value, first_number
from perfmodel.search.oracle.compiled_stretches import StretchCompiler, bound_stretches, priced_rows
from perfmodel.search.oracle.kernel_pricing import Floats
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.segment_forms import SegmentForms
from perfmodel.search.oracle.stretch_banks import Stretches
from perfmodel.search.oracle.table_structure import TableKey


def stretches_of_forms(
    forms: SegmentForms, compiler: StretchCompiler, values: Mapping[str, Value], pricing: Pricing
) -> Stretches:
    """Return the forms of one segment as stretches.

    Parameters
    ----------
    forms
        Forms of segments with the same structure.
    compiler
        Compiler of the segment under each of `SegmentForms.options`.
    values
        Free dimension -> value.
    """
    structure = pricing.structure
    bound = bound_stretches(compiler, TableKey.of(structure, values, 1))
    graph, starts = bound.graph, [own.start for own in bound.rows if own is not None]
    rows = [starts[option] + step for option, step in forms.examples]
    priced, place = priced_rows(bound.priced_table(structure), rows, pricing)
    kernels = structure.lowered(graph).kernels
    # The last row stands for a missing kernel, which stores nothing.
    stored = np.zeros((len(rows) + 1, 2))
    for i, kernel in enumerate(kernels[row] for row in rows):
        read = [graph.tensors[name] for name in kernel.reads]
        for column, roles in enumerate((("weight",), ("kv", "state"))):
            copies = {t: kernel.block.stored for t in read if t.role in roles}
            stored[i, column] = first_number(structure.stored(copies, values))
    example = compiler.stretches[0].graph
    activation_bytes = first_number(
        structure.stored({example.tensors[example.inputs[0]]: 1}, values)
    )

    def needs(lengths: tuple[int, ...]) -> Floats:
        return forms.needs(lengths) * activation_bytes

    peaks = forms.peaks[forms.shape] * activation_bytes
    return Stretches(
        priced,
        place[forms.rows],
        forms.shape,
        forms.ranges,
        forms.touched,
        forms.spans[forms.shape],
        needs,
        np.concatenate([stored[forms.rows].sum(axis=1), peaks], axis=1)[:, None],
    )
