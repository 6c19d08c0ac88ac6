"""Classical models as workloads: what may vary, what a machine sees, what is refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.workload.lower import lower
from tests.offenders import each

DEVICES = ("stm32h743", "raspberry_pi_4", "kv260")


def models() -> list[str]:
    return pm.workload.list("classical_ml")


def test_the_library_has_every_kind_of_classical_model() -> None:
    kinds = {"svm", "logistic", "naive", "knn", "k", "random"}
    assert {name.partition("_")[0] for name in models()} == kinds


@each("name, device", lambda: product(models(), DEVICES))
def test_a_batch_is_never_quicker_and_never_dearer_than_its_samples(name: str, device: str) -> None:
    """Weights may be shared by a batch; the work may not."""
    one = pm.predict(pm.workload(name, batch=1), device).latency_s
    many = pm.predict(pm.workload(name, batch=np.array([1, 2, 8])), device).latency_s
    assert many[0] == pytest.approx(one, rel=1e-12)
    assert np.all(np.diff(many) >= -1e-12 * one)
    assert np.all(many <= np.array([1, 2, 8]) * one * (1 + 1e-9))


@each("name, precision", lambda: product(models(), ["w8a8", "fp32"]))
def test_fixed_point_and_float(name: str, precision: str) -> None:
    p = pm.predict(pm.workload(name), "raspberry_pi_4", precision=precision)
    assert p.latency_s > 0
    assert p.weight_bytes > 0


def test_extents_sweep_as_arrays() -> None:
    vectors = np.array([10, 100, 1000])
    svm = pm.workload("svm_rbf_digits", support_vectors=vectors)
    assert np.array_equal(svm.macs, vectors * (64 + 9))
    latency = pm.predict(svm, "stm32h743").latency_s
    assert np.all(np.diff(latency) > 0)
    # Deeper trees that are complete: twice the nodes a level, a comparison more a walk.
    deep = pm.workload("random_forest_digits", nodes=np.array([100.0, 200.0]))
    assert np.array_equal(
        deep.weights, 100 * (4 * np.array([100, 200]) + 10 * np.array([101, 201]))
    )


def test_what_a_runtime_may_price_apart_is_in_the_table() -> None:
    """Distances, exponentials, powers, walks, selections: class and function of rows."""

    def seen(name: str, **settings: Any) -> set[tuple[str, tuple[str, ...]]]:
        lowered = lower(pm.workload(name, **settings).graph())
        return {(row.kind, row.functions) for row in lowered.rows}

    assert ("gemm", ("squared_distance", "exp")) in seen("svm_rbf_digits")
    assert ("gemm", ("polynomial",)) in seen("svm_poly_digits")
    assert ("tree", ("tree",)) in seen("random_forest_digits")
    assert {("gemm", ("squared_distance",)), ("pool", ("top_k",))} <= seen("knn_digits")
    assert ("gemm", ("gaussian",)) in seen("naive_bayes_digits")


def test_a_runtime_may_price_walks_apart() -> None:
    """`efficiency: tree` holds for walks and for nothing else."""
    device = pm.hardware("raspberry_pi_4")
    slow = device.vary({"runtime.efficiency.tree": 1e-6})
    forest, svm = pm.workload("random_forest_digits"), pm.workload("svm_rbf_digits")

    def latency(workload: object, machine: object) -> float:
        return pm.predict(workload, machine, runtime="generic").latency_s

    assert latency(forest, slow) > 10 * latency(forest, device)
    assert latency(svm, slow) == latency(svm, device)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kernel": "gauss"}, "rbf"),
        ({"suport_vectors": 3}, "support_vectors"),
        ({"distance": "manhattan"}, "squared or expanded"),
        ({"classes": 0}, "above 0"),
    ],
)
def test_faults_say_what_to_do(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        pm.workload("svm_rbf_digits", **settings)
    assert said in str(caught.value)


def test_a_forest_has_nothing_to_tile() -> None:
    with pytest.raises(InputError, match="multiplies nothing"):
        pm.traffic("random_forest_digits", "64 KiB")
    assert float(pm.traffic("knn_digits", "64 KiB")["traffic_bytes"][0]) > 1437 * 64
