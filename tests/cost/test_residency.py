"""Traffic between memory levels against a plain reading of the rule, on random graphs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.operand_bytes import activation_bytes
from perfmodel.cost.residency import level_traffic
from perfmodel.cost.setting import Setting
from perfmodel.formats import parse_precision
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.graph import Graph
from perfmodel.workload.lower import Lowered
from tests.draws import draws

NO_FUSION = FusionRules(elementwise=False, flash_attention=True)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random DAGs of adds and concats over vectors of random sizes."""
    g = GraphBuilder("random")
    made = [g.input("x", (draw(st.integers(1, 50)),))]
    for i in range(draw(st.integers(1, 9))):
        picks = draw(st.lists(st.integers(0, len(made) - 1), min_size=1, max_size=3, unique=True))
        made.append(g.copy([made[p] for p in picks], (draw(st.integers(1, 50)),), name=f"op{i}"))
    return g.build()


def intervals(graph: Graph) -> dict[str, tuple[int, int]]:
    operators = graph.blocks[0].operators
    out: dict[str, tuple[int, int]] = {}
    for i, operator in enumerate(operators):
        for name in (*operator.reads, *operator.writes):
            first = 0 if name in graph.inputs else out.get(name, (i, i))[0]
            out[name] = (first, i)
    for name in graph.outputs:
        out[name] = (out[name][0], len(operators) - 1)
    return out


def resident(graph: Graph, capacity: float) -> set[str]:
    """The rule read plainly: fits with all tensors of no longer life, at each of its steps."""
    lives = intervals(graph)
    length = {n: b - a for n, (a, b) in lives.items()}
    kept: set[str] = set()
    for name, (a, b) in lives.items():
        if name in graph.inputs or name in graph.outputs:
            continue
        need = max(
            sum(
                graph.tensors[o].elements
                for o, (c, d) in lives.items()
                if c <= step <= d and length[o] <= length[name]
            )
            for step in range(a, b + 1)
        )
        if need <= capacity:
            kept.add(name)
    return kept


def setting(capacity: object) -> Setting:
    facts = {
        "memories.near.capacity": capacity,
        "memories.near.bandwidth": 1.0,
        "memories.main.capacity": 1e9,
        "memories.main.bandwidth": 1.0,
    }
    return Setting(facts, "e", ("near", "main"), "main", parse_precision("int8"))


@settings(max_examples=draws(200))
@given(graphs(), st.integers(0, 200))
def test_traffic_follows_the_rule(graph: Graph, capacity: int) -> None:
    table = Lowered(graph, NO_FUSION, tagged=False).bind({}, accesses=True)
    traffic = level_traffic(table, setting(float(capacity)))
    kept = resident(graph, capacity)
    operators = graph.blocks[0].operators
    for i, operator in enumerate(operators):
        near = sum(a.elements for a in operator.accesses)
        far = sum(a.elements for a in operator.accesses if a.tensor not in kept)
        assert traffic["near"][i, 0] == near
        assert traffic["main"][i, 0] == far


@settings(max_examples=draws(200))
@given(graphs(), st.integers(0, 200))
def test_what_is_resident_never_exceeds_the_capacity(graph: Graph, capacity: int) -> None:
    lives = intervals(graph)
    kept = resident(graph, capacity)
    for step in range(len(graph.blocks[0].operators)):
        held = sum(graph.tensors[n].elements for n in kept if lives[n][0] <= step <= lives[n][1])
        assert held <= capacity


@given(graphs())
def test_more_capacity_never_adds_traffic(graph: Graph) -> None:
    capacities = np.arange(0.0, 400.0, 7.0)
    table = Lowered(graph, NO_FUSION, tagged=False).bind({}, len(capacities), accesses=True)
    main = level_traffic(table, setting(capacities))["main"].sum(axis=0)
    assert np.all(np.diff(main) <= 0)
    external = sum(graph.tensors[n].elements for n in graph.outputs)
    assert np.all(main >= external)


@given(graphs())
def test_peak_activations_by_liveness(graph: Graph) -> None:
    lives = intervals(graph)
    peak = max(
        sum(graph.tensors[n].elements for n, (a, b) in lives.items() if a <= step <= b)
        for step in range(len(graph.blocks[0].operators))
    )
    table = Lowered(graph, NO_FUSION, tagged=False).bind({})
    assert float(activation_bytes(table, setting(1.0))[0]) == peak
