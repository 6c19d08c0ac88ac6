"""Adapters against the oracle asked directly."""

import pickle
from typing import Any

import numpy as np
import pytest

from perfmodel.catalog import loaded
from perfmodel.errors import InputError
from perfmodel.pareto import front
from perfmodel.search.adapters import (
    expected_cost,
    optuna_objective,
    profiler,
    pymoo_problem,
    ray_tune_trainable,
)
from perfmodel.search.oracle import Oracle
from perfmodel.workload.nas_spaces import space

needs_pymoo = pytest.mark.skipif(
    not loaded("pymoo"), reason="pymoo is not installed: pip install 'perfmodel[search]'"
)
needs_optuna = pytest.mark.skipif(
    not loaded("optuna"), reason="optuna is not installed: pip install 'perfmodel[search]'"
)
needs_torch = pytest.mark.skipif(
    not loaded("torch"), reason="torch is not installed: pip install 'perfmodel[torch]'"
)
needs_jax = pytest.mark.skipif(
    not loaded("jax"), reason="jax is not installed: pip install 'perfmodel[jax]'"
)


@pytest.fixture(scope="module")
def cells() -> Oracle:
    return Oracle(
        "raspberry_pi_5", space("nas_bench_201"), ("latency_s", "energy_j"), runtime="litert"
    )


@pytest.fixture(scope="module")
def layers() -> Oracle:
    return Oracle("raspberry_pi_5", space("fbnet"), ("latency_s",), runtime="litert")


def test_profiler_tells_what_the_oracle_tells(cells: Oracle, layers: Oracle) -> None:
    everything, energy, alone = profiler(cells), profiler(cells, "energy_j"), profiler(layers)
    for choice in cells.space.sample(20, 1).tolist():  # type: ignore[attr-defined]
        assert everything(tuple(choice)) == cells(choice)
        assert energy(choice) == cells(choice)["energy_j"]
    text = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    assert energy(text) == cells(cells.space.encode(text))["energy_j"]
    assert alone((3,) * 22) == layers((3,) * 22)["latency_s"]
    with pytest.raises(InputError, match="did you mean 'energy_j'"):
        profiler(cells, "energy")


def test_ray_trainable_reads_labels_and_tells_violations(cells: Oracle) -> None:
    trainable = ray_tune_trainable(cells, ["latency_s <= 500 us"])
    assert list(trainable.options) == [d.name for d in cells.space.decisions]
    again = pickle.loads(pickle.dumps(trainable))
    for choice in cells.space.sample(30, 2).tolist():  # type: ignore[attr-defined]
        named = zip(cells.space.decisions, choice, strict=True)
        config = {d.name: d.options[i] for d, i in named}
        told, asked = trainable(config), cells(choice)
        assert told["latency_s"] == asked["latency_s"]
        assert told["satisfied"] == (asked["latency_s"] <= 500e-6)
        excess = max(0.0, 1 - 500e-6 / asked["latency_s"])  # relative to the larger side
        assert told["violation"] == pytest.approx(excess, abs=1e-15)
        assert again(config) == told
    names = list(trainable.options)
    config = {n: o[0] for n, o in trainable.options.items()}
    del config[names[0]]
    config[names[1]] = "conv_9x9"
    with pytest.raises(InputError) as faults:
        trainable({**config, "width": 3})
    assert len(faults.value.faults) == 3


@needs_pymoo
def test_pymoo_problem_is_vectorised_and_finds_the_front(cells: Oracle) -> None:
    goals: list[Any] = ["latency_s", ("loss", "max")]

    def loss(choices: Any) -> Any:
        return (np.asarray(choices) * [1, 2, 3, 4, 5, 6]).sum(axis=1) / 7.0

    problem = pymoo_problem(cells, goals, ["energy_j <= 5 mJ"], extra={"loss": loss})
    rows = cells.space.sample(40, 3)  # type: ignore[attr-defined]
    objectives, violations = problem.evaluate(rows + 0.2)  # fractions are rounded
    asked = cells.batch(rows)
    assert np.array_equal(objectives, np.stack([asked["latency_s"], -loss(rows)], axis=1))
    assert np.array_equal(violations[:, 0] <= 0, asked["energy_j"] <= 5e-3)
    assert not violations[:, 1].any()

    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    algorithm = NSGA2(
        pop_size=40,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    result = minimize(problem, algorithm, ("n_gen", 15), seed=1)
    found = cells.batch(np.rint(result.X).astype(int))
    assert np.allclose(result.F[:, 0], found["latency_s"])
    assert front(result.F).all()
    assert (found["energy_j"] <= 5e-3).all()


@needs_optuna
@pytest.mark.filterwarnings("ignore:.*constraints_func")  # of Optuna before 5
@pytest.mark.parametrize("sampler", ["TPESampler", "NSGAIISampler"])
def test_optuna_objective_in_a_study(cells: Oracle, sampler: str) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    objective = optuna_objective(cells, ["latency_s", ("energy_j", "max")], ["latency_s <= 1 ms"])
    options: dict[str, Any] = {"seed": 1}
    if not hasattr(optuna.Trial, "set_constraint"):
        options["constraints_func"] = objective.constraints
    study = optuna.create_study(
        directions=objective.directions, sampler=getattr(optuna.samplers, sampler)(**options)
    )
    study.optimize(objective, n_trials=40)
    for trial in study.trials:
        asked = cells(objective.choice(trial.params))
        assert trial.values == [asked["latency_s"], asked["energy_j"]]
        assert trial.user_attrs["energy_j"] == asked["energy_j"]
        assert (
            trial.params["edge_1_0" if "edge_1_0" in trial.params else objective.names[0]]
            in (objective.labels[0])
        )
    best = [t.values for t in study.best_trials]
    assert all(latency <= 1e-3 for latency, _ in best)


def finite_differences(oracle: Oracle, weights: list[Any], metric: str) -> list[Any]:
    found = []
    for i, w in enumerate(weights):
        slope = np.zeros(len(w))
        for k in range(len(w)):
            step = np.eye(len(w))[k] * 1e-6
            ahead = [*weights[:i], w + step, *weights[i + 1 :]]
            back = [*weights[:i], w - step, *weights[i + 1 :]]
            slope[k] = (oracle.gradient(ahead)[0][metric] - oracle.gradient(back)[0][metric]) / 2e-6
        found.append(slope)
    return found


def weights_of(oracle: Oracle) -> list[Any]:
    rng = np.random.default_rng(4)
    return [rng.random(len(d.options)) + 0.1 for d in oracle.space.decisions]


@needs_torch
def test_expected_cost_in_torch(cells: Oracle) -> None:
    import torch

    weights = weights_of(cells)
    cost = expected_cost(cells, "energy_j", backend="torch")
    tensors = [torch.tensor(w, requires_grad=True) for w in weights]
    value = cost(tensors)
    assert float(value.detach()) == cells.gradient(weights)[0]["energy_j"]
    (2 * value).backward()
    for tensor, slope in zip(tensors, finite_differences(cells, weights, "energy_j"), strict=True):
        assert np.allclose(tensor.grad.numpy() / 2, slope, rtol=1e-4, atol=1e-12)


@needs_jax
def test_expected_cost_in_jax(cells: Oracle) -> None:
    import jax

    weights = weights_of(cells)
    cost = expected_cost(cells, "latency_s", backend="jax")
    value, slopes = jax.jit(jax.value_and_grad(lambda w: 3 * cost(w)))(weights)
    wanted = cells.gradient(weights)[0]["latency_s"]
    assert float(value) == pytest.approx(3 * wanted, rel=1e-5)
    for got, slope in zip(slopes, finite_differences(cells, weights, "latency_s"), strict=True):
        assert np.allclose(np.asarray(got) / 3, slope, rtol=1e-3, atol=1e-9)


def test_expected_cost_refuses_what_it_does_not_know(cells: Oracle) -> None:
    with pytest.raises(InputError) as told:
        expected_cost(cells, "latncy_s", backend="tensorflow")
    assert len(told.value.faults) == 2
