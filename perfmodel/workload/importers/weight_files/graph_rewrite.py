"""Rewriting of a graph to the weight formats of a file, splitting blocks of mixed layers.

A block of n equal layers is stored once with count n. Layers whose weights a file stores in
different formats become one block per kind of storage, with counts that sum to n. The order of
layers within a block does not affect the cost and is not preserved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from perfmodel.errors import Fault, InputError
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.importers.weight_files.file_tensor import FileTensor
from perfmodel.workload.importers.weight_files.tensor_matching import MatchedWeights, WeightStorage
from perfmodel.workload.library import ModelEntry
from perfmodel.workload.symbols import Dim, Poly, evaluate, poly, simplify
from perfmodel.workload.unroll import carried
from perfmodel.workload.workload import PLAIN, StructureBuild, Workload

#: Roles of stored tensors, of which every copy of a block has its own.
_ROLES_PER_BLOCK: Final = frozenset({"weight", "kv", "state"})


class UnmatchedTensor(NamedTuple):
    """A tensor of a file without a weight in the graph: it is read, without arithmetic."""

    name: str
    elements: int
    format: str


@dataclass(frozen=True, slots=True)
class StoredLayerGroup:
    """Layers of one group with identical weight storage.

    Attributes
    ----------
    count
        Number of layers.
    weights
        Weight (without the group's name) -> storage.
    unmatched
        Tensors of one layer without a weight in the graph.
    """

    count: int
    weights: Mapping[str, WeightStorage]
    unmatched: Sequence[UnmatchedTensor] = ()


@dataclass(frozen=True, slots=True)
class WeightStoragePlan:
    """Storage of all weights of a graph.

    Attributes
    ----------
    outside
        Weight outside the layers -> storage.
    groups
        Name of a block -> its layers, grouped by identical storage.
    unmatched
        Tensors outside the layers without a weight in the graph.
    """

    outside: Mapping[str, WeightStorage]
    groups: Mapping[str, Sequence[StoredLayerGroup]]
    unmatched: Sequence[UnmatchedTensor] = ()


def storage_plan(matched: MatchedWeights, names: Sequence[str]) -> WeightStoragePlan:
    """Return the storage of the matched weights, with layers grouped by identical storage."""
    groups: dict[str, dict[Any, int]] = {}
    for i, (name, weights) in enumerate(zip(names, matched.layers, strict=True)):
        key = tuple(weights.items()), _unmatched(matched.unmatched.get(i, ()))
        counts = groups.setdefault(name, {})
        counts[key] = counts.get(key, 0) + 1
    return WeightStoragePlan(
        matched.outside,
        {
            name: [
                StoredLayerGroup(n, dict(weights), unmatched)
                for (weights, unmatched), n in counts.items()
            ]
            for name, counts in groups.items()
        },
        _unmatched(matched.unmatched.get(-1, ())),
    )


def _unmatched(tensors: Sequence[tuple[str, FileTensor]]) -> tuple[UnmatchedTensor, ...]:
    """Return unmatched tensors, named without the number of the layer."""
    return tuple(
        UnmatchedTensor(re.sub(r"^blk\.[^.]*\.", "", name), tensor.elements, tensor.format)
        for name, tensor in tensors
    )


class StoredBuild(StructureBuild):
    """Graph builder of a structure with the weights of a file; pickled without cached graphs."""

    __slots__ = ("plan",)

    def __init__(self, base: StructureBuild, plan: WeightStoragePlan) -> None:
        super().__init__(base.family, base.structure)
        self.plan = plan

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph under a runtime's semantics."""
        graph = self._graphs.get(semantics)
        if graph is None:
            plain = StructureBuild(self.family, self.structure)(semantics)
            graph = self._graphs[semantics] = with_storage(plain, self.plan)
        return graph

    def of(self, structure: Any) -> StoredBuild:
        """Return the builder for a part of the network, with the same weight formats.

        Parameters
        ----------
        structure
            Structure with the same layers, possibly narrower: the share of one of several devices.
        """
        part = StructureBuild(self.family, structure)
        if structure == self.structure:
            return StoredBuild(part, self.plan)
        fields: Any = self.structure
        full = StructureBuild(self.family, fields.model_copy(update={"phase": structure.phase}))
        return StoredBuild(part, _narrow_plan(self.plan, full(PLAIN), part(PLAIN)))

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredBuild, (StructureBuild(self.family, self.structure), self.plan)


def _narrow_plan(plan: WeightStoragePlan, full: Graph, part: Graph) -> WeightStoragePlan:
    """Return the storage plan of a narrower graph: same formats, proportionally fewer elements."""

    def narrowed(name: str, stored: WeightStorage) -> WeightStorage:
        before, after = (graph.tensors[name].elements for graph in (full, part))
        share = float(evaluate(after, {})) / float(evaluate(before, {}))
        return stored._replace(elements=round(stored.elements * share))

    return replace(
        plan,
        outside={name: narrowed(name, stored) for name, stored in plan.outside.items()},
        groups={
            block: [
                replace(
                    group,
                    weights={
                        name: narrowed(f"{block}.{name}", stored)
                        for name, stored in group.weights.items()
                    },
                )
                for group in groups
            ]
            for block, groups in plan.groups.items()
        },
    )


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """Function that applies a file's weight storage to a workload, after changes of settings."""

    family: Family
    structure: Any
    plan: WeightStoragePlan
    file: str

    def __call__(self, base: Workload) -> Workload:
        """Return the workload with the weights of the file.

        Raises
        ------
        InputError
            Its structure differs from the file's in more than the phase.
        """
        requested, stored = base.structure.model_dump(), self.structure.model_dump()
        expected = "another file, or a model of the library to change"
        faults = [
            Fault(f"is {stored[n]!r} by the tensors of the file", n, self.file, expected=expected)
            for n in requested
            if n != "phase" and requested[n] != stored[n]
        ]
        if faults:
            raise InputError(faults)
        return base.rebuilt(StoredBuild(StructureBuild(self.family, base.structure), self.plan))


def with_weights(
    model: ModelEntry, matched: MatchedWeights, names: Sequence[str], path: Path
) -> ModelEntry:
    """Return a library entry with the weight storage of a file.

    Parameters
    ----------
    names
        Name of the block of each layer.
    """
    stored_weights = StoredWeights(
        model.family, model.structure, storage_plan(matched, names), str(path)
    )
    return replace(model, base=stored_weights(model.base), rewrite=stored_weights)


def with_storage(graph: Graph, plan: WeightStoragePlan) -> Graph:
    """Return a graph with the weight storage of a plan.

    A block of layers with different storage is split into one block per kind of storage. The
    original order of the layers is not preserved, as it does not affect their cost.
    """
    return _StorageRewriter(graph, plan).graph()


class _StorageRewriter:
    """Copy of a graph's blocks and tensors with the weight storage of a plan."""

    def __init__(self, graph: Graph, plan: WeightStoragePlan) -> None:
        self.old, self.plan = graph, plan
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        #: Output activation of an original block -> its replacement, for later blocks.
        self.current: dict[str, str] = {}
        for name, stored in plan.outside.items():
            self.tensors[name] = _with_storage(graph.tensors[name], name, stored)

    def graph(self) -> Graph:
        """Return the graph with the storage of the plan, without unused tensors."""
        blocks: list[Block] = []
        for block in self.old.blocks:
            if block.layer and block.name in self.plan.groups:
                blocks += self._layers(block, self.plan.groups[block.name])
            else:
                operators = tuple(self._operator(o, self.current) for o in block.operators)
                blocks.append(replace(block, operators=operators))
        blocks = self._with_unmatched(blocks)
        used = {n for b in blocks for op in b.operators for n in (*op.reads, *op.writes)}
        used |= set(self.old.inputs)
        return replace(
            self.old,
            blocks=tuple(blocks),
            tensors={n: t for n, t in self.tensors.items() if n in used},
            outputs=tuple(self.current.get(n, n) for n in self.old.outputs),
        )

    def _layers(self, block: Block, kinds: Sequence[StoredLayerGroup]) -> list[Block]:
        """Return one copy of a block per kind of storage, chained by the activation they carry."""
        enters, leaves = carried(self.old, block)
        total = sum(kind.count for kind in kinds)
        blocks: list[Block] = []
        before = self.current.get(enters, enters)
        for i, kind in enumerate(kinds):
            name = f"{block.name}_{i + 1}" if i else block.name
            names = self._renamed(block, name) | ({enters: before} if enters else {})
            for weight, stored in kind.weights.items():
                new = f"{name}.{weight}"
                self.tensors[new] = _with_storage(
                    self.old.tensors[f"{block.name}.{weight}"], new, stored
                )
            operators = [
                replace(
                    self._operator(o, self.current | names),
                    name=o.name.replace(f"{block.name}.", f"{name}.", 1),
                )
                for o in block.operators
            ]
            if kind.unmatched:
                operators = self._reading(operators, f"{name}.", kind.unmatched)
            blocks.append(
                replace(
                    block,
                    name=name,
                    operators=tuple(operators),
                    count=_scale_count(block.count, kind.count, total),
                    stored=_scale_count(block.stored, kind.count, total),
                )
            )
            before = names.get(leaves, leaves)
        self.current[leaves] = before
        return blocks

    def _renamed(self, block: Block, name: str) -> dict[str, str]:
        """Return the new names of the tensors that a copy of a block does not share."""
        new_names: dict[str, str] = {}
        written = {n for op in block.operators for n in op.writes}
        for old in {name for op in block.operators for name in op.tensors}:
            tensor = self.old.tensors.get(old)
            copied = tensor is None or old in written or tensor.role in _ROLES_PER_BLOCK
            if copied and f"{block.name}." in old:
                new = new_names[old] = old.replace(f"{block.name}.", f"{name}.", 1)
                if tensor is not None and tensor.role != "weight":
                    self.tensors[new] = replace(tensor, name=new)
        return new_names

    def _operator(self, operator: Operator, names: Mapping[str, str]) -> Operator:
        """Return an operator over renamed tensors, with the storage formats of its weights."""
        accesses: list[Access] = []
        slots: dict[str, str] = {}
        for access in operator.accesses:
            old = self.old.tensors[access.tensor]
            new = self.tensors[names.get(access.tensor, access.tensor)]
            elements = access.elements
            if old.role == "weight" and new.shape != old.shape and elements == old.elements:
                elements = new.elements
            if old.role == "weight" and new.format:
                slots[old.slot] = new.slot
            accesses.append(Access(new.name, access.mode, elements))
        left, right = operator.pair
        if operator.nests:
            left, right = slots.get(left, left), slots.get(right, right)
        return replace(operator.renamed(names, names), accesses=tuple(accesses), pair=(left, right))

    def _reading(
        self, operators: list[Operator], prefix: str, unmatched: Sequence[UnmatchedTensor]
    ) -> list[Operator]:
        """Add reads of unmatched tensors to the first operator without a product."""
        reader_index = next(
            (i for i, o in enumerate(operators) if not o.nests and o.kind != "gather"), 0
        )
        added_accesses: list[Access] = []
        for name, elements, format in unmatched:
            full_name = f"{prefix}{name}"
            self.tensors[full_name] = Tensor(full_name, (elements,), "weight", "vector", format)
            added_accesses.append(Access(full_name, "read", elements))
        operator = operators[reader_index]
        operators[reader_index] = replace(operator, accesses=(*operator.accesses, *added_accesses))
        return operators

    def _with_unmatched(self, blocks: list[Block]) -> list[Block]:
        """Read unmatched tensors outside the layers in the last such block of every phase."""
        if not self.plan.unmatched:
            return blocks
        blocks_with_reads: list[Block] = []
        phases: set[str] = set()
        for block in reversed(blocks):
            if not block.layer and block.phase not in phases:
                phases.add(block.phase)
                operators = self._reading(list(block.operators), "", self.plan.unmatched)
                block = replace(block, operators=tuple(operators))
            blocks_with_reads.insert(0, block)
        return blocks_with_reads


def _with_storage(tensor: Tensor, name: str, stored: WeightStorage) -> Tensor:
    """Return a weight with the format and number of elements in the file."""
    same = simplify(tensor.elements) == stored.elements
    shape = tensor.shape if same else (stored.elements,)
    return replace(tensor, name=name, format=stored.format, shape=shape)


def _scale_count(count: Dim, part: int, total: int) -> Dim:
    """Return the count of a block scaled by ``part / total``."""
    return simplify(Poly({m: c * part / total for m, c in poly(count).terms.items()}))
