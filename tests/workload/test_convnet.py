from __future__ import annotations

import numpy as np
import pytest

from perfmodel.workload.families import family
from perfmodel.workload.workload import Workload, from_family


def resnet(**structure: object) -> Workload:
    resnet = family("resnet")
    return from_family("net", resnet, resnet.structure.model_validate(structure), {})


def test_resnet18_counts_each_layer() -> None:
    net = resnet(block="basic", depths=(2, 2, 2, 2))
    assert net.weights == 11_689_512
    assert net.macs == 1_814_073_344


def test_folding_keeps_one_bias_of_each_scale_and_shift() -> None:
    net = resnet(block="basic", depths=(2, 2, 2, 2))
    folded = resnet(block="basic", depths=(2, 2, 2, 2), batch_norm="folded")
    # 4,800 normalised channels: two vectors each become one bias.
    assert net.weights - folded.weights == 4800
    assert net.macs == folded.macs


def test_macs_follow_batch_and_image() -> None:
    net = resnet(block="basic", depths=(2, 2, 2, 2)).bind({"height": 448, "width": 224})
    once = net.macs
    batches = net.bind({"batch": np.array([1.0, 4.0, 7.0])}).macs
    np.testing.assert_allclose(batches, once * np.array([1, 4, 7]), rtol=1e-12)
    head = 512 * 1000
    square = resnet(block="basic", depths=(2, 2, 2, 2)).macs
    assert once - head == 2 * (square - head)


@pytest.mark.parametrize(("width", "base"), [(0.25, 16), (0.3, 24), (2.0, 128)])
def test_width_multiplier_rounds_to_eight(width: float, base: int) -> None:
    net = resnet(block="basic", depths=(1,)).bind({"width_multiplier": width})
    stem = 3 * base * 49 * 112 * 112
    block = 2 * base * base * 9 * 56 * 56
    assert net.macs == stem + block + base * 1000


def test_width_multiplier_may_be_an_array() -> None:
    net = resnet()
    widths = np.array([0.5, 1.0, 1.3])
    many = net.bind({"width_multiplier": widths})
    for i, width in enumerate(widths):
        one = net.bind({"width_multiplier": float(width)})
        assert many.macs[i] == pytest.approx(one.macs, rel=1e-12)
        assert many.weights[i] == pytest.approx(one.weights, rel=1e-12)
