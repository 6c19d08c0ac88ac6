"""Segments of very many forms: the same kernels on tensors of one size but for the operations.

A NAS-Bench-201 cell has thousands of forms, of which few differ in more than which operation stands
where. What they are is `perfmodel.search.oracle.forms`; here one row a kind of kernel tells what it
costs in every state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.search.oracle.chain import Context
from perfmodel.search.oracle.forms import SegmentForms
from perfmodel.search.oracle.fragment import NetworkStretch
from perfmodel.search.oracle.pricing import Pricing
from perfmodel.search.oracle.rows import Floats, Index, Priced
from perfmodel.workload.fuse import FusedKernel, kernels
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces import Choice
from perfmodel.workload.symbols import evaluate


class AlikeBank:
    """The forms of one segment; a `perfmodel.search.oracle.chain.Bank`.

    Parameters
    ----------
    forms
        Of segments that are built alike.
    build
        Choice -> this segment of it.
    """

    def __init__(
        self,
        forms: SegmentForms,
        build: Callable[[Choice], NetworkStretch],
        values: Mapping[str, Value],
        pricing: Pricing,
    ) -> None:
        self._pricing, self._values, self._forms = pricing, values, forms
        self._unit = 0.0
        self._kinds: list[Priced] = []
        stored: list[tuple[float, float]] = []
        for option, examples in groupby(forms.examples, key=lambda example: example[0]):
            steps = [step for _, step in examples]
            priced, sizes = self._priced(build(option), steps)
            self._kinds += priced
            stored += sizes
        self._shape = forms.shape
        self.lengths: Index = forms.spans[self._shape]
        peaks = forms.peaks.astype(np.float64) * self._unit
        self.peak_bytes: Floats = peaks[self._shape][:, None]
        self._row, self._touched = forms.rows, forms.touched
        # A kernel that a form does not have stores nothing.
        columns = np.array([*stored, (0.0, 0.0)], dtype=float).T
        self.weight_bytes: Floats = columns[0][self._row].sum(axis=1)[:, None]
        self.kv_bytes: Floats = columns[1][self._row].sum(axis=1)[:, None]

    def _priced(
        self, stretch: NetworkStretch, steps: Sequence[int]
    ) -> tuple[list[Priced], list[tuple[float, float]]]:
        """Return costs of some kernels of a segment, and what they, and they alone, store."""
        pricing, graph = self._pricing, stretch.graph
        table = pricing.bound(stretch.surrounded, self._values, 1)
        priced = pricing.priced(table, [stretch.start + step for step in steps])
        entering = graph.tensors[graph.inputs[0]]
        elements = float(np.ravel(evaluate(entering.elements, self._values))[0])
        self._unit = elements * (pricing.bits(entering) / 8.0)
        fused = kernels(graph, pricing.job.static.fusion)
        stored = [
            (
                self._stored(graph, fused[step], "weight"),
                self._stored(graph, fused[step], "kv state"),
            )
            for step in steps
        ]
        return [priced.part(i, i + 1) for i in range(len(steps))], stored

    def _stored(self, graph: Graph, kernel: FusedKernel, roles: str) -> float:
        """Return the stored bytes of what a kernel, and no other, reads."""
        tensors = [graph.tensors[name] for name in kernel.reads]
        copies = {t: kernel.block.stored for t in tensors if t.role in roles.split()}
        return float(self._pricing.stored(copies, self._values))

    def prepare(self, lengths: Sequence[int], names: Sequence[str]) -> tuple[Floats, Floats]:
        """See `Bank.prepare`."""
        unit = self._unit
        states = self._pricing.states
        needs = self._forms.needs(tuple(lengths))
        self._state = states.of(needs * unit)
        read, made = needs[:, :, 0] * unit, needs[:, :, 1] * unit
        # Every kind of kernel in every state, one after the other.
        self._first: Index = np.zeros(len(self._kinds) + 1, dtype=np.intp)
        parts: list[Any] = []
        for i, priced in enumerate(self._kinds):
            columns = [list(names).index(name) for name in priced.names]
            values = priced.values[:, 0, :, 0]
            full = np.zeros((values.shape[1], values.shape[0], len(names)))
            full[:, :, columns] = np.moveaxis(values, 0, 1)
            self._first[i + 1] = self._first[i] + len(full)
            parts.append(full)
        nothing = np.zeros((1, self._pricing.modes, len(names)))
        self._costs: Floats = np.concatenate([*parts, nothing])
        return made[self._shape][:, :, None], read[self._shape][:, :, None]

    @property
    def kinds(self) -> tuple[Priced, ...]:
        """The distinct kernels."""
        return tuple(self._kinds)

    def costs(self, stretches: Index, context: Context) -> Floats:
        """See `Bank.costs`."""
        c = self._pricing.states.count
        shape = self._shape[stretches]
        state = self._state[shape, context.following]
        state[:, 0] = context.enters
        state[:, 1] = context.leaves
        touched, rows = self._touched[shape], self._row[stretches]
        out: Floats | None = None
        n = np.arange(len(stretches))
        for r in range(rows.shape[1]):
            index = self._first[rows[:, r]].copy()
            for k in range(touched.shape[2]):
                at = touched[:, r, k]
                index += np.where(at >= 0, state[n, at] * c**k, 0)
            index[rows[:, r] < 0] = len(self._costs) - 1
            part = self._costs[index]
            out = part if out is None else out + part
        if out is None:
            return np.zeros((len(stretches), *self._costs.shape[1:]))
        return out

    def least(self, stretches: Index, settings: Sequence[int]) -> Floats:
        """See `Bank.least`."""
        del settings
        rows = self._row[stretches]
        lowest = np.array(
            [self._costs[a:b].min(axis=0) for a, b in pairwise(self._first.tolist())]
            + [np.zeros_like(self._costs[0])]
        )
        return lowest[rows].sum(axis=1).min(axis=0)
