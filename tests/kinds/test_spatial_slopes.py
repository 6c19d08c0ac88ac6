"""Slopes of the kind `spatial` through JAX against finite differences in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from perfmodel_studies.row_stationary.eyeriss import ALEXNET

from perfmodel.hardware.library import hardware
from perfmodel.kinds.spatial import PeArray, choose
from perfmodel.kinds.spatial.shapes import AccessCosts, GroupedConvolution
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.library import find

jax = pytest.importorskip("jax", reason="slopes need JAX: pip install 'perfmodel[jax]'")
CHIP = PeArray(12.0, 14.0, 224.0, 12.0, 24.0, 51200.0, 4.0, 1.0, 4.0)
COSTS = AccessCosts(4.0, 15.0, 460.0, 531.5)

pytestmark = pytest.mark.usefixtures("doubles")


def _relaxed(network: str, batch: Any, **facts: Any) -> Prediction:
    machine = hardware("eyeriss").machine()
    varied = machine.vary({f"engines.array.{name}": v for name, v in facts.items()})
    return predict(find(network, {"batch": batch}), varied, precision="int16", relaxed=True)


def _agree(function: Callable[[Any], Any], x: float) -> None:
    step = 1e-6 * x
    differences = (float(function(x + step)) - float(function(x - step))) / (2 * step)
    slope = float(jax.jit(jax.grad(function))(x))
    assert slope != 0
    assert slope == pytest.approx(differences, rel=1e-6)


@pytest.mark.parametrize(
    ("network", "metric"),
    [("resnet18", "energy_j"), ("mobilenet_v2", "latency_s"), ("alexnet", "latency_s")],
)
def test_slope_of_the_batch(network: str, metric: str) -> None:
    """Finite, and that of the chosen mapping, which is whole while the batch is not."""
    _agree(lambda batch: getattr(_relaxed(network, batch), metric), 3.3)


def test_slope_of_the_zeros() -> None:
    _agree(lambda zeros: _relaxed("resnet18", 1, input_zeros=zeros).energy_j, 0.4)


def test_one_mapping_for_numbers_arrays_and_tracers() -> None:
    """Compiled and over a batch of points, as one by one."""
    layer = ALEXNET["CONV2"].layer

    def cycles(filters: Any, words: Any) -> Any:
        array = CHIP._replace(buffer_words=words)
        return choose(
            GroupedConvolution(*layer._replace(filters=filters)), array, COSTS
        ).counts.cycles

    filters, words = np.array([32.0, 100.0, 128.0]), np.array([6e3, 2e4, 5e4])
    alone = [float(cycles(m, c)) for m, c in zip(filters, words, strict=True)]
    compiled = jax.jit(cycles)(filters, words)
    mapped = jax.vmap(cycles)(jax.numpy.asarray(filters), jax.numpy.asarray(words))
    one = jax.vmap(cycles, in_axes=(0, None))(jax.numpy.asarray(filters), 2e4)
    np.testing.assert_allclose(compiled, alone, rtol=1e-12)
    np.testing.assert_allclose(mapped, alone, rtol=1e-12)
    np.testing.assert_allclose(one, [float(cycles(m, 2e4)) for m in filters], rtol=1e-12)
