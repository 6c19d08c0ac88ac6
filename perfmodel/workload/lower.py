"""Graph -> operator table: one row per kernel, compiled once per structure and then bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value
from perfmodel.caches import TABLE_BYTES, cached
from perfmodel.workload.algorithms import (
    column_elements,
    executed_macs,
    launches,
    transform_ops,
)
from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.fuse import FusedKernel, FusionRules, aliases, kernels
from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.lifetimes import Lifetimes, held, lifetimes_of
from perfmodel.workload.panels import extents_of, in_panels, is_narrow, padded_macs
from perfmodel.workload.program import PolynomialProgram
from perfmodel.workload.rows import OperatorRow, algorithm_of, row_of, scores_format
from perfmodel.workload.shapes import NestKeys, Nests, nest_columns
from perfmodel.workload.symbols import Dim, Poly, parameters_of, poly

Index = npt.NDArray[np.intp]

T = TypeVar("T")

#: What an access touches when it is no activation with a lifetime: weights; KV cache and recurrent
#: state; tensors that always come from or go to main memory.
WEIGHT, KEPT, ALWAYS_MAIN = -1, -2, -3


@dataclass(slots=True)
class OperatorTable:
    """Columns of numbers, one row per kernel, one column per point.

    Every array has shape ``(rows, points)`` or ``(rows, 1)``; counts are of one execution of the
    row, which runs `count` times.
    """

    rows: tuple[OperatorRow, ...]
    points: int
    count: Value
    macs: Value
    masked_macs: Value
    vector_ops: Value
    scores: Value
    kernels: Value
    layers: Value
    #: slot -> (rows that touch it, elements they move)
    moved: dict[str, tuple[Index, Value]]
    #: slot -> elements stored for good (weights), or held (KV cache)
    stored: dict[str, Value]
    #: slot -> live activation elements at each distinct step, shape (steps, points)
    live: dict[str, Value]
    #: accesses one by one, for residency
    accesses: Accesses | None = None
    #: loop nests, for kinds that map them on an array
    nests: Nests | None = None
    #: multiply-accumulates that the rows execute: of algorithms, or of padded panels
    executed_macs: Value = None
    #: name -> extents that loops of class ``stream`` state, walks of class ``tree`` (``walks`` that
    #: may run side by side, of ``steps`` in a chain), and what is moved around products in panels
    #: (`perfmodel.workload.panels.EXTENTS`), and 1 for ``narrow`` depthwise kernels; 0 for other
    #: rows; ``(rows, points)``
    extents: dict[str, Value] = field(default_factory=dict[str, "Value"])
    #: what was worked out from rows, accesses and nests alone; tables of one structure share it
    structure: dict[Hashable, Any] = field(default_factory=dict[Hashable, Any], repr=False)

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` gives, called once for all tables of the structure.

        It must depend on names and categories alone, on no number, and is not to be changed.
        """
        if name not in self.structure:
            self.structure[name] = make()
        return self.structure[name]


@dataclass(slots=True)
class Accesses:
    """Every (row, tensor) access, sorted by row.

    `tensor` is an index into `lifetimes`, or `WEIGHT`, `KEPT` or `ALWAYS_MAIN`; `batched` tells
    what grows with the batch.
    """

    row: Index
    starts: Index
    slots: tuple[str, ...]
    tensor: Index
    elements: Value
    sizes: Value
    lifetimes: Lifetimes
    batched: Index


#: Role of a tensor -> the index that stands for it; activations have indices of their own.
_STORED: Mapping[str, int] = {"weight": WEIGHT, "kv": KEPT, "state": KEPT}

#: Tables of numbers that a graph remembers; one takes some 20 kB.
_BOUND = 32


class Lowered:
    """A graph compiled for one fusion; `bind` gives its table for a set of parameters."""

    def __init__(self, graph: Graph, fusion: FusionRules, *, tagged: bool) -> None:
        self.graph = graph
        self.kernels = kernels(graph, fusion)
        self._tagged = tagged
        self.rows = tuple(row_of(k, self._slot_name) for k in self.kernels)
        self._flash, self._panels = fusion.flash_attention, fusion.panels
        self._narrow = fusion.narrow
        self._moved_rows: dict[str, Index] = {}
        self._bare: PolynomialProgram | None = None
        self._full: PolynomialProgram | None = None
        self._nested: PolynomialProgram | None = None
        self._nest_keys: NestKeys | None = None
        self._bound: dict[tuple[Any, ...], OperatorTable] = {}
        self._lifetimes: Lifetimes | None = None
        self._access_rows: Index = np.zeros(0, dtype=np.intp)
        self._access_starts: Index = np.zeros(0, dtype=np.intp)
        self._access_tensor: Index = np.zeros(0, dtype=np.intp)
        self._access_slots: tuple[str, ...] = ()
        self._access_batched: Index = np.zeros(0, dtype=np.intp)
        self._structure: dict[Hashable, Any] = {}

    def bind(
        self,
        values: Mapping[str, Value],
        points: int = 1,
        *,
        accesses: bool = False,
        relaxed: bool = False,
        nests: bool = False,
    ) -> OperatorTable:
        """Return the table with numbers; the same object for the same numbers, not to be changed.

        Parameters
        ----------
        values
            Free dimension -> number or array of shape ``(points,)``.
        accesses
            Also give each access by itself, for models of more than one memory level.
        relaxed
            Continuous forms of ceilings and floors.
        nests
            Also give the loop nests (and each access).
        """
        key = None
        if points == 1 and all(type(v) is float or type(v) is int for v in values.values()):
            key = (*values.items(), *map(type, values.values()), accesses, relaxed, nests)
            found = self._bound.get(key)
            if found is not None:
                return found
        table = self._table(values, points, accesses, relaxed, nests)
        if key is not None:
            if len(self._bound) >= _BOUND:
                self._bound.clear()
            self._bound[key] = table
        return table

    def _table(
        self, values: Mapping[str, Value], points: int, accesses: bool, relaxed: bool, nests: bool
    ) -> OperatorTable:
        accesses = accesses or nests
        program = self._program(points, accesses, nests)
        c = program(values, points, relaxed=relaxed)
        detail = None
        if accesses:
            assert self._lifetimes is not None
            detail = Accesses(
                self._access_rows,
                self._access_starts,
                self._access_slots,
                self._access_tensor,
                c["accesses"],
                c["sizes"],
                self._lifetimes,
                self._access_batched,
            )
        return OperatorTable(
            self.rows,
            points,
            c["count"],
            c["macs"],
            c["masked_macs"],
            c["vector_ops"],
            c["scores"],
            c["kernels"],
            c["layers"],
            {s: (rows, c[f"moved {s}"]) for s, rows in self._moved_rows.items()},
            {n[7:]: v[0] for n, v in c.items() if n.startswith("stored ")},
            {n[5:]: v for n, v in c.items() if n.startswith("live ")},
            detail,
            self._nest_keys.bind(c) if nests and self._nest_keys is not None else None,
            c.get("executed_macs"),
            {n[7:]: v for n, v in c.items() if n.startswith("extent ")},
            self._structure,
        )

    def _program(self, points: int, accesses: bool, nests: bool) -> PolynomialProgram:
        """Return a program that has what is asked for, compiled when it is first."""
        if points == 1:
            # One that has more does as well: of one point the surplus costs next to nothing.
            more = self._nested or (None if nests else self._full)
            if more is not None:
                return more
        if nests:
            self._nested = self._nested or self._compile(accesses=True, nests=True)
            return self._nested
        if accesses:
            self._full = self._full or self._compile(accesses=True)
            return self._full
        self._bare = self._bare or self._compile(accesses=False)
        return self._bare

    def _slot_name(self, slot: str) -> str:
        if self._tagged or "=" in slot:
            return slot
        return slot if slot == "weight:vector" else slot.partition(":")[0]

    def _slot(self, tensor: Tensor) -> str:
        return self._slot_name(tensor.slot)

    def _role_slot(self, tensor: Tensor) -> str:
        """Return a slot that says the role of what is stored also where its format is fixed."""
        if tensor.format and tensor.role != "activation":
            return f"{tensor.role}={tensor.format}"
        return self._slot(tensor)

    def _scores_slot(self, operator: Operator) -> str:
        """Return what decides the bits of attention scores, which are no access of their own."""
        found = self.graph.tensors.get(operator.scores_tensor)
        return "activation" if found is None else self._slot(found)

    def _compile(self, *, accesses: bool, nests: bool = False) -> PolynomialProgram:
        n = len(self.kernels)
        columns: dict[str, list[Dim]] = {
            "count": [k.block.count for k in self.kernels],
            "macs": [k.macs for k in self.kernels],
            "masked_macs": [sum((o.masked_macs for o in k.operators), 0) for k in self.kernels],
            "vector_ops": [k.vector_ops + self._further_ops(k) for k in self.kernels],
            "scores": [sum((o.scores for o in k.operators), 0) for k in self.kernels],
            "kernels": [self._launches(k) for k in self.kernels],
            "layers": self._layers(),
        }
        panels = any(in_panels(k.head, self._panels) for k in self.kernels)
        if panels or any(row.algorithm for row in self.rows):
            columns["executed_macs"] = [
                k.macs - k.head.macs + self._executed(k.head) for k in self.kernels
            ]
        columns |= self._extents()
        moved: dict[str, dict[int, Dim]] = {}
        for i, kernel in enumerate(self.kernels):
            for slot, elements in self._traffic(kernel):
                here = moved.setdefault(slot, {})
                here[i] = here.get(i, 0) + elements
        self._moved_rows = {}
        for slot, by_row in moved.items():
            rows = np.array(sorted(by_row), dtype=np.intp)
            self._moved_rows[slot] = rows
            columns[f"moved {slot}"] = [by_row[int(i)] for i in rows]
        for slot, elements in self._stored().items():
            columns[f"stored {slot}"] = [elements]
        lives = held(self.graph, self.kernels)
        for slot, steps in self._live_steps(lives, n).items():
            columns[f"live {slot}"] = steps
        if accesses:
            columns |= self._accesses(lives, n)
        if nests:
            columns |= self._nests()
        return PolynomialProgram(columns)

    def _nests(self) -> dict[str, list[Dim]]:
        alias = aliases(self.graph)
        place: dict[tuple[int, str, str], int] = {}
        at = 0
        for i, kernel in enumerate(self.kernels):
            for mode, side in (("read", kernel.reads), ("write", kernel.writes)):
                for name in side:
                    place[i, name, mode] = at
                    at += 1
            at += len(self._passing(kernel))

        def slot(name: str) -> str:
            found = self.graph.tensors.get(alias.get(name, name))
            return "activation" if found is None else self._slot(found)

        def access(row: int, name: str, mode: str) -> int:
            return place.get((row, alias.get(name, name), mode), -1)

        kinds = [row.kind for row in self.rows]
        self._nest_keys, columns = nest_columns(self.kernels, kinds, slot, access)
        return columns

    def _executed(self, head: Operator) -> Dim:
        if in_panels(head, self._panels):
            return padded_macs(head, self._panels)
        return executed_macs(head, algorithm_of(head))

    def _extents(self) -> dict[str, list[Dim]]:
        """Return extents that operators state (streams, walks down trees), and those of panels."""
        said: list[dict[str, Dim]] = [
            extents_of(k.head, self._panels)
            if in_panels(k.head, self._panels)
            else dict(dict(k.head.attributes).get("extents", ()))
            for k in self.kernels
        ]
        for each, kernel in zip(said, self.kernels, strict=True):
            if is_narrow(kernel.head, self._narrow):
                each["narrow"] = 1
        names = sorted({name for each in said for name in each})
        return {f"extent {name}": [each.get(name, 0) for each in said] for name in names}

    def _launches(self, kernel: FusedKernel) -> Dim:
        if kernel.head.kind == "attention" and not self._flash:
            return 3 if not scores_format(kernel.head) else 5
        return launches(kernel.head, algorithm_of(kernel.head))

    def _further_ops(self, kernel: FusedKernel) -> Dim:
        """Return vector operations of the kernel's algorithm and of conversions inside it."""
        total = transform_ops(kernel.head, algorithm_of(kernel.head))
        for operator in kernel.operators if not self._flash else ():
            if operator.scores != 0 and scores_format(operator):
                each = VECTOR_OPS["dequantise"] + VECTOR_OPS["quantise"]
                total = total + each * operator.scores
        return total

    def _passing(self, kernel: FusedKernel) -> list[tuple[str, Dim]]:
        """Return slot and elements of what is written and read back inside a kernel.

        Scores of an attention: written, read and written by the softmax, and read again. Where it
        falls back on a wider format it reads and writes that one, and so do the conversions.
        Columns of a convolution: written and read.
        """
        out: list[tuple[str, Dim]] = []
        for operator in kernel.operators if not self._flash else ():
            if operator.scores != 0:
                out.append((self._scores_slot(operator), 4 * operator.scores))
                if wide := scores_format(operator):
                    out.append((f"={wide}", 4 * operator.scores))
        columns = column_elements(kernel.head, algorithm_of(kernel.head))
        if columns != 0:
            source = self.graph.tensors.get(kernel.head.nests[0].operands[0].tensor)
            slot = "activation" if source is None else self._slot(source)
            out.append((slot, 2 * columns))
        return out

    def _layers(self) -> list[Dim]:
        """Return each kernel's share of what a layer costs: spread evenly over its kernels."""
        sizes = Counter(id(kernel.block) for kernel in self.kernels)
        return [
            1.0 / sizes[id(kernel.block)] if kernel.block.layer else 0 for kernel in self.kernels
        ]

    def _traffic(self, kernel: FusedKernel) -> list[tuple[str, Dim]]:
        out = [
            (self._role_slot(self.graph.tensors[name]), elements)
            for side in (kernel.reads, kernel.writes)
            for name, elements in side.items()
        ]
        return out + self._passing(kernel)

    def _stored(self) -> dict[str, Dim]:
        stored: dict[str, Dim] = {}
        for name, times in self.graph.stored_weights().items():
            tensor = self.graph.tensors[name]
            slot = self._role_slot(tensor)
            stored[slot] = stored.get(slot, 0) + times * tensor.elements
        phases: dict[str, dict[str, Dim]] = {}
        seen: set[tuple[str, str]] = set()  # a cache that later layers read too is held once
        for block in self.graph.blocks:
            names = {n for op in block.operators for n in (*op.reads, *op.writes)}
            for name in sorted(names):
                tensor = self.graph.tensors[name]
                if tensor.role in {"kv", "state"} and (block.phase, name) not in seen:
                    seen.add((block.phase, name))
                    slot = self._role_slot(tensor)
                    here = phases.setdefault(slot, {})
                    size = block.stored * tensor.elements
                    here[block.phase] = here.get(block.phase, 0) + size
        for slot, by_phase in phases.items():
            # The last phase of a request holds the cache at its longest.
            stored[slot] = list(by_phase.values())[-1]
        return stored

    def _live_steps(self, lives: dict[str, tuple[int, int]], n: int) -> dict[str, list[Dim]]:
        changes: list[list[tuple[str, Dim]]] = [[] for _ in range(n + 1)]
        for name, (first, last) in lives.items():
            tensor = self.graph.tensors[name]
            slot, elements = self._slot(tensor), tensor.elements
            changes[first].append((slot, elements))
            changes[last + 1].append((slot, -elements))
        slots = sorted({slot for step in changes for slot, _ in step})
        live: dict[str, Dim] = dict.fromkeys(slots, 0)
        steps: list[tuple[Poly, ...]] = []
        for change in changes[:n]:
            for slot, elements in change:
                live[slot] = live[slot] + elements
            steps.append(tuple(map(poly, live.values())))
        distinct = list(dict.fromkeys(steps))
        return {slot: [row[i] for row in distinct] for i, slot in enumerate(slots)}

    def _accesses(self, lives: dict[str, tuple[int, int]], n: int) -> dict[str, list[Dim]]:
        names = list(lives)
        index = {name: i for i, name in enumerate(names)}
        external = {*self.graph.inputs, *self.graph.outputs}
        rows: list[int] = []
        tensor: list[int] = []
        slots: list[str] = []
        elements: list[Dim] = []
        for i, kernel in enumerate(self.kernels):
            for side in (kernel.reads, kernel.writes):
                for name, moved in side.items():
                    item = self.graph.tensors[name]
                    rows.append(i)
                    # Network inputs and outputs cross from and to main memory.
                    inner = ALWAYS_MAIN if name in external else index.get(name, ALWAYS_MAIN)
                    tensor.append(_STORED.get(item.role, inner))
                    slots.append(self._slot(item))
                    elements.append(moved)
            for slot, moved in self._passing(kernel):
                rows.append(i)
                tensor.append(ALWAYS_MAIN)
                slots.append(slot)
                elements.append(moved)
        self._access_rows = row = np.array(rows, dtype=np.intp)
        self._access_starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
        self._access_tensor = np.array(tensor, dtype=np.intp)
        self._access_slots = tuple(slots)
        self._access_batched = np.array([_grows(moved) for moved in elements], dtype=np.intp)
        self._lifetimes = lifetimes_of(
            names, [self._slot(self.graph.tensors[m]) for m in names], list(lives.values())
        )
        return {"accesses": elements, "sizes": [self.graph.tensors[n].elements for n in names]}


def _grows(elements: Dim) -> bool:
    """Return whether a number of elements depends on the batch."""
    return isinstance(elements, Poly) and any(
        "batch" in parameters_of(atom) for monomial in elements.terms for atom, _ in monomial
    )


FUSED = FusionRules()


@cached(TABLE_BYTES, same=1)
def lower(graph: Graph, fusion: FusionRules = FUSED, *, tagged: bool = False) -> Lowered:
    """Compile a graph for a fusion, once.

    Parameters
    ----------
    tagged
        Keep the tags of weights apart, for formats that store some tensors wider.
    """
    return Lowered(graph, fusion, tagged=tagged)
