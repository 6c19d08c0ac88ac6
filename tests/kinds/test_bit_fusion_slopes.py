"""Slopes of the kind `bit_fusion` through JAX against finite differences in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.formats import parse_precision
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find

jax = pytest.importorskip("jax", reason="slopes need JAX: pip install 'perfmodel[jax]'")

pytestmark = pytest.mark.usefixtures("doubles")


def _latency(bandwidth: Any = 12e9, bits: Any = 8.0, batch: Any = 1.0) -> Any:
    machine = hardware("bit_fusion_apq").machine().vary({"memories.dram.bandwidth": bandwidth})
    precision = parse_precision("int8").with_bits(weights=bits, activations=bits)
    net = find("mobilenet_v2", {"batch": batch})
    return predict(net, machine, precision=precision, relaxed=True).latency_s


@pytest.mark.parametrize(("name", "at"), [("bandwidth", 7.3e9), ("bits", 5.3), ("batch", 2.3)])
def test_slopes_are_finite_differences(name: str, at: float) -> None:
    """Of the chosen tiling, which is whole while the number is not."""

    def latency(value: Any) -> Any:
        return _latency(**{name: value})

    step = 1e-6 * at
    differences = (float(latency(at + step)) - float(latency(at - step))) / (2 * step)
    slope = float(jax.jit(jax.grad(latency))(at))
    assert slope != 0
    assert slope == pytest.approx(differences, rel=1e-5)


def test_tracers_choose_as_numbers_do() -> None:
    compiled = jax.jit(lambda bits: _latency(bits=bits))  # pyright: ignore[reportUnknownLambdaType]
    alone = [float(_latency(bits=b)) for b in (3.0, 4.0, 8.0)]
    np.testing.assert_allclose([float(compiled(b)) for b in (3.0, 4.0, 8.0)], alone, rtol=1e-9)
