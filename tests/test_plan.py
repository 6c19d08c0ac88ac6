"""Plans: values that fit one graph, over one device or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from perfmodel.errors import InputError
from perfmodel.plan import Capacity, Move, Placement, Plan, Residency, Transfer
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.graph import Graph
from perfmodel.workload.symbols import evaluate
from perfmodel.workload.training_step import backward


def network(layers: int = 3, batch: int = 4, width: int = 8) -> Graph:
    g = GraphBuilder("net")
    x = g.input("x", (batch, width))
    for i in range(layers):
        x = g.linear(x, width, name=f"fc{i}", bias=False)
        x = g.elementwise("relu", x, name=f"relu{i}")
    return g.build()


def bytes_of(graph: Graph) -> dict[str, float]:
    return {n: 2.0 * evaluate(t.elements, graph.defaults) for n, t in graph.tensors.items()}


def lifetimes(graph: Graph, order: list[str]) -> dict[str, tuple[int, int]]:
    """First and last step of each activation in an order of operators."""
    operators = {operator.name: operator for _, operator in graph.walk()}
    found: dict[str, tuple[int, int]] = {}
    for step, name in enumerate(order):
        for access in operators[name].accesses:
            if graph.tensors[access.tensor].role == "activation":
                first, _ = found.get(access.tensor, (step, step))
                found[access.tensor] = first, step
    return found


def sequential(graph: Graph, capacity: float = 1e9) -> Plan:
    """Everything on one engine in the graph's own order, addresses one after another."""
    order = [operator.name for _, operator in graph.walk()]
    sizes = bytes_of(graph)
    residency: list[Residency] = []
    offset = 0
    for name, (first, last) in lifetimes(graph, order).items():
        residency.append(
            Residency(
                tensor=name,
                memory="sram",
                device="mcu",
                first=first,
                last=last,
                size_bytes=sizes[name],
                address=offset,
            )
        )
        offset += int(sizes[name])
    return Plan(
        graph=graph.content_hash(),
        precision="w16a16",
        method="sequential",
        order=tuple(
            Placement(operator=n, device="mcu", engine="cpu", start_s=i, end_s=i + 1)
            for i, n in enumerate(order)
        ),
        capacities=(Capacity(memory="sram", device="mcu", size_bytes=capacity),),
        residency=tuple(residency),
    )


def split(graph: Graph, cut: int) -> Plan:
    """The first `cut` operators on one device, the others on a second, joined by a link."""
    order = [operator.name for _, operator in graph.walk()]
    sizes = bytes_of(graph)
    device = ["head" if i < cut else "tail" for i in range(len(order))]
    residency: list[Residency] = []
    transfers: list[Transfer] = []
    for name, (first, last) in lifetimes(graph, order).items():
        crosses = first < cut <= last
        if first < cut:
            residency.append(
                Residency(
                    tensor=name,
                    memory="dram",
                    device="head",
                    first=first,
                    last=min(last, cut - 1),
                    size_bytes=sizes[name],
                )
            )
        if last >= cut:
            residency.append(
                Residency(
                    tensor=name,
                    memory="dram",
                    device="tail",
                    first=max(first, cut),
                    last=last,
                    size_bytes=sizes[name],
                )
            )
        if crosses:
            transfers.append(
                Transfer(
                    tensor=name,
                    step=cut,
                    link="ethernet",
                    source="head",
                    target="tail",
                    size_bytes=sizes[name],
                    start_s=cut,
                    end_s=cut + 0.5,
                )
            )
    return Plan(
        graph=graph.content_hash(),
        precision="w16a16",
        order=tuple(
            Placement(
                operator=n,
                device=d,
                engine="npu",
                start_s=i + 0.5 * (i >= cut),
                end_s=i + 1 + 0.5 * (i >= cut),
            )
            for i, (n, d) in enumerate(zip(order, device, strict=True))
        ),
        capacities=(
            Capacity(memory="dram", device="head", size_bytes=1e6),
            Capacity(memory="dram", device="tail", size_bytes=1e6),
        ),
        residency=tuple(residency),
        transfers=tuple(transfers),
    )


def changed(plan: Plan, **changes: Any) -> Plan:
    return plan.model_copy(update=changes)


def texts(plan: Plan, graph: Graph, sizes: Mapping[str, float] | None = None) -> list[str]:
    return [str(fault) for fault in plan.check(graph, sizes)]


def test_a_plan_fits_its_graph_and_says_what_is_held() -> None:
    graph = network()
    plan = sequential(graph)
    assert plan.check(graph, bytes_of(graph)) == []
    # Input and output of each operator: two tensors of 4 x 8 in two bytes.
    assert plan.held_bytes("sram", "mcu") == [2 * 4 * 8 * 2] * 6
    assert plan.devices == ("mcu",)
    assert plan.spill_bytes == plan.reload_bytes == plan.transfer_bytes == 0


@pytest.mark.parametrize("make", [sequential, lambda graph: split(graph, 3)])
def test_json_round_trip(make: Callable[[Graph], Plan]) -> None:
    plan = make(network())
    again = Plan.from_json(plan.to_json(indent=1))
    assert again == plan
    assert hash(again) == hash(plan)


def test_two_devices_joined_by_a_link() -> None:
    graph = network()
    plan = split(graph, 3)
    assert plan.check(graph, bytes_of(graph)) == []
    assert plan.devices == ("head", "tail")
    assert plan.transfer_bytes == 4 * 8 * 2
    (transfer,) = plan.transfers
    assert transfer.tensor == "fc1.out"
    without = texts(changed(plan, transfers=()), graph)
    assert any("'relu1' on 'tail' reads 'fc1.out', which stays on 'head'" in t for t in without)
    assert any("appears in 'dram' at step 3 without a producer" in t for t in without)
    early = changed(plan, transfers=(transfer.model_copy(update={"end_s": 9.0}),))
    assert any("starts before 'fc1.out' is there" in text for text in texts(early, graph))
    nowhere = changed(plan, transfers=(transfer.model_copy(update={"target": "tial"}),))
    assert any("did you mean 'tail'" in text for text in texts(nowhere, graph))


def test_a_training_step_on_one_device_and_in_a_pipeline() -> None:
    graph = backward(network())
    plan = sequential(graph)
    assert plan.check(graph, bytes_of(graph)) == []
    # Each layer's input is held until its weight gradient has been made.
    order = [p.operator for p in plan.order]
    for i in range(3):
        kept = next(
            r for r in plan.residency if r.tensor == ("x" if i == 0 else f"relu{i - 1}.out")
        )
        assert kept.last >= order.index(f"fc{i}.backward.weight")
    # Layers on two devices: activations go forth over the link, their gradients back.
    front = {n for n in order if n.startswith(("fc0", "relu0"))}
    placed = tuple(
        Placement(operator=n, device="a" if n in front else "b", engine="gpu") for n in order
    )
    sent = {"relu0.out": ("a", "b", "fc1"), "relu0.out.grad": ("b", "a", "relu0.backward")}
    pipeline = Plan(
        graph=graph.content_hash(),
        order=placed,
        transfers=tuple(
            Transfer(
                tensor=n,
                step=order.index(reader),
                link="nvlink",
                source=s,
                target=t,
                size_bytes=bytes_of(graph)[n],
            )
            for n, (s, t, reader) in sent.items()
        ),
    )
    assert pipeline.check(graph, bytes_of(graph)) == []
    one_way = changed(pipeline, transfers=pipeline.transfers[:1])
    (text,) = texts(one_way, graph)
    assert text == (
        "order.12: 'relu0.backward' on 'a' reads 'relu0.out.grad', which stays on 'b'; expected a "
        "transfer to 'a'"
    )


def test_another_graph_is_refused_first() -> None:
    plan = sequential(network())
    (fault,) = plan.check(network(layers=4))
    assert "another graph" in fault.message


def test_orders_that_do_not_run() -> None:
    graph = network()
    plan = sequential(graph)
    order = plan.order
    swapped = changed(plan, order=(order[1], order[0], *order[2:]), residency=())
    assert "order.0: 'relu0' reads 'fc0.out' before 'fc0' produces it at step 1" in texts(
        swapped, graph
    )
    short = changed(plan, order=order[:-1], residency=())
    assert texts(short, graph) == ["order: 'relu2' never runs; expected every operator once"]
    again = order[0].model_copy(update={"start_s": 7, "end_s": 8})
    twice = changed(plan, order=(*order, again), residency=())
    assert texts(twice, graph) == ["order.6: 'fc0' runs twice; expected each operator once"]
    wrong = order[0].model_copy(update={"operator": "fc00"})
    found = texts(changed(plan, order=(wrong, *order[1:]), residency=()), graph)
    assert "order.0: the graph has no operator 'fc00'; did you mean 'fc0'?" in found
    assert "order: 'fc0' never runs; expected every operator once" in found


def test_times_must_follow_the_data_and_the_engine() -> None:
    graph = network()
    plan = sequential(graph)
    second = plan.order[1].model_copy(update={"start_s": 0.5})
    overlapping = changed(plan, order=(plan.order[0], second, *plan.order[2:]))
    assert texts(overlapping, graph) == [
        "order.1: 'relu0' starts while 'fc0' holds the engine; expected a start from 1 s",
        "order.1: 'relu0' starts before 'fc0.out' is there; expected a start from 1 s",
    ]
    backwards = plan.order[5].model_copy(update={"end_s": 4.0})
    assert "order.5: 'relu2' ends before it starts" in texts(
        changed(plan, order=(*plan.order[:5], backwards)), graph
    )


def test_memories_must_hold_what_they_are_given() -> None:
    graph = network()
    tight = sequential(graph, capacity=100)
    found = texts(tight, graph)
    assert found[0] == (
        "capacities.0: 'sram' holds 128 bytes at step 0 ('fc0'); expected 100 bytes at most"
    )
    assert "residency.1: 'fc0.out' ends at 128; expected an end up to 100" in found
    plan = sequential(graph)
    same = plan.residency[1].model_copy(update={"address": 32})
    clash = changed(plan, residency=(plan.residency[0], same, *plan.residency[2:]))
    assert "residency.1: 'fc0.out' overlaps 'x' at step 0" in texts(clash, graph)
    gone = changed(plan, residency=plan.residency[:-1])
    assert texts(gone, graph) == [
        "order.5: 'relu2' writes 'relu2.out', which is in no memory at step 5"
    ]
    size = plan.residency[0].model_copy(update={"size_bytes": 3.0})
    assert texts(changed(plan, residency=(size, *plan.residency[1:])), graph, bytes_of(graph)) == [
        "residency.0: 'x' has 3 bytes; expected 64 bytes"
    ]


def spilled(graph: Graph) -> Plan:
    """A plan that spills the shortcut of a residual block while the branch runs."""
    order = [operator.name for _, operator in graph.walk()]
    sizes = bytes_of(graph)
    residency: list[Residency] = []
    for name, (first, last) in lifetimes(graph, order).items():
        spans = [(first, last)] if name != "in.out" else [(first, 1), (3, last)]
        residency += [
            Residency(tensor=name, memory="sram", first=a, last=b, size_bytes=sizes[name])
            for a, b in spans
        ]
    size = sizes["in.out"]
    moves = (
        Move(tensor="in.out", kind="spill", step=2, source="sram", target="dram", size_bytes=size),
        Move(tensor="in.out", kind="reload", step=3, source="dram", target="sram", size_bytes=size),
    )
    return Plan(
        graph=graph.content_hash(),
        order=tuple(Placement(operator=n) for n in order),
        capacities=(Capacity(memory="sram", size_bytes=3 * size),),
        residency=tuple(residency),
        moves=moves,
    )


def residual() -> Graph:
    g = GraphBuilder("residual")
    x = g.linear(g.input("x", (4, 8)), 8, name="in", bias=False)
    y = g.linear(x, 8, name="up", bias=False)
    y = g.linear(y, 8, name="down", bias=False)
    g.elementwise("add", x, y)
    return g.build()


def test_spills_and_reloads() -> None:
    graph = residual()
    plan = spilled(graph)
    assert plan.check(graph, bytes_of(graph)) == []
    assert plan.spill_bytes == plan.reload_bytes == 64
    assert plan.held_bytes("sram") == [128, 128, 128, 192]
    lost = changed(plan, moves=plan.moves[:1])
    (text,) = texts(lost, graph)
    assert text == (
        "residency.2: 'in.out' appears in 'sram' at step 3 without a producer; expected a reload "
        "or a transfer before"
    )
    never = changed(plan, moves=plan.moves[1:])
    assert texts(never, graph) == ["moves.0: 'dram' does not hold 'in.out' at step 3"]
    late = plan.moves[0].model_copy(update={"step": 9})
    assert any(
        "step 9 is beyond the order" in t
        for t in texts(changed(plan, moves=(late, plan.moves[1])), graph)
    )


def test_views_need_no_room_of_their_own() -> None:
    g = GraphBuilder("views")
    x = g.linear(g.input("x", (4, 8)), 8, name="a", bias=False)
    x = g.view(x, (32,), name="flat")
    graph = g.build()
    plan = sequential(graph)
    assert plan.check(graph) == []
    kept = tuple(r for r in plan.residency if r.tensor != "flat.out")
    assert changed(plan, residency=kept).check(graph) == []


BAD = """{
  "graph": "0123", "order": [{"operator": "a", "start_s": -1}, {"operatr": "b"}],
  "capacities": [{"memory": "sram", "size_bytes": "1 KiB"}],
  "moves": [{"tensor": "t", "kind": "drop", "step": 0, "source": "a", "target": "b",
             "size_bytes": 1}],
  "colour": "red"
}"""


def test_every_fault_of_a_file_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Plan.from_json(BAD, "p.json")
    places = [(fault.line, fault.path) for fault in caught.value.faults]
    assert places == [
        (2, "order.0.start_s"),
        (2, "order.1"),
        (2, "order.1.operatr"),
        (3, "capacities.0.size_bytes"),
        (4, "moves.0.kind"),
        (6, "colour"),
    ]
    assert "did you mean 'operator'" in str(caught.value)
    with pytest.raises(InputError):
        Plan.from_json("{")


def test_real_networks_unrolled() -> None:
    from perfmodel.workload.library import find

    graph = find("mlperf_tiny_kws").graph().unroll()
    plan = sequential(graph)
    assert plan.check(graph, bytes_of(graph)) == []
    # The graph with its repetitions folded is another one.
    assert plan.check(find("mlperf_tiny_kws").graph())
