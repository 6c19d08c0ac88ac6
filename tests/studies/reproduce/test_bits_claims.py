"""Claims of mixed bits on Bit Fusion: tables against predictions, choices against enumeration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from perfmodel_studies.claims import apq, ohq
from perfmodel_studies.mixed_bits import BitCosts, Pair, bit_costs, choose_bits, relative_noise

from perfmodel.evaluate import reproduce
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

PAIRS = ((4, 4), (4, 8), (8, 4), (8, 8))


def costs_of(network: str) -> BitCosts:
    return bit_costs(network, apq.DEVICE, PAIRS)


def few(costs: BitCosts, n: int) -> BitCosts:
    """The first layers alone."""
    return costs._replace(
        layers=costs.layers[:n],
        seconds=costs.seconds[:n],
        joules=costs.joules[:n],
        macs=costs.macs[:n],
    )


def own_bits(graph: Graph, bits: Mapping[str, Pair]) -> Graph:
    """The graph in which each layer reads a copy of its weights and input in its own formats."""
    tensors = dict(graph.tensors)

    def changed(operator: Operator) -> Operator:
        if not operator.nests or operator.name not in bits:
            return operator
        roles = {"weight": bits[operator.name][0], "activation": bits[operator.name][1]}
        names: dict[str, str] = {}
        for operand in operator.nests[0].operands:
            old = graph.tensors[operand.tensor]
            if operand.role != "output":
                name = f"{old.name} for {operator.name}"
                tensors[name] = Tensor(name, old.shape, old.role, old.tag, f"int{roles[old.role]}")
                names[old.name] = name
        nests = tuple(
            replace(
                nest,
                operands=tuple(
                    o._replace(tensor=names.get(o.tensor, o.tensor)) for o in nest.operands
                ),
            )
            for nest in operator.nests
        )
        accesses = tuple(
            a._replace(tensor=names.get(a.tensor, a.tensor)) if a.mode == "read" else a
            for a in operator.accesses
        )
        pair = (f"=int{roles['weight']}", f"=int{roles['activation']}")
        return replace(operator, nests=nests, accesses=accesses, pair=pair)

    blocks = tuple(
        replace(block, operators=tuple(changed(o) for o in block.operators))
        for block in graph.blocks
    )
    return replace(graph, tensors=tensors, blocks=blocks)


@pytest.mark.parametrize("network", ["mobilenet_v2", "mobilenet_v3_large", "resnet18"])
def test_tables_add_up_to_predictions(network: str) -> None:
    """Eight bits exactly; a mixture to what residual inputs read at eight bits: a few percent."""
    costs = costs_of(network)
    machine = hardware(apq.DEVICE).machine()
    plain = predict(find(network, {}), machine, precision="int8")
    eight = costs.uniform((8, 8))
    assert eight.seconds == pytest.approx(plain.latency_s, rel=1e-12)
    assert eight.joules == pytest.approx(plain.energy_j, rel=1e-9)
    assert eight.bit_operations == pytest.approx(64 * plain.macs, rel=1e-12)
    choice = np.random.default_rng(3).integers(0, len(costs.pairs), len(costs.layers))
    mixed = costs.at(choice.tolist())
    net = find(network, {})
    graph = own_bits(
        net.graph().unroll(net.parameters), dict(zip(costs.layers, mixed.bits, strict=True))
    )
    found = predict(Workload(network, lambda _: graph, net.parameters), machine, precision="int8")
    assert found.latency_s == pytest.approx(mixed.seconds, rel=0.01)
    assert found.energy_j == pytest.approx(mixed.joules, rel=0.01)
    assert found.latency_s >= mixed.seconds * (1 - 1e-12)


@pytest.mark.parametrize("least", ["seconds", "joules", "loss"])
def test_choices_are_those_of_an_enumeration(
    least: Literal["seconds", "joules", "loss"],
) -> None:
    costs = few(costs_of("mobilenet_v2"), 6)
    noise = relative_noise(costs)
    each = np.arange(6)
    every = [costs.at(c) for c in product(range(4), repeat=6)]
    losses = [float(noise[each, list(c)].sum()) for c in product(range(4), repeat=6)]
    for share in (0.2, 0.4, 0.8):
        most = noise.min() * 6 + share * 6 * (noise.max() - noise.min())
        bits = 0.9 * costs.uniform((8, 8)).bit_operations + 0.1 * min(
            e.bit_operations for e in every
        )
        kept = [
            (e, loss)
            for e, loss in zip(every, losses, strict=True)
            if loss <= most * (1 + 1e-9) and e.bit_operations <= bits * (1 + 1e-9)
        ]
        found = choose_bits(
            costs, loss=noise, most_loss=most, most_bit_operations=bits, least=least
        )
        assert kept
        best = min(loss if least == "loss" else getattr(e, least) for e, loss in kept)
        places = [costs.pairs.index(b) for b in found.bits]
        mine = float(noise[each, places].sum()) if least == "loss" else float(getattr(found, least))
        assert mine == pytest.approx(best, rel=1e-6)
        assert float(noise[each, places].sum()) <= most * (1 + 1e-9)


def test_limits_that_nothing_keeps_are_told() -> None:
    costs = few(costs_of("mobilenet_v2"), 3)
    with pytest.raises(ValueError, match="infeasible"):
        choose_bits(costs, loss=relative_noise(costs), most_loss=1e-9)


def test_more_noise_is_never_slower() -> None:
    """From no more noise than eight bits to that of four: eight bits first, four bits last."""
    costs = costs_of("mobilenet_v2")
    noise = relative_noise(costs)
    bits = (8.0, 7.0, 6.0, 5.0, 4.5, 4.0)
    found = [
        choose_bits(costs, loss=noise, most_loss=2 * 4.0**-b * len(costs.layers)) for b in bits
    ]
    assert found[0] == costs.uniform((8, 8))
    assert found[-1].seconds == pytest.approx(costs.uniform((4, 4)).seconds, rel=1e-9)
    assert np.all(np.diff([f.seconds for f in found]) <= 1e-12)


def test_apq_tells_what_is_reproduced() -> None:
    """Its table is; the gain of its networks over HAQ's is not, and their bits are not public."""
    rows = {row.claim: row for row in reproduce("apq")}
    off = {name for name, row in rows.items() if row.verdict == "off"}
    assert off == {"mixed.latency_gain", "mixed.energy_gain"}
    assert not [name for name, row in rows.items() if row.basis == "first_principles"]
    for name, row in rows.items():
        if name.endswith(".ms") and row.error is not None:
            assert abs(row.error) < 0.0012, name
        if name.endswith(".mj") and row.error is not None:
            assert abs(row.error) < 0.03, name
    hidden = {name for name, row in rows.items() if row.verdict == "not_public"}
    assert {f"network_{key}.{unit}" for key in apq.REPORTED for unit in ("ms", "mj")} < hidden
    most = rows["four_bits.latency_gain"].predicted
    assert 1.0 < rows["mixed.latency_gain"].predicted < most < 2.0


def test_ohq_tells_what_is_reproduced() -> None:
    rows = {row.claim: row for row in reproduce("ohq")}
    assert {name for name, row in rows.items() if row.verdict == "off"} == {
        "resnet18.latency_gain_percent"
    }
    best, theirs = (
        rows[f"resnet18.{name}_percent"].predicted for name in ("latency_gain", "hawq_bits_gain")
    )
    assert theirs <= best <= rows["resnet18.four_bits_gain_percent"].predicted
    assert all(row.basis == "given" and row.constants for row in rows.values())


@pytest.mark.data
def test_sensitivities_are_those_of_hawq(data: Path) -> None:
    """And the least loss with half-way bit operations is its proven optimum, layer by layer."""
    model = json.loads((data / "ilp/hawq_ilp.json").read_text())["models"]["ResNet18"]
    columns = np.array(ohq.HAWQ).T
    np.testing.assert_array_equal(columns[0], model["Hutchinson_trace"])
    np.testing.assert_array_equal(columns[1], model["delta_weights_4bit_square"])
    np.testing.assert_array_equal(columns[2], model["delta_weights_8bit_square"])
    costs = bit_costs("resnet18", apq.DEVICE, ((4, 4), (8, 8)))
    np.testing.assert_allclose(costs.macs / 1e6, model["bops"], rtol=1e-9)
    loss = np.stack([columns[0] * columns[1], columns[0] * columns[2]], axis=1)
    ends = costs.uniform((8, 8)).bit_operations, costs.uniform((4, 4)).bit_operations
    found = choose_bits(
        costs, loss=loss, most_bit_operations=0.5 * sum(ends), least="loss", alike=ohq.ALIKE
    )
    proven = json.loads((data / "ilp/hawq_optima.json").read_text())["ResNet18/bops"]["bits"]
    assert [w for w, _ in found.bits] == proven
