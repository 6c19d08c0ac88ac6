"""What the model says of the first Tensor Processing Unit on the networks of its paper."""

from __future__ import annotations

from typing import Any

import perfmodel as pm
from perfmodel.workload import ExecutionSemantics, Graph, GraphBuilder

#: Network -> matrix layers, weights, batch (the paper's table 1).
NETWORKS = {
    "mlp0": (5, 20e6, 200),
    "mlp1": (4, 5e6, 168),
    "lstm0": (24, 52e6, 64),
    "lstm1": (37, 34e6, 96),
}


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    machine = pm.hardware("tpu_v1").machine()
    out: dict[str, float] = {}
    for name, (layers, weights, batch) in NETWORKS.items():
        prediction = pm.predict(
            square_layers(layers, round((weights / layers) ** 0.5), batch), machine
        )
        out[f"{name}_tops"] = 2e-12 * float(prediction.macs) / float(prediction.latency_s)
    for claim, fact in (
        ("memory_4x", "memories.weight_memory.bandwidth"),
        ("clock_4x", "engines.mxu.clock"),
    ):
        out[claim] = _gain(machine, machine.vary({fact: 4.0 * machine[fact]}))
    matrix = square_layers(1, 600, 96)
    out["matrix_600_us"] = 1e6 * _weights_s(matrix, machine)
    larger = machine.vary(
        {
            "engines.mxu.height": 512,
            "engines.mxu.width": 512,
            "engines.mxu.weight_buffer": 4 * 512 * 512,
        }
    )
    out["matrix_600_on_512_us"] = 1e6 * _weights_s(matrix, larger)
    return out


def _gain(machine: pm.Machine, faster: pm.Machine) -> float:
    """Return the geometric mean over the networks of how much faster they are."""
    product = 1.0
    for layers, weights, batch in NETWORKS.values():
        network = square_layers(layers, round((weights / layers) ** 0.5), batch)
        product *= pm.predict(network, machine).latency_s / pm.predict(network, faster).latency_s
    return float(product ** (1.0 / len(NETWORKS)))


def square_layers(count: int, side: int, batch: int) -> pm.Workload:
    """Return fully connected layers of one size, one after another."""

    def build(semantics: ExecutionSemantics) -> Graph:
        graph = GraphBuilder(f"{count}_layers_of_{side}")
        x = graph.input("x", (batch, side))
        for _ in range(count):
            x = graph.linear(x, side, bias=False)
        graph.output(x)
        return graph.build()

    return pm.Workload(f"{count}_layers_of_{side}", build, {})


def _weights_s(workload: pm.Workload, machine: pm.Machine) -> float:
    """Return seconds of the weights alone."""
    table: Any = pm.predict(workload, machine).table
    return float(table["weight_memory_s"].sum())
