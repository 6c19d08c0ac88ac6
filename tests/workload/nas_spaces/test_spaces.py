"""What every space of architectures keeps."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.graph import Graph
from perfmodel.workload.nas_spaces import ArchitectureSpace, Choice, names, space
from perfmodel.workload.nas_spaces.architecture_space import ArchitectureBuild
from perfmodel.workload.workload import PLAIN

SPACES = {name: space(name) for name in names()}


@pytest.fixture(params=names())
def there(request: pytest.FixtureRequest) -> ArchitectureSpace:
    return SPACES[request.param]


def samples(there: ArchitectureSpace, n: int, seed: int) -> list[Choice]:
    return [tuple(row) for row in there.sample(n, seed).tolist()]


def fingerprint(graph: Graph) -> list[Any]:
    """What a graph computes, names left out: operators over tensors numbered as they appear."""
    number: dict[str, int] = {}
    made: list[Any] = []
    for block, operator in graph.walk():
        tensors = [
            (number.setdefault(a.tensor, len(number)), graph.tensors[a.tensor].shape, a.mode)
            for a in operator.accesses
        ]
        made.append((block.count, operator.kind, operator.attributes, operator.macs, tensors))
    return made


def test_each_segment_is_a_block_and_one_tensor_crosses(
    there: ArchitectureSpace, crossing: Callable[[Graph], None]
) -> None:
    order = {segment.name: segment for segment in there.segments}
    for choice in samples(there, 15, 1):
        graph = there.graph(choice)
        crossing(graph)
        assert all(block.count == order[block.name].count for block in graph.blocks)
        weights: dict[str, str] = {}
        for block, operator in graph.walk():
            for name in operator.reads:
                if graph.tensors[name].role == "weight":
                    assert weights.setdefault(name, block.name) == block.name
        blocks = [block.name for block in graph.blocks]
        assert blocks == [name for name in order if name in blocks]


def test_segments_depend_on_their_decisions_alone(there: ArchitectureSpace) -> None:
    rng = np.random.default_rng(3)
    for choice in samples(there, 6, 2):
        other = tuple(samples(there, 1, int(rng.integers(10**6)))[0])
        for segment in rng.choice(len(there.segments), 4, replace=False).tolist():
            here = there.segments[segment]
            mixed = tuple(choice[i] if i in here.decisions else o for i, o in enumerate(other))
            # Raw structures: a canonical one may move a layer among its likes.
            found = [
                [operator.macs, operator.kind, operator.attributes]
                for c in (choice, mixed)
                for block, operator in ArchitectureBuild(there, c)(PLAIN).walk()
                if block.name == here.name
            ]
            half = len(found) // 2
            assert found[:half] == found[half:]


def test_equal_networks_have_equal_canonical_choices(there: ArchitectureSpace) -> None:
    rng = np.random.default_rng(5)
    pool = samples(there, 25, 4)
    pool += [there.mutate(choice, rng) for choice in pool[:10]]
    pool += [there.canonical(choice) for choice in pool[:20]]
    prints = [
        (fingerprint(there.graph(choice)), there.parameters(choice), there.canonical(choice))
        for choice in pool
    ]
    equal = 0
    for (one, numbers, a), (other, others, b) in itertools.combinations(prints, 2):
        assert (one == other and numbers == others) == (a == b)
        equal += a == b
    assert equal >= 20
    for choice in pool[:10]:
        raw = ArchitectureBuild(there, choice)(PLAIN)
        assert fingerprint(raw) == fingerprint(there.graph(choice))
        assert there.canonical(there.canonical(choice)) == there.canonical(choice)


def test_notation_reads_back(there: ArchitectureSpace) -> None:
    for choice in samples(there, 30, 7):
        assert there.encode(there.decode(choice)) == choice
        assert there.canonical(choice) == there.canonical(there.canonical_rows([choice])[0])


def test_values(there: ArchitectureSpace) -> None:
    again = space(there.name)
    assert again == there
    assert hash(again) == hash(there)
    assert pickle.loads(pickle.dumps(there)) == there
    wider = space(there.name, classes=7)
    assert wider != there
    assert pickle.loads(pickle.dumps(wider)).settings == wider.settings
    choice = samples(there, 1, 8)[0]
    text = pickle.dumps(there.workload(choice, batch=3))
    assert len(text) < 3000
    work = pickle.loads(text)
    assert work.graph() is there.workload(choice).graph()
    assert work.parameters == there.workload(choice, batch=3).parameters
    assert work.unit == "frames"
    assert work.items() == 3
    assert all(len({*d.options}) == len(d.options) > 1 for d in there.decisions)


def test_moves(there: ArchitectureSpace) -> None:
    rng = np.random.default_rng(1)
    for choice, other in itertools.pairwise(samples(there, 8, 9)):
        mutated = there.mutate(choice, rng)
        assert there.valid(mutated)
        assert there.canonical(mutated) != there.canonical(choice)
        child = there.crossover(choice, other, rng)
        assert all(
            c in pair for c, pair in zip(child, zip(choice, other, strict=True), strict=True)
        )
        near = there.neighbours(choice)
        assert len(set(near)) == len(near) > 0
        assert all(n == there.canonical(n) != there.canonical(choice) for n in near)
    drawn = there.sample(400, 10)
    assert drawn.shape == (400, len(there.decisions))
    for i, decision in enumerate(there.decisions):
        assert set(drawn[:, i].tolist()) == set(range(len(decision.options)))
    assert np.array_equal(drawn, there.sample(400, 10))


def test_iteration_is_lazy_and_canonical_first(there: ArchitectureSpace) -> None:
    first = list(itertools.islice(there, 200))
    assert len(set(first)) == 200
    assert all(there.valid(choice) for choice in first)


@pytest.mark.parametrize("device", ["zen4_core", "raspberry_pi_5", "gemmini_16x16"])
def test_predictions_run(there: ArchitectureSpace, device: str) -> None:
    machine = hardware(device)
    for choice in samples(there, 2, 11):
        work = there.workload(choice)
        one = predict(work, machine)
        assert 0 < one.latency_s < 10
        batch = predict(there.workload(choice, batch=np.array([1.0, 4.0])), machine)
        assert batch.latency_s[0] == pytest.approx(one.latency_s, rel=1e-12)
        assert batch.latency_s[0] < batch.latency_s[1]


def test_faults(there: ArchitectureSpace) -> None:
    choice = list(samples(there, 1, 12)[0])
    choice[0], choice[-1] = 99, -1
    with pytest.raises(InputError) as caught:
        there.workload(choice)
    assert [fault.path for fault in caught.value.faults] == [
        there.decisions[0].name,
        there.decisions[-1].name,
    ]
    with pytest.raises(InputError, match="did you mean 'batch'"):
        there.workload([0] * len(choice), bach=2)
    with pytest.raises(InputError, match="is not an extent"):
        there.workload([0] * len(choice), batch=0)
    for bad in ["", "?", None, 3.5, [], {}, [1, 2], "[1", "7-8", '{"ks": 3}', object()]:
        with pytest.raises(InputError):
            there.encode(bad)
    with pytest.raises(InputError) as caught:
        space(there.name, clases=10, batch_norm="none")
    assert {fault.path for fault in caught.value.faults} == {"clases", "batch_norm"}
    assert json.dumps(there.settings.model_dump())
