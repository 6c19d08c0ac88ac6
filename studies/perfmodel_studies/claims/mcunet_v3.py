"""What a step of training keeps beyond inference, by the schemes of sparse updates."""

from __future__ import annotations

from typing import Final

import perfmodel as pm
from perfmodel.formats import as_precision
from perfmodel.search.finetune.memory import LayerUpdate, Scheme, memory_of
from perfmodel.search.finetune.step import TrainingStep, step_of
from perfmodel.workload import FusionRules

#: Network -> scheme (KiB of its name) -> biases from the end, trained convolutions, their shares.
SCHEMES: Final = {
    "mcunet_5fps": {
        49: (20, (23, 24, 27, 30, 33, 39), (0, 0.25, 0.5, 0.5, 0, 0)),
        74: (21, (21, 23, 24, 26, 27, 30), (1, 0, 1, 0, 0.5, 1)),
        99: (22, (21, 24, 27, 30, 36, 39), (1, 1, 1, 1, 0.125, 0.25)),
        124: (24, (21, 24, 27, 30, 33, 39), (0.25, 1, 1, 1, 0.5, 0.5)),
        148: (23, (21, 24, 27, 30, 36, 39), (1, 1, 1, 1, 1, 0.5)),
        448: (12, tuple(range(30, 42)), (1,) * 12),
    },
    "mobilenet_v2_w0_35": {
        49: (16, (36, 39, 40, 41, 42, 45, 48, 49), (1, 1, 0, 0.25, 0.125, 0.125, 0.125, 0.125)),
        73: (20, (32, 33, 36, 39, 41, 42, 45, 48), (0.125, 0.5, 0.5, 1, 0.25, 0.125, 0.125, 1)),
        99: (25, (27, 30, 33, 36, 39, 42, 45, 48), (1, 1, 1, 1, 1, 0.125, 0.5, 1)),
        123: (31, (27, 30, 33, 36, 39, 42, 45, 48), (1, 1, 1, 1, 1, 0.5, 1, 1)),
        138: (34, (27, 30, 33, 36, 39, 42, 45, 48), (1,) * 8),
    },
    "proxyless_w0_3": {
        49: (21, (39, 42, 44, 45, 50, 51, 54, 57), (0.25, 1, 0, 1, 0, 0.125, 0.25, 0.25)),
        74: (28, (33, 36, 39, 42, 45, 51, 54, 57), (0.5, 0.25, 1, 1, 1, 0.5, 0.25, 0.5)),
        98: (25, (36, 39, 42, 45, 48, 51, 54, 57), (1, 0.5, 1, 1, 0.25, 0.5, 1, 1)),
        120: (32, (36, 39, 42, 45, 48, 51, 54, 57), (1, 1, 1, 1, 0.5, 1, 1, 1)),
        148: (45, (36, 39, 42, 45, 48, 51, 54, 57), (1,) * 8),
    },
}
#: The scheme whose peaks are compared.
_COMPARED: Final = 99


def training_step(network: str) -> TrainingStep:
    """Return the step of a network at the paper's resolution, ten classes, in eight bits."""
    workload = pm.workload(network, height=128, width=128, classes=10)
    return step_of(workload, as_precision("int8"), FusionRules(True, False))


def scheme_of(step: TrainingStep, network: str, kib: int) -> dict[int, LayerUpdate]:
    """Return a scheme of sparse updates; the classifier is always trained."""
    biases, weights, shares = SCHEMES[network][kib]
    last = len(step.layers) - 1
    share = dict(zip(weights, shares, strict=True))
    updates = {i: LayerUpdate(float(share.get(i, 0.0))) for i in range(last - biases, last)}
    return updates | {last: LayerUpdate(1.0)}


def extra_kib(step: TrainingStep, scheme: Scheme) -> float:
    """Return KiB kept and trained, the classifier's weights left out as the authors do."""
    memory = memory_of(step, {i: [part] for i, part in scheme.items()})
    values = memory.values(scheme)
    classifier = step.layers[-1]
    bytes_ = float((memory.kept_bytes + memory.trained_bytes) @ values)
    return (bytes_ - classifier.weight_bytes - classifier.bias_bytes) / 1024.0


def predicted() -> dict[str, float]:
    """Return claim -> KiB, millions or quotient."""
    out: dict[str, float] = {}
    for network, schemes in SCHEMES.items():
        step = training_step(network)
        for kib in schemes:
            out[f"{network}_{kib}"] = extra_kib(step, scheme_of(step, network, kib))
        out[f"{network}_params"] = sum(y.weights + y.biases for y in step.layers[:-1]) / 1e6
        out[f"{network}_macs"] = sum(layer.macs for layer in step.layers[:-1]) / 1e6
        every = {i: LayerUpdate(1.0) for i in range(len(step.layers))}
        listed = sorted(schemes, key=lambda kib: abs(kib - _COMPARED))
        sparse = scheme_of(step, network, listed[0])
        full, late, early = (
            memory_of(step, {i: [p] for i, p in scheme.items()}, late=waits).peak_bytes(scheme)
            for scheme, waits in ((every, True), (sparse, True), (sparse, False))
        )
        out[f"{network}_sparse"] = full / late
        out[f"{network}_early"] = late / early
    return out
