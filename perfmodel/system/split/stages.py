"""Decomposition of a network into stages, each of which runs entirely on one side.

A stage is an indivisible unit: a kernel of either side's runtime with its fused operators, and
operators that share a KV cache or a recurrent state. The cost of a stage on a side is the sum of
its rows there, so that the cost of a part is the sum over its stages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, first_number
from perfmodel.cost.setting import Setting
from perfmodel.errors import input_error
from perfmodel.formats import Precision
from perfmodel.kinds.rates import vector_peak
from perfmodel.prediction import stages
from perfmodel.prediction.job import PredictionJob
from perfmodel.prediction.prediction import Prediction
from perfmodel.resolve import PredictionInputs
from perfmodel.workload.fuse import aliases
from perfmodel.workload.graph import Graph, Operator
from perfmodel.workload.lower import Lowered
from perfmodel.workload.symbols import evaluate
from perfmodel.workload.unroll import written_out
from perfmodel.workload.workload import Workload

Floats = npt.NDArray[np.float64]

#: Maximum number of operators of a graph, with repetitions unrolled.
MOST_OPERATORS = 2500
#: Formats of indices and masks, which the link carries unchanged.
INDICES = frozenset({"int64", "int32", "bool"})
#: Roles of tensors that remain with the operators that access them.
_CACHES = frozenset({"kv", "state"})


@dataclass(frozen=True, slots=True)
class StageActivation:
    """An activation between stages.

    Attributes
    ----------
    maker
        Stage that computes it; -1 for a network input, which the device has.
    readers
        Stages that read it, in order, except its maker.
    wanted
        Whether it is a network output, which the device needs.
    fixed
        Whether the link carries it in its own format: indices and masks.
    """

    tensor: str
    maker: int
    readers: tuple[int, ...]
    wanted: bool
    elements: float
    fixed: bool


@dataclass(frozen=True)
class Stages:
    """Stages in execution order.

    Attributes
    ----------
    members
        Names of the operators of each stage.
    flows
        Activations that enter or leave a stage.
    weights, caches
        Stages that access each tensor, and its number of elements.
    """

    graph: Graph
    members: tuple[tuple[str, ...], ...]
    flows: tuple[StageActivation, ...]
    weights: Mapping[str, tuple[tuple[int, ...], float]]
    caches: Mapping[str, tuple[tuple[int, ...], float]]

    @property
    def count(self) -> int:
        """Number of stages."""
        return len(self.members)

    def before(self) -> list[set[int]]:
        """Return the stages whose outputs each stage reads."""
        earlier: list[set[int]] = [set() for _ in self.members]
        for flow in self.flows:
            for reader in flow.readers:
                if flow.maker >= 0:
                    earlier[reader].add(flow.maker)
        return earlier


@dataclass(frozen=True)
class SplitStageCosts:
    """Costs of the stages on one side.

    Attributes
    ----------
    prediction
        Prediction of the full network on that side.
    seconds
        Seconds of each stage.
    totals
        Contribution of each stage to the totals that energy is computed from, by key.
    once_s
        Overhead in seconds per run, if the side runs any stage.
    precision
        Bits of each tensor's slot.
    vector_ops_per_s
        Rate of vector operations for conversions.
    """

    prediction: Prediction
    seconds: Floats
    totals: Mapping[str, Floats]
    priced: tuple[str, ...]
    once_s: float
    precision: Precision
    vector_ops_per_s: float

    @property
    def setting(self) -> Setting:
        """Setting that cost functions read from."""
        return self.prediction.setting

    def bytes_of(self, graph: Graph, tensor: str, elements: float) -> float:
        """Return the bytes of a tensor on this side."""
        bits = self.precision.bits(graph.tensors[tensor].slot)
        return elements * first_number(bits) / 8.0


def stages_of(
    sides: Sequence[PredictionInputs],
) -> tuple[Stages, tuple[SplitStageCosts, ...]]:
    """Return the stages of a network, and their costs on each side.

    Parameters
    ----------
    sides
        Inputs of both sides; the network is that of the first, with the semantics of its runtime
        (`perfmodel.workload.families.ExecutionSemantics`).

    Raises
    ------
    InputError
        Dimensions are arrays, the network has sizes only or computes nothing, or a name is unknown.
    """
    workload = sides[0].workload
    if workload.shape:
        expected = "one number for each dimension; the rate of the link may be an array"
        raise input_error("a split is of one network", "workload", expected=expected)
    subjects = [stages.resolve(*side) for side in sides]
    graph = stages.source_graph(subjects[0], "split")
    graph = written_out(graph, workload.parameters, MOST_OPERATORS)
    lowered = [
        stages.lower(stages.execute(each, graph), each.model.fusion, each.precision)
        for each in subjects
    ]
    if not any(each.rows for each in lowered):
        raise input_error(f"'{workload.name}' computes nothing", file=workload.origin)
    parts, at = _stages(graph, workload, lowered)
    return parts, tuple(
        costs(subject, each, at, parts.count)
        for subject, each in zip(subjects, lowered, strict=True)
    )


def costs(
    subject: stages.ResolvedPrediction, lowered: Lowered, at: Mapping[str, int], count: int
) -> SplitStageCosts:
    """Return the costs of stages on a machine as sums over its rows.

    Operators added by a runtime (conversions of layout or format) count with the next operator of
    the network.

    Parameters
    ----------
    at
        Stage of each operator.
    """
    prediction = PredictionJob.of(subject, lowered).run()
    table, terms = prediction.opened
    n = len(table.rows)
    stage = np.empty(n, dtype=np.intp)
    following = count - 1
    for i in range(n - 1, -1, -1):
        known = [at[name] for name in table.rows[i].operators if name in at]
        following = stage[i] = known[0] if known else following
    times = _column(table.count, n)

    def summed(values: Value) -> Floats:
        out = np.zeros(count)
        np.add.at(out, stage, times * _column(values, n))
        return out

    totals = {f"operations {name}": summed(done) for name, done in terms.operations.items()}
    totals |= {f"traffic {name}": summed(size) for name, size in terms.traffic.items()}
    totals |= {f"energy {name}": summed(joule) for name, joule in terms.energy.items()}
    setting = prediction.setting
    return SplitStageCosts(
        prediction,
        summed(terms.row_s),
        totals,
        tuple(terms.priced) if terms.energy else (),
        float(np.asarray(prediction.once_a_run_s)),
        subject.precision,
        first_number(vector_peak(setting)[1]),
    )


def _column(values: Value, n: int) -> Floats:
    """Return values as one number per row."""
    array = np.asarray(values, dtype=np.float64)
    return np.broadcast_to(array.reshape(-1, 1) if array.ndim < 2 else array, (n, 1))[:, 0]


def _stages(
    graph: Graph, workload: Workload, lowered: Sequence[Lowered]
) -> tuple[Stages, dict[str, int]]:
    """Return the stages, and the stage of each operator that is not a view."""
    alias = aliases(graph)
    operators = [op for _, op in graph.walk() if op.kind != "view"]
    stage = _joined(graph, operators, alias, lowered)
    at = {op.name: s for op, s in zip(operators, stage, strict=True)}
    members: list[list[str]] = [[] for _ in range(max(stage, default=-1) + 1)]
    for name, s in at.items():
        members[s].append(name)
    values = {**graph.defaults, **workload.parameters}

    def elements(name: str) -> float:
        return float(evaluate(graph.tensors[name].elements, values))

    def stored(roles: frozenset[str]) -> dict[str, tuple[tuple[int, ...], float]]:
        return {
            name: (_sorted(at[operators[i].name] for i in users), elements(name))
            for name, users in _users(graph, operators, alias, roles).items()
        }

    flows: list[StageActivation] = []
    outputs = {alias.get(n, n) for n in graph.outputs}
    for name, users in _users(graph, operators, alias, frozenset({"activation"})).items():
        writers = {i for i in users if name in {alias.get(n, n) for n in operators[i].writes}}
        maker = at[operators[min(writers)].name] if writers else -1
        readers = _sorted(s for i in users if (s := at[operators[i].name]) != maker)
        if readers or name in outputs:
            wanted = name in outputs and maker >= 0
            fixed = graph.tensors[name].format in INDICES
            flows.append(StageActivation(name, maker, readers, wanted, elements(name), fixed))
    weights, caches = stored(frozenset({"weight"})), stored(_CACHES)
    return Stages(graph, tuple(map(tuple, members)), tuple(flows), weights, caches), at


def _joined(
    graph: Graph,
    operators: Sequence[Operator],
    alias: Mapping[str, str],
    lowered: Sequence[Lowered],
) -> list[int]:
    """Return the stage of each operator, by index in execution order.

    Operators of one kernel of either side, and those that share a cache, are one stage.
    """
    import networkx

    nx: Any = networkx
    place = {op.name: i for i, op in enumerate(operators)}
    joined = nx.Graph()
    joined.add_nodes_from(range(len(operators)))
    for side in lowered:
        for kernel in side.kernels:
            nx.add_path(joined, [place[op.name] for op in kernel.operators if op.name in place])
    for users in _users(graph, operators, alias, _CACHES).values():
        nx.add_path(joined, users)
    groups = {i: g for g, members in enumerate(nx.connected_components(joined)) for i in members}
    # Fusion by both sides may form a cycle of stages, which is merged into one stage.
    between = nx.DiGraph()
    between.add_nodes_from(set(groups.values()))
    makers: dict[str, int] = {}
    for i, op in enumerate(operators):
        for name in {alias.get(n, n) for n in op.reads}:
            if name in makers and groups[makers[name]] != groups[i]:
                between.add_edge(groups[makers[name]], groups[i])
        makers |= {alias.get(n, n): i for n in op.writes}
    condensed = nx.condensation(between)
    part: dict[int, int] = condensed.graph["mapping"]
    first: dict[int, int] = {}
    for i in range(len(operators)):
        first.setdefault(part[groups[i]], i)
    sequence = nx.lexicographical_topological_sort(condensed, key=first.__getitem__)
    order: dict[int, int] = {c: k for k, c in enumerate(sequence)}
    return [order[part[groups[i]]] for i in range(len(operators))]


def _sorted(values: Iterable[int]) -> tuple[int, ...]:
    """Return distinct numbers in ascending order."""
    return tuple(sorted(set(values)))


def _users(
    graph: Graph, operators: Sequence[Operator], alias: Mapping[str, str], roles: frozenset[str]
) -> dict[str, list[int]]:
    """Return the operators that access each tensor of the given roles, in order."""
    users: dict[str, list[int]] = {}
    for i, op in enumerate(operators):
        for name in dict.fromkeys(alias.get(n, n) for n in (*op.reads, *op.writes)):
            if graph.tensors[name].role in roles:
                users.setdefault(name, []).append(i)
    return users
