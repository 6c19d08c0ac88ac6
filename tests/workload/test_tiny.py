from __future__ import annotations

from collections.abc import Callable

import pytest

from perfmodel.workload.workload import Workload

#: Bytes of constant tensors in the int8 reference files: weights of one byte, biases of four, and
#: eight of a reshape where there is one.
CONSTANT_BYTES = {
    "mlperf_tiny_vww": 219_072 - 8,
    "mlperf_tiny_kws": 24_376 - 8,
    "mlperf_tiny_ad": 270_880,
}


@pytest.mark.parametrize("name", CONSTANT_BYTES)
def test_weights_fill_the_reference_file(name: str, load: Callable[..., Workload]) -> None:
    net = load(name)
    graph = net.graph()
    total = 0.0
    for weight, copies in graph.stored_weights().items():
        tensor = graph.tensors[weight]
        total += (4 if tensor.tag == "vector" else 1) * net.number(copies * tensor.elements)
    assert total == CONSTANT_BYTES[name]


def test_unfolded_normalisation_adds_two_vectors_a_convolution(
    load: Callable[..., Workload],
) -> None:
    # A scale and a shift a normalised channel; the bias of the convolution stays.
    folded, separate = load("mlperf_tiny_ic"), load("mlperf_tiny_ic", batch_norm="separate")
    channels = 3 * 16 + 2 * 32 + 2 * 64
    assert separate.weights - folded.weights == 2 * channels == 480
    assert separate.macs == folded.macs


def test_keyword_spotting_by_hand(load: Callable[..., Workload]) -> None:
    pixels, c = 25 * 5, 64
    expected = pixels * c * 40 + 4 * pixels * (c * 9 + c * c) + c * 12
    assert load("mlperf_tiny_kws").macs == expected


def test_autoencoder_by_hand(load: Callable[..., Workload]) -> None:
    net = load("mlperf_tiny_ad")
    assert net.macs == 2 * (640 * 128 + 3 * 128 * 128 + 128 * 8)
    assert set(net.parameters) == {"batch"}
    assert net.bind({"batch": 3}).macs == 3 * net.macs
    assert load("mlperf_tiny_ad", batch_norm="separate").weights - net.weights == 2 * (8 * 128 + 8)


def test_images_may_have_another_size(load: Callable[..., Workload]) -> None:
    net = load("mlperf_tiny_vww", classes=2)
    double = net.bind({"height": 192, "width": 192})
    assert double.macs - 512 == 4 * (net.macs - 512)
