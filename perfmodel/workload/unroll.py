"""Unrolling of the repetitions of a graph's blocks, for schedulers and training steps.

Predictions cost a repeated layer once and multiply; a schedule decides for every repetition, so
that each needs its own operators, weights and caches (``name@i``).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from perfmodel.errors import input_error
from perfmodel.workload.graph import Block, Graph, Operator, Tensor
from perfmodel.workload.symbols import Dim, evaluate

#: Roles with separate tensors per layer.
_OWN = frozenset({"weight", "kv", "state"})


def unroll(graph: Graph, values: Mapping[str, float]) -> Graph:
    """Return `graph` with every block executed once; see `Graph.unroll`."""
    bound = {**graph.defaults, **values}
    tensors: dict[str, Tensor] = dict(graph.tensors)
    current: dict[str, str] = {}
    blocks: list[Block] = []
    shared = _shared_between_blocks(graph)
    layers = {id(block): _RepeatedBlock.of(graph, block, shared) for block in graph.blocks}
    for block, index, copies, times in _executions(graph, bound):
        layer = layers[id(block)]
        names = dict(current)
        suffix = f"@{index}" if times > 1 else ""
        if block.layer and copies > 1:
            own = {name: f"{name}@{index % copies}" for name in layer.own}
            _declare(graph, own, tensors)
            names |= own
            if index % copies and layer.enters:
                names[layer.enters] = current[layer.leaves]
        operators: list[Operator] = []
        for operator, results, in_place in layer.operators:
            before = dict(names) if in_place else names
            fresh = {name: name + suffix for name in results}
            _declare(graph, fresh, tensors)
            names |= fresh
            operators.append(operator.renamed(before, names, suffix))
        current |= {n: names.get(n, n) for n in layer.written}
        blocks.append(
            replace(block, name=block.name + suffix, operators=tuple(operators), count=1, stored=1)
        )
    everything = [operator for block in blocks for operator in block.operators]
    used = {access.tensor for operator in everything for access in operator.accesses}
    # Attention scores are declared only if their format is fixed.
    used.update(graph.inputs, [operator.scores_tensor for operator in everything])
    return replace(
        graph,
        tensors={n: t for n, t in tensors.items() if n in used},
        blocks=tuple(blocks),
        outputs=tuple(current.get(n, n) for n in graph.outputs),
    )


class _RepeatedBlock(NamedTuple):
    """What all executions of a block have in common.

    Attributes
    ----------
    operators
        Operators, each with the results that every execution names anew, and whether it reads one
        of them.
    own
        Weights and caches that are separate per layer.
    written
        Names of the tensors that it writes.
    enters, leaves
        Activations between its repetitions; see `carried`.
    """

    operators: tuple[tuple[Operator, tuple[str, ...], bool], ...]
    own: tuple[str, ...]
    written: tuple[str, ...]
    enters: str
    leaves: str

    @classmethod
    def of(cls, graph: Graph, block: Block, shared: Container[str]) -> _RepeatedBlock:
        """Return what the executions of a block of a graph have in common."""
        operators: list[tuple[Operator, tuple[str, ...], bool]] = []
        touched: dict[str, None] = {}
        for operator in block.operators:
            results = [n for n in operator.writes if graph.tensors[n].role not in _OWN]
            multiplied = (o.tensor for nest in operator.nests for o in nest.multiplied)
            inputs = {*operator.reads, *multiplied, operator.inplace}
            operators.append((operator, tuple(results), not inputs.isdisjoint(results)))
            touched |= dict.fromkeys((*operator.reads, *operator.writes))
        own = [n for n in touched if n not in shared and graph.tensors[n].role in _OWN]
        written = dict.fromkeys(n for op in block.operators for n in op.writes)
        passed = carried(graph, block) if block.layer else ("", "")
        return cls(tuple(operators), tuple(own), tuple(written), *passed)


def _declare(graph: Graph, names: Mapping[str, str], tensors: dict[str, Tensor]) -> None:
    """Add the tensors that have new names."""
    for old, new in names.items():
        if new not in tensors:
            tensor = graph.tensors[old]
            tensors[new] = Tensor(new, tensor.shape, tensor.role, tensor.tag, tensor.format)


def executions(graph: Graph, values: Mapping[str, float]) -> int:
    """Return the number of operators of the unrolled `graph`."""
    bound = {**graph.defaults, **values}
    return sum(
        int(float(evaluate(block.count, bound))) * len(block.operators) for block in graph.blocks
    )


def written_out(graph: Graph, values: Mapping[str, float], most: int) -> Graph:
    """Return `unroll(graph, values)`, unless it would be too large to process per operator.

    Raises
    ------
    InputError
        The unrolled graph would have more than `most` operators.
    """
    count = executions(graph, values)
    if count > most:
        steps = "fewer tokens or layers (--set generate=1)" if "generate" in values else ""
        raise input_error(
            f"'{graph.name}' has {count} operators with all repetitions written out",
            "workload",
            expected=steps or f"at most {most}",
        )
    return unroll(graph, values)


def _executions(graph: Graph, values: Mapping[str, float]) -> Iterator[tuple[Block, int, int, int]]:
    """Yield ``(block, index of its execution, copies stored, executions in all)`` in order.

    Blocks of a phase that runs several times are executed together, step by step.
    """
    counted: list[tuple[Block, int, int]] = []
    for block in graph.blocks:
        times, copies = _whole(block, block.count, values), _whole(block, block.stored, values)
        counted.append((block, times, copies if copies and times % copies == 0 else times))
    for (_, steps), group in groupby(counted, lambda c: (c[0].phase, c[1] // max(c[2], 1))):
        members = list(group)
        for step in range(steps):
            for block, times, copies in members:
                for i in range(copies):
                    yield block, step * copies + i, copies, times


def _whole(block: Block, count: Dim, values: Mapping[str, float]) -> int:
    try:
        number = float(evaluate(count, values))
    except KeyError as error:
        raise ValueError(f"block '{block.name}' repeats {count} times: give {error}") from None
    if number != int(number) or number < 0:
        raise ValueError(f"block '{block.name}' has no whole count: {count} = {number:g}")
    return int(number)


def carried(graph: Graph, block: Block) -> tuple[str, str]:
    """Return the activation that enters a layer and the one that it passes to the next.

    The latter is the last operator's first output, the former the first external activation of
    the same shape; ``("", ...)`` if there is none, in which case repetitions are independent.
    """
    leaves = block.operators[-1].writes[0]
    shape = graph.tensors[leaves].shape
    inside = {n for op in block.operators for n in op.writes}
    for operator in block.operators:
        for name in operator.reads:
            tensor = graph.tensors[name]
            if name not in inside and tensor.role not in _OWN and tensor.shape == shape:
                return name, leaves
    return "", leaves


def _shared_between_blocks(graph: Graph) -> set[str]:
    """Return weights and caches that several blocks access (tied, or global)."""
    owner: dict[str, str] = {}
    shared: set[str] = set()
    for block, operator in graph.walk():
        for name in (*operator.reads, *operator.writes):
            if (
                graph.tensors[name].role in _OWN
                and owner.setdefault(name, block.name) != block.name
            ):
                shared.add(name)
    return shared
