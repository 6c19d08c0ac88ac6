"""What the model says of Cambricon-LLM's ablations, splits and tiles."""

from __future__ import annotations

from statistics import mean
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.kinds.nand import Flash, FlashMatrix, in_flash_time, published_columns, tile
from perfmodel.kinds.nand.events import FlashChannel, NandSimulationResult, simulate
from perfmodel.kinds.nand.timeline import channel_of, geometry

MODELS = (
    "opt_6_7b",
    "opt_13b",
    "opt_30b",
    "opt_66b",
    "llama_2_7b",
    "llama_2_13b",
    "llama_2_70b",
)

#: Share of a token's requests that the event simulation plays.
_PART = 0.03


def predicted() -> dict[str, float]:
    """Return claim -> number, for those that no single prediction gives."""
    small = {model: _decode(model, "s") for model in MODELS}
    out = {
        f"{model}_channel_gb": float(prediction.traffic_bytes["flash"]) / 1e9
        for model, prediction in small.items()
    }
    return (
        out
        | _best_tiles()
        | _tiles()
        | _slicing(small["opt_6_7b"])
        | _untiled(small)
        | _four_bits(small)
    )


def _decode(
    model: str, size: str, precision: str = "w8a8", changes: dict[str, float] | None = None
) -> pm.Prediction:
    workload = pm.workload(model, phase="decode", batch=1, context=1000)
    machine = pm.hardware(f"cambricon_llm_{size}").vary(changes or {})
    return pm.predict(workload, machine, precision=precision)


def with_tiling(size: str, tiling: str) -> pm.Device:
    """Return a device of the library (``s``, ``m``, ``l``) under another rule of tiling."""
    device = pm.hardware(f"cambricon_llm_{size}")
    engine, *others = device.engines
    changed = engine.model_copy(update={"tiling": tiling})
    return device.model_copy(update={"engines": (changed, *others)})


def _best_tiles() -> dict[str, float]:
    out: dict[str, float] = {}
    for size in "sml":
        device = with_tiling(size, "best")
        for model in MODELS:
            workload = pm.workload(model, phase="decode", batch=1, context=1000)
            prediction = pm.predict(workload, device, precision="w8a8")
            out[f"best_tile_{model}_{size}"] = float(prediction.tokens_per_s)
    return out


def _tiles() -> dict[str, float]:
    flash = geometry(pm.hardware("cambricon_llm_s").machine())
    matrix = FlashMatrix(4096.0, 4096.0, 1.0, 1.0, 1.0, 1.0)
    shape = tile(flash, matrix, published_columns(flash, matrix))
    # Nine copies of a byte of threshold; address, Hamming bits and two copies of 1 % of a page.
    protected = int(flash.page * 0.01)
    correction = (8 * 9 + (14 + 5 + 8 * 2) * protected) / 8
    return {
        "tile_height": float(shape.rows),
        "tile_width": float(shape.columns),
        "error_correction_bytes": float(np.round(correction)),
    }


def _column(prediction: pm.Prediction, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(cast("Any", prediction.table[name]), dtype=np.float64)


def _slicing(prediction: pm.Prediction) -> dict[str, float]:
    """Play the requests and pages of a token on one channel, with and without slices."""
    count, weights = _column(prediction, "count"), _column(prediction, "flash_weight_bytes")
    flash = geometry(prediction.machine)
    requests = float(np.sum(count * _column(prediction, "flash_rounds"))) * _PART
    streamed = (
        float(np.sum(count * weights * (1.0 - _column(prediction, "in_flash_share")))) * _PART
    )
    pages = round(streamed / float(flash.page) / float(flash.channels))
    sliced = _play(flash, 4096.0, 64, True, round(requests), pages)
    unsliced = _play(flash, 4096.0, 1, False, round(requests), pages)
    between = float(prediction.latency_s) - float(np.sum(count * _column(prediction, "flash_s")))
    with_slices = sliced.seconds / _PART + between
    without = unsliced.seconds / _PART + between
    return {
        "read_slicing_speedup": without / with_slices,
        "read_slicing_channel_use": unsliced.channel_busy / _PART / without,
        "channel_use": sliced.channel_busy / _PART / with_slices,
    }


def _play(
    flash: Flash, columns: float, pieces: int, first: bool, requests: int, pages: int
) -> NandSimulationResult:
    channel: FlashChannel = channel_of(
        flash,
        FlashMatrix(columns, columns, 1.0, 1.0, 1.0, 1.0),
        pieces=pieces,
        requests_first=first,
    )
    return simulate(channel, requests, pages)


def _untiled(small: dict[str, pm.Prediction]) -> dict[str, float]:
    """All weights multiplied in the dies; and tiles of other shapes."""
    flash = geometry(pm.hardware("cambricon_llm_s").machine())
    speeds = {model: float(prediction.tokens_per_s) for model, prediction in small.items()}
    untiled: dict[str, float] = {}
    for model, prediction in small.items():
        weights, rounds = _column(prediction, "flash_weight_bytes"), _column(prediction, "round_s")
        seconds = _column(prediction, "flash_s")
        slower = float(
            _column(prediction, "count") @ (in_flash_time(flash, weights, rounds) - seconds)
        )
        untiled[model] = 1.0 / (float(prediction.latency_s) + slower)
    out = {f"in_flash_only_{m}": untiled[m] for m in ("opt_6_7b", "opt_13b", "llama_2_7b")}
    out["tiling_speedup"] = mean(speeds[m] / untiled[m] for m in MODELS)
    for name, width in (("tile_128_by_4096", 4096.0), ("tile_4096_by_128", 128.0)):
        others = [
            float(_decode(m, "s", changes={"engines.npu.tile_columns": width}).tokens_per_s)
            for m in MODELS
        ]
        out[name] = mean(speeds[m] / o for m, o in zip(MODELS, others, strict=True)) - 1.0
    return out


def _four_bits(small: dict[str, pm.Prediction]) -> dict[str, float]:
    large = {model: _decode(model, "l") for model in MODELS}
    out: dict[str, float] = {}
    for size, eight_bits in (("s", small), ("l", large)):
        gains = [
            float(_decode(m, size, "w4a16").tokens_per_s) / float(eight_bits[m].tokens_per_s)
            for m in MODELS
        ]
        out[f"w4a16_gain_{size}"] = mean(gains) - 1.0
    return out
