"""What a step of training keeps beyond inference, by the schemes of sparse updates."""

from __future__ import annotations

from typing import Final

import perfmodel as pm
from perfmodel.formats import as_precision
from perfmodel.search.finetune.training_memory import LayerUpdate, Scheme, memory_of
from perfmodel.search.finetune.training_step import TrainingStep, step_of
from perfmodel.workload import FusionRules

from perfmodel_studies.tables import table

#: Network -> scheme (KiB of its name) -> biases from the end, trained convolutions, their shares.
SCHEMES: Final = {
    network: {int(kib): scheme for kib, scheme in schemes.items()}
    for network, schemes in table("mcunet_v3").items()
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
