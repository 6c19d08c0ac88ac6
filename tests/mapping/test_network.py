"""Whole networks of the library on hierarchies."""

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.cost.mapping import KNOWN, map_network, tpu_like
from perfmodel.cost.traffic.nest import Widths
from perfmodel.errors import InputError

WIDTHS = Widths(1, 1, 1, 2)


@pytest.mark.parametrize(
    ("machine", "microjoules"), [("tpu_like", 1871.43638066), ("edge_tpu_like", 1903.22937755)]
)
def test_zigzag_tests_expect_these_totals_for_resnet18(machine: str, microjoules: float) -> None:
    # ZigZag 3.9.1, tests/main/test_origin, resnet18.onnx; its network is the library's.
    found = map_network(
        pm.workload("resnet18"),
        KNOWN[machine](),
        search="loma",
        objective="latency",
        widths=WIDTHS,
        accounting="zigzag",
    )
    assert found.energy_j * 1e6 == pytest.approx(microjoules, rel=1e-11)


def test_repeated_layers_count_as_often_as_they_run() -> None:
    workload = pm.workload("mobilenet_v2")
    found = map_network(workload, tpu_like(), widths=WIDTHS)
    assert found.macs == workload.macs
    assert sum(layer.executions for layer in found.layers) == 53
    assert found.energy_j == pytest.approx(
        sum(layer.executions * layer.mapping.energy_j for layer in found.layers)
    )
    assert found.latency_cycles > found.macs / 1024


def test_a_batch_of_products() -> None:
    workload = pm.workload("bert_base", batch=2, tokens=16)
    found = map_network(workload, tpu_like(), widths=WIDTHS)
    assert found.macs == pytest.approx(workload.macs)


def test_arrays_and_unknown_searches_are_refused() -> None:
    with pytest.raises(InputError, match="array"):
        map_network(pm.workload("resnet18", batch=np.arange(1, 3)), tpu_like(), widths=WIDTHS)
    with pytest.raises(InputError, match="no search"):
        map_network(pm.workload("resnet18"), tpu_like(), search="random", widths=WIDTHS)


def test_tables_add_up() -> None:
    found = map_network(pm.workload("mobilenet_v2"), tpu_like(), widths=WIDTHS)
    table = found.table
    assert len(table) == len(found.layers)
    memories = [f"{memory.name}_energy_j" for memory in tpu_like().memories]
    parts = sum(table[name] for name in ["mac_energy_j", *memories])
    assert parts == pytest.approx(table["energy_j"])
    assert table["energy_j"].sum() == pytest.approx(found.energy_j)
    assert table["cycles"].sum() == pytest.approx(found.latency_cycles)
    assert np.all((table["utilization"] > 0) & (table["utilization"] <= 1))
    accesses = found.layers[0].mapping.table
    assert accesses["energy_j"].sum() == pytest.approx(found.layers[0].mapping.memory_energy_j)
