from __future__ import annotations

import csv
import gzip
import itertools
import json
import pickle
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import networkx as nx
import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces import names, space
from perfmodel.workload.nas_spaces.nas_bench_201 import EDGES, OPERATIONS, NasBench201

SPACE = cast("NasBench201", space("nas_bench_201"))
ZEN4_NAMES = {"none": 0, "skip": 1, "c1": 2, "c3": 3, "ap": 4}


def rows(data: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(data / "measured" / name, "rt") as file:
        return list(csv.DictReader(file))


def test_there_are_15625() -> None:
    assert len(SPACE) == SPACE.size == 15625 == 5**6
    assert len(set(SPACE)) == 15625
    assert "nas_bench_201" in names()


# The paper's API prints "params" and "FLOP" (multiply-accumulates, in millions) of networks on
# CIFAR-10; the largest and the smallest bound the range that the paper gives.
@pytest.mark.parametrize(
    ("cell", "dataset", "macs", "weights"),
    [
        ("nor_conv_3x3", "cifar10", 220.119680e6, 1.531546e6),
        ("skip_connect", "cifar10", 7.783040e6, 0.073306e6),
    ],
)
def test_published_extremes(cell: str, dataset: str, macs: float, weights: float) -> None:
    work = space("nas_bench_201", dataset=dataset).workload(SPACE.encode([cell] * 6))
    assert work.macs == macs
    assert work.weights == weights


def layers(choice: tuple[int, ...], height: int, width: int, image: int, classes: int) -> float:
    """Multiply-accumulates from the paper's figure, all edges executed."""
    area = height * width
    total: float = 9 * image * 16 * area
    for i, channels in enumerate((16, 32, 64)):
        here = area // 4**i
        if i:
            total += here * (9 * channels // 2 * channels + 9 * channels**2 + channels**2 // 2)
        per_edge = {2: channels**2, 3: 9 * channels**2}
        total += 5 * here * sum(per_edge.get(option, 0) for option in choice)
    return total + 64 * classes


@pytest.mark.parametrize(
    ("dataset", "size"),
    [
        ("cifar100", (32, 32, 3, 100)),
        ("ImageNet16-120", (16, 16, 3, 120)),
        ("ninapro", (52, 16, 1, 18)),
        ("darcy", (88, 88, 1, 1)),
    ],
)
def test_work_of_other_data_sets(dataset: str, size: tuple[int, int, int, int]) -> None:
    there = space("nas_bench_201", dataset=dataset)
    for choice in [(3,) * 6, (2, 3, 4, 1, 2, 3), (4,) * 6]:
        assert there.workload(choice).macs == layers(choice, *size)
        assert there.workload(choice, batch=4).macs == 4 * layers(choice, *size)


@pytest.mark.data
@pytest.mark.parametrize(
    "file", ["help_nasbench201_latency.csv.gz", "hwnasbench360_pi5_pixel.csv.gz"]
)
def test_strings_and_indices_of_measured_files(file: str, data: Path) -> None:
    order = list(SPACE)
    for row in rows(data, file):
        choice = SPACE.encode(row["arch_str"])
        assert SPACE.decode(choice) == row["arch_str"]
        at = int(row["arch_idx"])
        assert order[at] == choice == SPACE.encode(at)
        assert SPACE.published_index(choice) == at


@pytest.mark.data
def test_graphs_measured_on_zen4(data: Path) -> None:
    folder = data / "cpu_zen4"
    cells: dict[str, list[str]] = {
        k: v for k, v in json.loads((folder / "nas_archs.json").read_text()).items() if "nb201" in k
    }
    with (folder / "models.csv").open() as file:
        listed = {row["model"]: row for row in csv.DictReader(file)}
    deployed = space("nas_bench_201", batch_norm="folded")
    seen = 0
    for model, cell in cells.items():
        path = folder / "graphs" / f"{model}.json"
        if not path.exists():
            continue
        seen += 1
        entry = json.loads(path.read_text())
        work = deployed.workload(tuple(ZEN4_NAMES[name] for name in cell))
        assert work.macs == entry["macs"] == float(listed[model]["macs_graph"])
        # Weights of convolutions and of the classifier; the file's biases are one shared zero.
        file_weights = sum(
            np.prod(node["in_shapes"][1])
            for node in entry["nodes"]
            if node["op"] in {"Conv", "Gemm"}
        )
        graph = work.graph()
        stored = graph.stored_weights()
        ours = sum(
            cast("float", times * graph.tensors[name].elements)
            for name, times in stored.items()
            if graph.tensors[name].tag != "vector"
        )
        assert ours == file_weights
        counts: dict[str, float] = defaultdict(float)
        for block, operator in graph.walk():
            function = dict(operator.attributes).get("function", operator.kind)
            counts[function] += cast("float", block.count)
        nodes: dict[str, int] = defaultdict(int)
        for node in entry["nodes"]:
            nodes[node["op"]] += 1
        assert counts["conv"] == nodes["Conv"]
        assert counts["relu"] == nodes["Relu"]
        assert counts["add"] == nodes["Add"]
        assert counts["pool"] == nodes["AveragePool"] + nodes["ReduceMean"]
    assert seen >= 20


def test_zeros_vanish_and_what_is_not_read_too() -> None:
    stem_and_head = SPACE.workload((0,) * 6)
    assert stem_and_head.notes
    assert not SPACE.connected((3, 3, 3, 0, 0, 0))
    assert SPACE.canonical((3, 3, 3, 0, 0, 0)) == (0,) * 6
    assert SPACE.graph((3, 3, 3, 0, 0, 0)) is SPACE.graph((0,) * 6)
    # 0-1 brings zero: what leads on from node 1 has no effect.
    assert SPACE.canonical((0, 3, 2, 1, 3, 2)) == SPACE.canonical((0, 3, 4, 1, 1, 2))
    # A skip is the tensor itself: the edge after it may as well start at the input.
    assert SPACE.canonical((1, 0, 3, 0, 0, 3)) == SPACE.canonical((0, 3, 0, 0, 0, 3))
    assert not SPACE.workload((1,) * 6).notes


def reduced(choice: tuple[int, ...]) -> nx.MultiDiGraph[int]:
    """The network of a cell by rewriting until nothing changes; an independent second way.

    Every edge is a node of its own that multiplies, pools or hands on; every cell node a sum.
    """
    graph: Any = nx.MultiDiGraph()
    graph.add_nodes_from((f"n{i}", {"op": "sum"}) for i in range(1, 4))
    graph.add_node("n0", op="input")
    graph.add_node("end", op="end")
    graph.add_edge("n3", "end")
    for i, ((a, b), option) in enumerate(zip(EDGES, choice, strict=True)):
        if OPERATIONS[option] != "none":
            graph.add_node(f"e{i}", op=OPERATIONS[option])
            graph.add_edge(f"n{a}", f"e{i}")
            graph.add_edge(f"e{i}", f"n{b}")

    def once() -> bool:
        for node, op in list(graph.nodes(data="op")):
            readers, sources = list(graph.successors(node)), list(graph.predecessors(node))
            into, out = graph.in_degree(node), graph.out_degree(node)
            if op not in {"input", "end"} and (into == 0 or out == 0):
                graph.remove_node(node)
                return True
            absorbed = op == "sum" and out == 1 and graph.nodes[readers[0]]["op"] == "sum"
            if op == "skip_connect" or (op == "sum" and into == 1) or absorbed:
                for source in sources:
                    for reader in readers:
                        times = graph.number_of_edges(source, node)
                        times *= graph.number_of_edges(node, reader)
                        graph.add_edges_from([(source, reader)] * times)
                graph.remove_node(node)
                return True
        pools = [n for n, op in graph.nodes(data="op") if op == "avg_pool_3x3"]
        for one, other in itertools.combinations(pools, 2):
            if list(graph.predecessors(one)) == list(graph.predecessors(other)):
                graph.add_edges_from((one, end) for _, end in list(graph.out_edges(other)))
                graph.remove_node(other)
                return True
        return False

    while once():
        pass
    return graph


def test_canonical_tuples_are_equal_where_networks_are() -> None:
    choices = list(dict.fromkeys(tuple(row) for row in SPACE.sample(700, 5).tolist()))
    groups: dict[str, list[tuple[Any, tuple[int, ...]]]] = defaultdict(list)
    for choice in choices:
        graph = reduced(choice)
        marks = [(op, graph.in_degree(n), graph.out_degree(n)) for n, op in graph.nodes(data="op")]
        mark = str(sorted(marks))
        groups[mark].append((graph, SPACE.canonical(choice)))
    equal = different = 0

    def same_op(a: dict[str, str], b: dict[str, str]) -> bool:
        return a["op"] == b["op"]

    for members in groups.values():
        for (one, a), (other, b) in itertools.combinations(members, 2):
            same = nx.is_isomorphic(one, other, node_match=same_op, edge_match=_as_many)
            assert same == (a == b)
            equal += same
            different += not same
    # Networks in different groups differ.
    canonical = [{b for _, b in members} for members in groups.values()]
    assert sum(map(len, canonical)) == len(set().union(*canonical))
    assert equal > 100


def _as_many(a: dict[int, Any], b: dict[int, Any]) -> bool:
    return len(a) == len(b)


def test_canonical_choices_stand_for_themselves() -> None:
    everything = np.array(list(SPACE))
    canonical = SPACE.canonical_rows(everything)
    assert np.array_equal(SPACE.canonical_rows(canonical), canonical)
    some = SPACE.sample(50, 3)
    assert [SPACE.canonical(c) for c in some] == [tuple(c) for c in SPACE.canonical_rows(some)]


def test_segments_are_blocks_with_one_tensor_between(crossing: Callable[[Graph], None]) -> None:
    order = [segment.name for segment in SPACE.segments]
    for choice in [*SPACE.sample(60, 11).tolist(), [3] * 6]:
        graph = SPACE.graph(choice)
        crossing(graph)
        blocks = {block.name: block for block in graph.blocks}
        assert [name for name in order if name in blocks] == [b.name for b in graph.blocks]
        for segment in SPACE.segments:
            if segment.name in blocks:
                assert blocks[segment.name].count == segment.count
    assert [b.name for b in SPACE.graph((3,) * 6).blocks] == order


def test_unrolled_cells_follow_each_other(crossing: Callable[[Graph], None]) -> None:
    for choice in [(3, 1, 2, 4, 0, 1), (3,) * 6, (1, 3, 1, 1, 2, 1)]:
        graph = SPACE.graph(choice)
        crossing(graph.unroll())
        assert graph.unroll().macs == graph.macs


@pytest.mark.parametrize("device", ["zen4_core", "raspberry_pi_5", "gemmini_16x16"])
def test_predictions_run_and_more_work_takes_longer(device: str) -> None:
    machine = hardware(device)
    least = predict(SPACE.workload((0,) * 6), machine).latency_s
    most = predict(SPACE.workload((3,) * 6), machine).latency_s
    for choice in SPACE.sample(6, 2):
        found = predict(SPACE.workload(choice), machine).latency_s
        assert least <= found <= most
    assert 0 < least < most


def test_faults_come_together() -> None:
    with pytest.raises(InputError) as caught:
        SPACE.encode("|nor_conv_3x4~0|+|none~0|none~0|+|skip~0|none~1|")
    text = [str(fault) for fault in caught.value.faults]
    assert any("did you mean 'nor_conv_3x3'" in t for t in text)
    assert any("edge_1_2" in t and "'~1'" in t for t in text)
    assert any("'skip' is not an operation" in t for t in text)
    assert any("node 3" in t and "2 edges" in t for t in text)
    for bad in [15625, -1, None, ["none"] * 5, ["none"] * 5 + ["conv"], "", "|"]:
        with pytest.raises(InputError):
            SPACE.encode(bad)
    with pytest.raises(InputError) as caught:
        SPACE.workload((0, 5, 0, 0, -1, 0))
    assert [fault.path for fault in caught.value.faults] == ["edge_0_2", "edge_1_3"]
    for wrong in [(0,) * 5, "000000", (0.0,) * 6, (True,) * 6, None, 7, {}, np.zeros((6, 1), int)]:
        assert not SPACE.valid(wrong)
        with pytest.raises(InputError):
            SPACE.canonical(cast("Any", wrong))
    with pytest.raises(InputError, match="did you mean 'nas_bench_201'"):
        space("nasbench_201")
    with pytest.raises(InputError, match="did you mean 'cifar100'"):
        space("nas_bench_201", dataset="cifar00")
    with pytest.raises(InputError) as caught:
        space("nas_bench_201", height=30, classes=0, image_chanels=1)
    assert {fault.path for fault in caught.value.faults} == {"height", "classes", "image_chanels"}
    with pytest.raises(InputError, match="multiple of 4"):
        SPACE.workload((3,) * 6, height=33)
    with pytest.raises(InputError, match="cannot be halved"):
        SPACE.workload((3,) * 6, width=[32, 30])
    for bad in ["32", ["a"], [[1], [2, 3]], None]:
        with pytest.raises(InputError):
            SPACE.workload((3,) * 6, height=cast("Any", bad))
    with pytest.raises(InputError, match="did you mean 'height'"):
        SPACE.workload((3,) * 6, heigth=32)


def test_spaces_are_values() -> None:
    again = space("nas_bench_201")
    other = space("nas_bench_201", classes=100)
    assert again == SPACE
    assert hash(again) == hash(SPACE)
    assert other != SPACE
    assert pickle.loads(pickle.dumps(other)) == other
    text = pickle.dumps(SPACE.workload((1, 2, 3, 4, 0, 1), batch=8))
    assert len(text) < 2000
    work = pickle.loads(text)
    assert work.graph() is SPACE.workload((1, 2, 3, 4, 0, 1)).graph()
    assert work.parameters["batch"] == 8


def test_moves() -> None:
    rng = np.random.default_rng(0)
    for row in SPACE.sample(100, 4):
        choice = SPACE.encode([OPERATIONS[i] for i in row])
        mutated = SPACE.mutate(choice, rng)
        assert SPACE.valid(mutated)
        assert SPACE.canonical(mutated) != SPACE.canonical(choice)
        partner = tuple(SPACE.sample(1, int(row.sum()))[0].tolist())
        child = SPACE.crossover(choice, partner, rng)
        assert all(c in {a, b} for c, a, b in zip(child, choice, partner, strict=True))
        near = SPACE.neighbours(choice)
        assert len(set(near)) == len(near) <= 24
        assert all(SPACE.canonical(n) == n != SPACE.canonical(choice) for n in near)
    # Without the edge 0-1 or without 2-3 the triangle of convolutions is the same network.
    assert len(SPACE.neighbours((3,) * 6)) == 24 - 1
    assert np.array_equal(SPACE.sample(20, 9), SPACE.sample(20, 9))
    assert SPACE.sample(0, 1).shape == (0, 6)
