"""A graph whose weights are stored as a file says: layers of different formats become blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import Fault, InputError
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Access, Block, Graph, Operator, Tensor
from perfmodel.workload.importers.stored.held import FileTensor
from perfmodel.workload.importers.stored.match import Matched, WeightStorage
from perfmodel.workload.library import ModelEntry
from perfmodel.workload.symbols import Dim, Poly, evaluate, poly, simplify
from perfmodel.workload.unroll import carried
from perfmodel.workload.workload import PLAIN, StructureBuild, Workload

_OWN: Final = frozenset({"weight", "kv", "state"})


@dataclass(frozen=True, slots=True)
class StoredLayerGroup:
    """Layers of one group whose weights are stored alike.

    Attributes
    ----------
    count
        How many.
    weights
        Weight, without the group's name -> how it is stored.
    beside
        Tensors of one layer that no weight stands for: name, elements, format.
    """

    count: int
    weights: tuple[tuple[str, WeightStorage], ...]
    beside: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class WeightStoragePlan:
    """How the weights of a graph are stored.

    Attributes
    ----------
    whole
        Weights outside the layers.
    groups
        Name of a block -> its layers, those that are stored alike together.
    beside
        Tensors outside the layers that no weight stands for.
    """

    whole: tuple[tuple[str, WeightStorage], ...]
    groups: tuple[tuple[str, tuple[StoredLayerGroup, ...]], ...]
    beside: tuple[tuple[str, int, str], ...] = ()


def groups_of(matched: Matched, names: Sequence[str]) -> WeightStoragePlan:
    """Return how weights are stored, layers that are stored alike together."""
    groups: dict[str, dict[Any, int]] = {}
    for i, (name, weights) in enumerate(zip(names, matched.layers, strict=True)):
        key = tuple(weights.items()), _beside(matched.beside.get(i, ()))
        counts = groups.setdefault(name, {})
        counts[key] = counts.get(key, 0) + 1
    return WeightStoragePlan(
        tuple(matched.whole.items()),
        tuple(
            (
                name,
                tuple(
                    StoredLayerGroup(n, weights, beside) for (weights, beside), n in counts.items()
                ),
            )
            for name, counts in groups.items()
        ),
        _beside(matched.beside.get(-1, ())),
    )


def _beside(tensors: Sequence[tuple[str, FileTensor]]) -> tuple[tuple[str, int, str], ...]:
    """Return tensors of a layer by their names without its number."""
    return tuple(
        (re.sub(r"^blk\.[^.]*\.", "", name), tensor.elements, tensor.format)
        for name, tensor in tensors
    )


class StoredBuild(StructureBuild):
    """Builds the graph of a structure with the weights of a file; pickled without the graphs."""

    __slots__ = ("plan",)

    def __init__(self, base: StructureBuild, plan: WeightStoragePlan) -> None:
        super().__init__(base.family, base.structure)
        self.plan = plan

    def __call__(self, semantics: ExecutionSemantics) -> Graph:
        """Return the graph under a runtime's semantics."""
        found = self._graphs.get(semantics)
        if found is None:
            plain = StructureBuild(self.family, self.structure)(semantics)
            found = self._graphs[semantics] = with_storage(plain, self.plan)
        return found

    def of(self, structure: Any) -> StoredBuild:
        """Return what builds the graph of a part of the network, its weights so stored.

        Parameters
        ----------
        structure
            Of the same layers, perhaps narrower: what one of several devices computes.
        """
        part = StructureBuild(self.family, structure)
        if structure == self.structure:
            return StoredBuild(part, self.plan)
        fields: Any = self.structure
        whole = StructureBuild(self.family, fields.model_copy(update={"phase": structure.phase}))
        return StoredBuild(part, _narrowed(self.plan, whole(PLAIN), part(PLAIN)))

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredBuild, (StructureBuild(self.family, self.structure), self.plan)


def _narrowed(plan: WeightStoragePlan, whole: Graph, part: Graph) -> WeightStoragePlan:
    """Return how the weights of a narrower graph are stored: in the same formats."""

    def narrowed(name: str, stored: WeightStorage) -> WeightStorage:
        before, after = (graph.tensors[name].elements for graph in (whole, part))
        share = float(evaluate(after, {})) / float(evaluate(before, {}))
        return stored._replace(elements=round(stored.elements * share))

    return replace(
        plan,
        whole=tuple((name, narrowed(name, stored)) for name, stored in plan.whole),
        groups=tuple(
            (
                block,
                tuple(
                    replace(
                        group,
                        weights=tuple(
                            (name, narrowed(f"{block}.{name}", stored))
                            for name, stored in group.weights
                        ),
                    )
                    for group in groups
                ),
            )
            for block, groups in plan.groups
        ),
    )


@dataclass(frozen=True, slots=True)
class OfTheFile:
    """Puts a file's weights under a workload of its family, as phases and settings change it."""

    structure: Any
    plan: WeightStoragePlan
    file: str

    def __call__(self, base: Workload) -> Workload:
        """Return the workload with the weights of the file.

        Raises
        ------
        InputError
            Its structure is not that of the file: only the phase may be another.
        """
        build = base._build  # pyright: ignore[reportPrivateUsage]
        assert isinstance(build, StructureBuild)
        ours, theirs = build.structure.model_dump(), self.structure.model_dump()
        expected = "another file, or a model of the library to change"
        faults = [
            Fault(f"is {theirs[n]!r} by the tensors of the file", n, self.file, expected=expected)
            for n in ours
            if n != "phase" and ours[n] != theirs[n]
        ]
        if faults:
            raise InputError(faults)
        unit, items = base.unit, base._items  # pyright: ignore[reportPrivateUsage]
        return Workload(
            base.name,
            StoredBuild(build, self.plan),
            base.parameters,
            (unit, items),
            precision=base.precision,
            origin=base.origin,
            notes=base.notes,
            trained_context=base.trained_context,
        )


def with_weights(
    made: ModelEntry, matched: Matched, names: Sequence[str], path: Path
) -> ModelEntry:
    """Return a network with its weights stored as a file has them.

    Parameters
    ----------
    names
        For each layer the name of its block.
    """
    of_the_file = OfTheFile(made.structure, groups_of(matched, names), str(path))
    return replace(made, base=of_the_file(made.base), rewrite=of_the_file)


def with_storage(graph: Graph, plan: WeightStoragePlan) -> Graph:
    """Return a graph with its weights stored as a plan says.

    A block of layers that are not all stored alike becomes one block for each way; their order
    does not change what they cost.
    """
    return _Storing(graph, plan).graph()


class _Storing:
    def __init__(self, graph: Graph, plan: WeightStoragePlan) -> None:
        self.old, self.plan = graph, plan
        self.groups = dict(plan.groups)
        self.tensors: dict[str, Tensor] = dict(graph.tensors)
        #: What later blocks read in place of the activation that the original block left behind.
        self.current: dict[str, str] = {}
        for name, stored in plan.whole:
            self.tensors[name] = _stored(graph.tensors[name], name, stored)

    def graph(self) -> Graph:
        blocks: list[Block] = []
        for block in self.old.blocks:
            if block.layer and block.name in self.groups:
                blocks += self._layers(block, self.groups[block.name])
            else:
                operators = tuple(self._operator(o, self.current) for o in block.operators)
                blocks.append(replace(block, operators=operators))
        blocks = self._with_beside(blocks)
        used = {n for b in blocks for op in b.operators for n in (*op.reads, *op.writes)}
        used |= set(self.old.inputs)
        return replace(
            self.old,
            blocks=tuple(blocks),
            tensors={n: t for n, t in self.tensors.items() if n in used},
            outputs=tuple(self.current.get(n, n) for n in self.old.outputs),
        )

    def _layers(self, block: Block, kinds: Sequence[StoredLayerGroup]) -> list[Block]:
        enters, leaves = carried(self.old, block)
        total = sum(kind.count for kind in kinds)
        made: list[Block] = []
        before = self.current.get(enters, enters)
        for i, kind in enumerate(kinds):
            name = f"{block.name}_{i + 1}" if i else block.name
            names = self._renamed(block, name) | ({enters: before} if enters else {})
            for weight, stored in kind.weights:
                new = f"{name}.{weight}"
                self.tensors[new] = _stored(self.old.tensors[f"{block.name}.{weight}"], new, stored)
            operators = [
                replace(
                    self._operator(o, self.current | names),
                    name=o.name.replace(f"{block.name}.", f"{name}.", 1),
                )
                for o in block.operators
            ]
            if kind.beside:
                operators = self._reading(operators, f"{name}.", kind.beside)
            made.append(
                replace(
                    block,
                    name=name,
                    operators=tuple(operators),
                    count=_part(block.count, kind.count, total),
                    stored=_part(block.stored, kind.count, total),
                )
            )
            before = names.get(leaves, leaves)
        self.current[leaves] = before
        return made

    def _renamed(self, block: Block, name: str) -> dict[str, str]:
        """Return the names of a copy's own tensors."""
        own: dict[str, str] = {}
        written = {n for op in block.operators for n in op.writes}
        for old in {name for op in block.operators for name in op.tensors}:
            tensor = self.old.tensors.get(old)
            scores = tensor is None
            mine = scores or old in written or tensor.role in _OWN
            if mine and f"{block.name}." in old:
                new = own[old] = old.replace(f"{block.name}.", f"{name}.", 1)
                if tensor is not None and tensor.role != "weight":
                    self.tensors[new] = replace(tensor, name=new)
        return own

    def _operator(self, operator: Operator, names: Mapping[str, str]) -> Operator:
        """Return an operator over renamed tensors, weights with their formats."""
        accesses: list[Access] = []
        slots: dict[str, str] = {}
        for access in operator.accesses:
            old = self.old.tensors[access.tensor]
            new = self.tensors[names.get(access.tensor, access.tensor)]
            elements = access.elements
            if old.role == "weight" and new.shape != old.shape and elements == old.elements:
                elements = new.elements
            if old.role == "weight" and new.format:
                slots[old.slot] = f"weight={new.format}"
            accesses.append(Access(new.name, access.mode, elements))
        left, right = operator.pair
        if operator.nests:
            left, right = slots.get(left, left), slots.get(right, right)
        return replace(operator.renamed(names, names), accesses=tuple(accesses), pair=(left, right))

    def _reading(
        self, operators: list[Operator], prefix: str, beside: Sequence[tuple[str, int, str]]
    ) -> list[Operator]:
        """Let the first operator without a product read tensors that no operator stands for."""
        at = next((i for i, o in enumerate(operators) if not o.nests and o.kind != "gather"), 0)
        extra: list[Access] = []
        for name, elements, format in beside:
            full = f"{prefix}{name}"
            self.tensors[full] = Tensor(full, (elements,), "weight", "vector", format)
            extra.append(Access(full, "read", elements))
        found = operators[at]
        operators[at] = replace(found, accesses=(*found.accesses, *extra))
        return operators

    def _with_beside(self, blocks: list[Block]) -> list[Block]:
        if not self.plan.beside:
            return blocks
        made: list[Block] = []
        phases: set[str] = set()
        for block in reversed(blocks):
            if not block.layer and block.phase not in phases:
                phases.add(block.phase)
                operators = self._reading(list(block.operators), "", self.plan.beside)
                block = replace(block, operators=tuple(operators))
            made.insert(0, block)
        return made


def _stored(tensor: Tensor, name: str, stored: WeightStorage) -> Tensor:
    """Return a weight as the file stores it."""
    same = simplify(tensor.elements) == stored.elements
    shape = tensor.shape if same else (stored.elements,)
    return replace(tensor, name=name, format=stored.format, shape=shape)


def _part(count: Dim, part: int, total: int) -> Dim:
    """Return the part of a block's count that some of its layers are."""
    return simplify(Poly({m: c * part / total for m, c in poly(count).terms.items()}))
