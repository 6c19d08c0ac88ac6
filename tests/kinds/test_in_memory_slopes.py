"""Slopes of the kind `in_memory` through JAX against finite differences in NumPy."""

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


def _found(ones: Any = 0.5, read: Any = 1e-7, bits: Any = 8.0, volts: Any = 1.0) -> Any:
    head = "engines.arrays."
    machine = (
        hardware("isaac")
        .machine()
        .vary({head + "input_density": ones, head + "read_time": read, head + "voltage": volts})
    )
    precision = parse_precision("int8").with_bits(weights=bits, activations=bits)
    return predict(find("resnet18", {}), machine, precision=precision, relaxed=True)


@pytest.mark.parametrize(
    ("name", "at", "metric"),
    [
        ("ones", 0.4, "energy_j"),
        ("read", 3.1e-7, "latency_s"),
        ("bits", 5.3, "energy_j"),
        ("volts", 0.8, "energy_j"),
        ("volts", 0.8, "latency_s"),
    ],
)
def test_slopes_are_finite_differences(name: str, at: float, metric: str) -> None:
    def number(value: Any) -> Any:
        return getattr(_found(**{name: value}), metric)

    step = 1e-5 * at
    differences = (float(number(at + step)) - float(number(at - step))) / (2 * step)
    slope = float(jax.jit(jax.grad(number))(at))
    assert slope != 0
    assert slope == pytest.approx(differences, rel=1e-4)


def test_tracers_count_as_numbers_do() -> None:
    compiled = jax.jit(lambda bits: _found(bits=bits).latency_s)  # pyright: ignore[reportUnknownLambdaType]
    alone = [float(_found(bits=b).latency_s) for b in (3.0, 4.0, 8.0)]
    np.testing.assert_allclose([float(compiled(b)) for b in (3.0, 4.0, 8.0)], alone, rtol=1e-9)
