"""Predictions and a small sweep that the plots are drawn from."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.table import Table
from perfmodel.workload.library import find

NAMES = ("request", "decode", "infeasible", "resnet", "core", "flash", "bare", "many")


@cache
def cases() -> dict[str, Prediction]:
    def of(model: str, device: str, precision: str | None = None, **settings: Any) -> Prediction:
        return predict(find(model, settings), hardware(device), precision=precision)

    orin = "jetson_agx_orin"
    return {
        "request": of("llama_3_8b", orin, "w4a16", phase="request", batch=4, prompt=512),
        "decode": of("llama_3_8b", "apple_m2_max", "q4_0", phase="decode", batch=1, context=512),
        "infeasible": of("llama_3_8b", "raspberry_pi_5", phase="prefill", batch=1, prompt=256),
        "resnet": of("resnet18", orin, "int8"),
        "core": of("mobilenet_v2", "zen4_core", "fp32"),
        "flash": of("mlperf_tiny_vww", "stm32h743", "int8"),
        "bare": predict(find("resnet18", {}), hardware("a100"), model="roofline"),
        "many": of("resnet18", "a100", batch=np.array([1.0, 8.0])),
    }


@pytest.fixture(params=NAMES)
def prediction(request: pytest.FixtureRequest) -> Prediction:
    return cases()[request.param]


@pytest.fixture(scope="session")
def grid() -> Table:
    """Two devices, two precisions, four batches: enough for a front, and some that do not fit."""
    names = ("device", "precision", "batch", "tpot_s", "energy_j", "tokens_per_s", "feasible")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for device in ("rtx_4090", "jetson_agx_orin", "raspberry_pi_5"):
        for precision in ("fp16", "w4a16"):
            for batch in (1, 8, 64, 256):
                model = find("llama_3_8b", {"phase": "decode", "batch": batch, "context": 2048})
                p = predict(model, hardware(device), precision=precision)
                for name, value in zip(
                    names,
                    (
                        device,
                        precision,
                        batch,
                        p.tpot_s,
                        p.energy_j,
                        p.tokens_per_s,
                        p.feasible,
                    ),
                    strict=True,
                ):
                    columns[name].append(value)
    return Table(columns, axes=("device", "precision", "batch"))
