"""Parameters and multiply-accumulates of the image models against published numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfmodel.workload.workload import Workload

# From the papers and model zoos, in millions and billions; the files quote their own sources.
PUBLISHED = {
    "resnet18": (11.69, 1.814),
    "resnet50": (25.557, 4.089),
    "resnext50_32x4d": (25.029, 4.230),
    "mobilenet_v2": (3.505, 0.301),
    "mobilenet_v3_small": (2.543, 0.0565),
    "mobilenet_v3_large": (5.483, 0.217),
    "efficientnet_b0": (5.289, 0.386),
    "efficientformer_l1": (12.23, 1.291),
    "efficientformer_l3": (31.27, 3.907),
    "efficientformer_l7": (81.99, 10.119),
    "mobileone_s0": (2.08, 0.275),
    "mobileone_s1": (4.76, 0.825),
    "mobileone_s2": (7.81, 1.299),
    "mobileone_s3": (10.08, 1.896),
    "mobileone_s4": (14.84, 2.978),
    "efficientformerv2_s0": (3.60, 0.396),
    "efficientformerv2_s1": (6.19, 0.652),
    "efficientformerv2_s2": (12.71, 1.247),
    "efficientformerv2_l": (26.32, 2.553),
    "deit_tiny_patch16_224": (5.717, 1.254),
    "deit_small_patch16_224": (22.05, 4.60),
    "mlperf_tiny_ic": (0.077706, 0.012501632),
    "mlperf_tiny_vww": (0.210850, 0.007489664),
    "mlperf_tiny_kws": (0.022604, 0.002656768),
    "mlperf_tiny_ad": (0.265864, 0.000264192),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_within_half_a_percent(
    name: str, load: Callable[..., Workload], entry: Callable[[str], dict[str, Any]]
) -> None:
    net, file = load(name), entry(name)["published"]
    millions, billions = PUBLISHED[name]
    assert net.weights == pytest.approx(millions * 1e6, rel=0.005)
    assert net.macs == pytest.approx(billions * 1e9, rel=0.005)
    assert net.weights == pytest.approx(file["params"], rel=0.005)
    assert net.macs == pytest.approx(file["macs"], rel=0.005)
    assert file["source"] in entry(name)["sources"]


EXPORTED = [
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
]


@pytest.mark.data
@pytest.mark.parametrize("name", EXPORTED)
def test_counts_equal_those_of_the_exported_graph(
    name: str, data: Path, load: Callable[..., Workload]
) -> None:
    with (data / "cpu_zen4" / "models.csv").open() as file:
        row = next(r for r in csv.DictReader(file) if r["model"] == name)
    net = load(name, batch_norm="folded")
    assert net.macs == int(row["macs_graph"])
    # An exporter stores equal tensors once: the zero biases of untrained convolutions of one width.
    graph = net.graph()
    matrices, vectors = 0.0, set[float]()
    for weight, copies in graph.stored_weights().items():
        elements = net.number(graph.tensors[weight].elements)
        if graph.tensors[weight].tag == "vector":
            vectors.add(elements)
        else:
            matrices += net.number(copies) * elements
    assert matrices + sum(vectors) == pytest.approx(int(row["params"]), rel=1e-4)
    assert net.weights == pytest.approx(int(row["params"]), rel=0.01)
