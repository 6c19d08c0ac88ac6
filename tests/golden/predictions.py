"""Predictions: every device with a dozen networks, each in two precisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import perfmodel as pm
from tests.golden.figures import Figures, Value, tried


@dataclass(frozen=True)
class Network:
    """A network with its settings, and a precision beside the default one."""

    name: str
    precision: str
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: str = ""

    @property
    def workload(self) -> Any:
        """The network itself."""
        return pm.workload(self.model or self.name, **self.settings)


IMAGES = (
    Network("resnet50", "int8"),
    Network("mobilenet_v2", "int8"),
    Network("yolov8n", "int8"),
    Network("unet", "w8a8", model="unet"),
)
SEQUENCES = (
    Network("bert_base", "int8", {"tokens": 128}),
    Network("vit_b_16", "int8"),
    Network("whisper_tiny", "int8"),
    Network("wav2vec2_base", "fp32"),
)
LANGUAGE = (
    Network("decode", "w4a16", {"phase": "decode", "context": 1024}, "llama_3_2_1b"),
    Network("prefill", "w4a16", {"phase": "prefill", "prompt": 512}, "llama_3_2_1b"),
    Network("experts", "w4a16", {"phase": "decode", "context": 512}, "qwen3_30b_a3b"),
)
SMALL = (
    Network("kws", "int8", model="mlperf_tiny_kws"),
    Network("ad", "int8", model="mlperf_tiny_ad"),
    Network("forest", "fp32", model="random_forest_digits"),
    Network("jet_tagger", "w6a6"),
)


def measures(found: Any) -> Iterator[tuple[str, Value]]:
    """Yield what a prediction says of one point."""
    moved = found.traffic_bytes
    yield "latency_s", found.latency_s
    yield "energy_j", found.energy_j
    yield "weight_bytes", found.weight_bytes
    yield "kv_bytes", found.kv_bytes
    yield "activation_bytes", found.activation_bytes
    yield "macs", found.macs
    yield "feasible", found.feasible
    yield "bound", found.bottleneck
    yield "runtime", found.runtime
    yield "precision", found.precision
    for level in moved:
        yield f"traffic_bytes.{level}", moved[level]


def figures(networks: tuple[Network, ...]) -> Figures:
    """Yield the predictions of some networks on every device."""
    devices = [pm.hardware(name) for name in pm.hardware.list()]
    for network in networks:
        workload = network.workload
        for device in devices:
            for precision in (None, network.precision):
                yield from tried(
                    f"predict/{network.name}/{device.name}/{precision or 'default'}",
                    partial(asked, workload, device, precision),
                )


def asked(workload: Any, device: Any, precision: str | None) -> Iterator[tuple[str, Value]]:
    """Yield what one prediction says."""
    return measures(pm.predict(workload, device, precision=precision))


def images() -> Figures:
    """Yield predictions of networks on images."""
    return figures(IMAGES)


def sequences() -> Figures:
    """Yield predictions of encoders of text, images and sound."""
    return figures(SEQUENCES)


def language() -> Figures:
    """Yield predictions of language models."""
    return figures(LANGUAGE)


def small() -> Figures:
    """Yield predictions of networks for microcontrollers, and of classical models."""
    return figures(SMALL)
