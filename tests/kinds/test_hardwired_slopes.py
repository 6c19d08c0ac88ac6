"""Slopes of the kind `hardwired` through JAX against finite differences in NumPy."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find

jax = pytest.importorskip("jax", reason="slopes need JAX: pip install 'perfmodel[jax]'")

pytestmark = pytest.mark.usefixtures("doubles")


def _latency(context: Any = 9000.0, batch: Any = 400.0, latency: Any = 3e-6) -> Any:
    machine = hardware("hnlpu").machine().vary({"engines.chips.collective_latency": latency})
    net = find("gpt_oss_120b", {"phase": "decode", "batch": batch, "context": context})
    return predict(net, machine, precision="w=fp4,a=fp16,kv=fp8_e4m3", relaxed=True).latency_s


@pytest.mark.parametrize(("name", "at"), [("context", 9000.5), ("batch", 400.5), ("latency", 2e-6)])
def test_slopes_are_finite_differences(name: str, at: float) -> None:
    def latency(value: Any) -> Any:
        return _latency(**{name: value})

    step = 1e-5 * at
    differences = (float(latency(at + step)) - float(latency(at - step))) / (2 * step)
    slope = float(jax.jit(jax.grad(latency))(at))
    assert slope != 0
    assert slope == pytest.approx(differences, rel=1e-4)
