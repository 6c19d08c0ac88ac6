"""What the model says of Eyeriss, layer by layer."""

from __future__ import annotations

from typing import Literal

from perfmodel_studies.row_stationary.eyeriss import LayerResult, eyeriss_layers


def eyeriss_claims() -> dict[str, float]:
    """Return claim -> number: milliseconds, milliwatts, megabytes of each layer, and totals."""
    values: dict[str, float] = {}
    for network in ("alexnet", "vgg16"):
        layers = eyeriss_layers(network)
        values |= _layers(network, layers)
        total = sum(r.total_s for r in layers.values())
        values[f"{network}.processing_ms"] = 1e3 * sum(r.processing_s for r in layers.values())
        values[f"{network}.power_mw"] = (
            1e3 * sum(r.power_w * r.total_s for r in layers.values()) / total
        )
        values[f"{network}.dram_mb"] = 1e-6 * sum(r.dram_bytes for r in layers.values())
        values[f"{network}.buffer_mb"] = 1e-6 * sum(r.buffer_bytes for r in layers.values())
        images = 4 if network == "alexnet" else 3
        values[f"{network}.frames_per_s"] = images / total
        best_layers = eyeriss_layers(network, "chosen")
        values |= _layers(network, best_layers, "chosen_")
        values[f"{network}.chosen_processing_ms"] = 1e3 * sum(
            r.processing_s for r in best_layers.values()
        )
    return values


def _layers(
    network: Literal["alexnet", "vgg16"], layers: dict[str, LayerResult], how: str = ""
) -> dict[str, float]:
    values: dict[str, float] = {}
    for name, result in layers.items():
        head = f"{network}.{_key(name)}"
        values[f"{head}.{how}processing_ms"] = 1e3 * result.processing_s
        values[f"{head}.{how}power_mw"] = 1e3 * result.power_w
        values[f"{head}.{how}dram_mb"] = 1e-6 * result.dram_bytes
        values[f"{head}.{how}buffer_mb"] = 1e-6 * result.buffer_bytes
    return values


def _key(name: str) -> str:
    return name.lower().replace("-", "_")


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    return eyeriss_claims()
