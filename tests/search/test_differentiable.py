"""Differentiable search: limits kept in the hard model, losses near the proven optimum."""

from typing import Any

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.search.differentiable import differentiable_search
from perfmodel.search.oracle import Oracle
from perfmodel.workload.nas_spaces import space


@pytest.fixture(scope="module")
def layers() -> Oracle:
    return Oracle("raspberry_pi_5", space("fbnet"), ("latency_s", "energy_j"), runtime="generic")


def losses(seed: int) -> list[Any]:
    """Larger blocks lose less, layers differ in how much they matter."""
    rng = np.random.default_rng(seed)
    by_block = np.array([0.6, 0.7, 0.35, 0.15, 0.5, 0.6, 0.25, 0.05, 1.0])
    return [by_block * rng.uniform(0.3, 1.5) + rng.normal(0, 0.05, 9) for _ in range(22)]


def optimum(oracle: Oracle, tables: list[Any], limit: float) -> float:
    """Least loss, by HiGHS: costs of this space add up on this device (asserted)."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    base = np.full(22, 3)
    rows = [base]
    for i in range(22):
        for option in range(9):
            row = base.copy()
            row[i] = option
            rows.append(row)
    told = oracle.batch(np.array(rows))["latency_s"]
    change = (told[1:] - told[0]).reshape(22, 9)
    some = oracle.space.sample(50, 0)  # type: ignore[attr-defined]
    added = told[0] + change[np.arange(22), some].sum(axis=1)
    assert np.allclose(added, oracle.batch(some)["latency_s"], rtol=1e-12)
    one = np.kron(np.eye(22), np.ones(9))
    solved = milp(
        np.concatenate(tables),
        integrality=np.ones(198),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one, 1, 1),
            LinearConstraint(change.reshape(1, -1), -np.inf, limit - told[0]),
        ],
    )
    return float(solved.fun)


@pytest.mark.parametrize("limit", [0.8e-3, 1e-3, 1.3e-3, 1.6e-3, 2e-3])
def test_target_latency_within_two_per_cent_and_near_the_optimum(
    layers: Oracle, limit: float
) -> None:
    for seed in range(2):
        tables = losses(seed)
        found = differentiable_search(layers, tables, limit, seed=seed)
        assert found.satisfied
        assert -0.02 <= found.gap <= 0.0
        assert found.metrics == layers(found.choice)  # the hard model says so
        assert found.loss == pytest.approx(
            sum(t[i] for t, i in zip(tables, found.choice, strict=True))
        )
        best = optimum(layers, tables, limit)
        spread = sum(float(np.ptp(t)) for t in tables)
        assert best - 1e-9 <= found.loss <= best + 0.02 * spread


def test_a_limit_in_words_on_another_metric_and_a_callable_loss(layers: Oracle) -> None:
    tables = losses(1)
    pair = np.random.default_rng(3).random((9, 9)) * 0.2

    def loss(shares: list[Any]) -> tuple[float, list[Any]]:
        value = sum(float(t @ s) for t, s in zip(tables, shares, strict=True))
        slopes = [t.copy() for t in tables]
        value += float(shares[0] @ pair @ shares[1])
        slopes[0] += pair @ shares[1]
        slopes[1] += shares[0] @ pair
        return value, slopes

    middle = float(np.median(layers.batch(layers.space.sample(200, 0))["energy_j"]))  # type: ignore[attr-defined]
    found = differentiable_search(
        layers, loss, f"energy_j <= {middle * 1e6} uJ", steps=200, noise=False
    )
    assert found.metric == "energy_j"
    assert found.satisfied
    assert found.metrics["energy_j"] <= middle
    assert found.gap > -0.02
    one_hot = [np.eye(9)[i] for i in found.choice]
    assert found.loss == loss(one_hot)[0]
    # Better than the best of as many random members as it had steps.
    drawn = layers.space.sample(2000, 5)  # type: ignore[attr-defined]
    fits = drawn[layers.batch(drawn)["energy_j"] <= middle]
    assert found.loss < min(loss([np.eye(9)[i] for i in row])[0] for row in fits.tolist())


def test_a_loose_limit_gives_the_least_loss_and_a_seed_the_same_result(layers: Oracle) -> None:
    tables = losses(2)
    free = differentiable_search(layers, tables, 1.0)
    assert free.choice == tuple(int(np.argmin(t)) for t in tables)
    one, two = (differentiable_search(layers, tables, 1.2e-3, seed=7) for _ in range(2))
    assert one.choice == two.choice
    assert one.history == two.history


def test_an_impossible_limit_is_a_result(layers: Oracle) -> None:
    found = differentiable_search(layers, losses(0), 10e-6, steps=100)
    assert not found.satisfied
    assert found.gap > 0
    # No single change saves anything more: the quickest member of an additive space.
    quickest = layers.lower_bound([None] * 22)["latency_s"]
    assert found.metrics["latency_s"] == pytest.approx(quickest, rel=1e-9)


def test_history_cools_and_decides(layers: Oracle) -> None:
    history = differentiable_search(layers, losses(3), 1.2e-3).history
    assert np.all(np.diff(history["temperature"]) < 0)
    assert history["entropy"][-1] < 0.25 * history["entropy"][0]
    late = history["expected"][-30:].mean()
    assert late == pytest.approx(1.2e-3, rel=0.1)


def test_every_fault_at_once(layers: Oracle) -> None:
    with pytest.raises(InputError) as told:
        differentiable_search(layers, [np.zeros(9)] * 21, "latency_s >= 5 ms", steps=0, rate=-1.0)
    assert len(told.value.faults) == 4
    tables = losses(0)
    tables[4] = np.zeros(3)
    with pytest.raises(InputError, match=r"loss\.layer5: no losses; expected 9 finite numbers"):
        differentiable_search(layers, tables, 1e-3)
    with pytest.raises(InputError, match="did you mean 'latency_s'"):
        differentiable_search(layers, losses(0), "latncy_s <= 5 ms")
