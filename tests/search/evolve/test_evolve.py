"""Evolution against the whole space, against itself interrupted, and against its limits."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from perfmodel.catalog import loaded
from perfmodel.errors import InputError
from perfmodel.pareto import front, hypervolume
from perfmodel.predict import predict
from perfmodel.search.evolve import evolve
from perfmodel.search.evolve.run import METHODS
from perfmodel.search.oracle import Oracle
from perfmodel.workload.nas_spaces import space

needs_pymoo = pytest.mark.skipif(
    not loaded("pymoo"), reason="pymoo is not installed: pip install 'perfmodel[search]'"
)
needs_optuna = pytest.mark.skipif(
    not loaded("optuna"), reason="optuna is not installed: pip install 'perfmodel[search]'"
)
METHOD_CASES = [
    pytest.param("nsga2", marks=needs_pymoo),
    pytest.param("nsga3", marks=needs_pymoo),
    pytest.param("optuna", marks=needs_optuna),
    "regularised",
    "random",
]
TWO = ["latency_s", "accuracy_drop"]


class Rugged:
    """Losses of options and of pairs of options, drawn at random: no separable problem."""

    def __init__(self, decisions: int, options: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.unary = rng.random((decisions, options))
        self.pairs = rng.random((decisions, decisions, options, options)) * 0.3

    def __call__(self, choices: Any) -> Any:
        rows = np.asarray(choices)
        at = range(rows.shape[1])
        total = sum(self.unary[i, rows[:, i]] for i in at)
        return total + sum(self.pairs[i, j, rows[:, i], rows[:, j]] for i in at for j in range(i))


def toy(decisions: int = 4, options: int = 4) -> Any:
    """A space with nothing but names: no canonical form, no moves of its own."""
    made = [SimpleNamespace(name=f"d{i}", options=tuple(range(options))) for i in range(decisions)]
    return SimpleNamespace(name="toy", decisions=made)


def toy_costs(choices: Any) -> dict[str, Any]:
    rows = np.asarray(choices)
    return {"latency_s": 1e-3 * (1 + rows.sum(axis=1)), "energy_j": 1.0 + (rows % 3).sum(axis=1)}


def every(s: Any) -> Any:
    sizes = [len(d.options) for d in s.decisions]
    return np.stack(np.meshgrid(*(np.arange(n) for n in sizes), indexing="ij"), -1).reshape(
        -1, len(sizes)
    )


@pytest.fixture(scope="module")
def cells() -> Oracle:
    return Oracle(
        "raspberry_pi_5", space("nas_bench_201"), ("latency_s", "energy_j"), runtime="litert"
    )


RUGGED = Rugged(6, 5, seed=5)


@needs_pymoo
@pytest.mark.parametrize("method", ["nsga2", "nsga3"])
@pytest.mark.parametrize("canonical", [True, False])
def test_front_of_nas_bench_201_against_the_whole_space(
    cells: Oracle, method: str, canonical: bool
) -> None:
    whole = np.array(list(cells.space))  # type: ignore[call-overload]
    if canonical:
        whole = np.unique(cells.space.canonical_rows(whole), axis=0)  # type: ignore[attr-defined]
    points = np.stack([cells.batch(whole)["latency_s"], RUGGED(whole)], axis=1)
    corner = points.max(axis=0)
    exact = hypervolume(points, corner)
    for seed in range(3):
        found = evolve(
            cells,
            cells.space,
            TWO,
            method=method,
            evaluations=2000,
            seed=seed,
            extra={"accuracy_drop": RUGGED},
            canonical=canonical,
        )
        assert found.evaluations == 2000
        got = np.stack([found.front[name] for name in TWO], axis=1)
        assert hypervolume(got, corner) >= 0.99 * exact


@pytest.mark.parametrize("method", METHOD_CASES)
def test_same_seed_same_result_and_another_seed_another(cells: Oracle, method: str) -> None:
    def run(seed: int) -> Any:
        return evolve(
            cells,
            cells.space,
            TWO,
            method=method,
            population=20,
            evaluations=80,
            seed=seed,
            extra={"accuracy_drop": RUGGED},
        )

    first, again, other = run(3), run(3), run(4)
    assert first.table == again.table
    assert np.array_equal(first.choices, again.choices)
    assert first.table != other.table
    keys = {tuple(row) for row in first.evaluated.tolist()}
    assert len(keys) == first.evaluations == 80  # nothing is asked about twice


@pytest.mark.parametrize("method", METHOD_CASES)
def test_interrupted_and_resumed_equals_uninterrupted(
    cells: Oracle, method: str, tmp_path: Path
) -> None:
    asked = {
        "method": method,
        "population": 15,
        "seed": 1,
        "extra": {"accuracy_drop": RUGGED},
        "constraints": ["energy_j <= 3 mJ"],
    }
    straight = evolve(cells, cells.space, TWO, evaluations=75, **asked)  # type: ignore[arg-type]

    state = tmp_path / "state.json"
    seen: list[int] = []

    def stop(now: Any) -> None:
        seen.append(now.evaluations)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evolve(cells, cells.space, TWO, evaluations=75, state=state, callback=stop, **asked)  # type: ignore[arg-type]
    assert len(json.loads(state.read_text())["choices"]) == 30
    resumed = evolve(cells, cells.space, TWO, evaluations=75, state=state, **asked)  # type: ignore[arg-type]
    assert resumed.new_evaluations == 45  # the rest came from the file
    assert resumed.table == straight.table
    assert resumed.front == straight.front
    assert np.array_equal(resumed.evaluated, straight.evaluated)
    assert resumed.hypervolume == straight.hypervolume

    # A finished search costs nothing again, and a longer one goes on from it.
    assert (
        evolve(cells, cells.space, TWO, evaluations=75, state=state, **asked).new_evaluations == 0
    )  # type: ignore[arg-type]
    longer = evolve(cells, cells.space, TWO, evaluations=90, state=state, **asked)  # type: ignore[arg-type]
    assert longer.new_evaluations == 15
    assert np.array_equal(longer.evaluated[:75], straight.evaluated)


def test_numbers_that_are_none_survive_the_state_file(tmp_path: Path) -> None:
    def costs(choices: Any) -> dict[str, Any]:
        found = toy_costs(choices)
        first = np.asarray(choices)[:, 0]
        found["latency_s"] = np.where(first == 0, np.nan, found["latency_s"])
        found["energy_j"] = np.where(first == 1, np.inf, found["energy_j"])
        return found

    state = tmp_path / "state.json"
    names = ["latency_s", "energy_j"]
    kept = evolve(costs, toy(), names, method="random", evaluations=100, state=state)
    again = evolve(costs, toy(), names, method="random", evaluations=100, state=state)
    assert again.new_evaluations == 0
    assert again.table == kept.table
    assert not np.isin(again.choices[:, 0], [0, 1]).any()


@pytest.mark.parametrize("method", METHOD_CASES)
def test_constraints_hold_when_predicted_again(cells: Oracle, method: str) -> None:
    found = evolve(
        cells,
        cells.space,
        TWO,
        ["latency_s <= 600 us", "energy_j < 4 mJ or energy_j > 1 J"],
        method=method,
        population=25,
        evaluations=150,
        extra={"accuracy_drop": RUGGED},
    )
    assert len(found.front) > 0
    assert found.table["satisfied"].any()
    for choice, row in zip(found.choices.tolist(), found.front.rows(), strict=True):
        workload = cells.space.workload(choice)  # type: ignore[attr-defined]
        again = predict(workload, cells._arguments[0], runtime="litert")
        assert float(again.latency_s) <= 600e-6
        assert float(again.energy_j) < 4e-3
        assert row["latency_s"] == pytest.approx(float(again.latency_s), rel=1e-9)
    broken = found.table["latency_s"] > 600e-6
    assert not found.table["satisfied"][broken].any()


@pytest.mark.parametrize("method", METHOD_CASES)
def test_small_space_is_exhausted_and_the_front_is_that_of_brute_force(method: str) -> None:
    s = toy(4, 3)
    rows = every(s)
    values = np.stack([*toy_costs(rows).values(), Rugged(4, 3, 1)(rows)], axis=1)
    best = {tuple(r) for r in rows[front(values)].tolist()}
    found = evolve(
        toy_costs,
        s,
        ["latency_s", "energy_j", "loss"],
        method=method,
        population=20,
        evaluations=1000,
        extra={"loss": Rugged(4, 3, 1)},
    )
    if method in ("random", "regularised", "optuna"):
        assert found.evaluations == len(rows)
        assert found.stopped == "no new choices"
    else:  # pymoo's mating may give up a little before
        assert found.evaluations > 0.9 * len(rows)
    assert {tuple(r) for r in found.choices.tolist()} == best
    dominated = set(map(tuple, found.evaluated.tolist())) - best
    assert best.isdisjoint(dominated)


@pytest.mark.parametrize("method", METHOD_CASES)
def test_hypervolume_grows_and_ends_at_that_of_the_front(cells: Oracle, method: str) -> None:
    found = evolve(
        cells,
        cells.space,
        TWO,
        method=method,
        population=20,
        evaluations=130,
        extra={"accuracy_drop": RUGGED},
    )
    grown = found.hypervolume
    assert grown["evaluations"].tolist() == [20, 40, 60, 80, 100, 120, 130]
    assert np.all(np.diff(grown["hypervolume"]) >= -1e-12)
    assert grown["hypervolume"][0] < grown["hypervolume"][-1]
    points = np.stack([found.front[name] for name in TWO], axis=1)
    corner = [found.reference[name] for name in TWO]
    assert grown["hypervolume"][-1] == pytest.approx(hypervolume(points, corner), rel=1e-12)
    # An independent count: the share of random points in the box that some row dominates.
    rng = np.random.default_rng(0)
    table = np.stack([found.table[name] for name in TWO], axis=1)
    low = table.min(axis=0)
    drawn = low + rng.random((4000, 2)) * (np.array(corner) - low)
    share = (table[None] <= drawn[:, None]).all(axis=2).any(axis=1).mean()
    box = float(np.prod(np.array(corner) - low))
    assert share * box == pytest.approx(grown["hypervolume"][-1], rel=0.03)


def test_directions_and_a_reference_of_ones_own() -> None:
    found = evolve(
        toy_costs,
        toy(),
        [("latency_s", "max"), "energy_j"],
        method="random",
        evaluations=256,
        reference={"latency_s": 0.0, "energy_j": 20.0},
    )
    values = toy_costs(every(toy()))
    points = np.stack([-values["latency_s"], values["energy_j"]], axis=1)
    assert len(found.front) == front(points).sum()
    assert found.best is not None
    assert found.best["latency_s"] == values["latency_s"].max()
    assert found.hypervolume["hypervolume"][-1] == pytest.approx(hypervolume(points, [0.0, 20.0]))
    # A rate is the better the larger without being told.
    rates = evolve(
        lambda c: {"frames_per_s": 1 / toy_costs(c)["latency_s"]},
        toy(),
        "frames_per_s",  # type: ignore[arg-type]
        method="random",
        evaluations=256,
    )
    assert rates.objectives[0].maximize
    assert rates.choices.tolist() == [[0, 0, 0, 0]]


def test_what_does_not_fit_is_on_no_front() -> None:
    def costs(choices: Any) -> dict[str, Any]:
        rows = np.asarray(choices)
        return toy_costs(rows) | {"feasible": (rows[:, 0] > 0).astype(float)}

    found = evolve(costs, toy(), "latency_s", method="regularised", population=20, evaluations=200)
    assert found.best is not None
    assert found.best["latency_s"] == pytest.approx(2e-3)
    assert found.choices[0].tolist() == [1, 0, 0, 0]


def test_nothing_that_keeps_the_constraints_is_a_result() -> None:
    found = evolve(
        toy_costs,
        toy(),
        "latency_s",
        ["latency_s <= 0.9 ms", "energy_j <= 100"],
        method="regularised",
        population=20,
        evaluations=200,
    )
    assert found.best is None
    assert len(found.front) == len(found.choices) == 0
    assert found.hypervolume["hypervolume"][-1] == 0
    # The least violation is that of the quickest of all: 1 ms.
    assert found.closest["latency_s"] == pytest.approx(1e-3)
    assert "none qualifies" in repr(found)
    assert json.loads(json.dumps(found.to_dict()))["front"] == []


def test_aging_evolution_finds_what_random_search_does_not() -> None:
    """On a smooth problem of 10^9 members, at equal budget (Real et al. 2019, figure 3)."""
    s = toy(9, 10)
    target = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5])

    def miss(choices: Any) -> dict[str, Any]:
        return {"miss": np.abs(np.asarray(choices) - target).sum(axis=1).astype(float)}

    for seed in range(3):
        best = {
            method: evolve(miss, s, "miss", method=method, evaluations=1500, seed=seed).best
            for method in ("regularised", "random")
        }
        assert best["regularised"] is not None
        assert best["random"] is not None
        assert best["regularised"]["miss"] < best["random"]["miss"] / 2


def test_one_batch_a_generation() -> None:
    calls: list[int] = []

    def costs(choices: Any) -> dict[str, Any]:
        calls.append(len(choices))
        return toy_costs(choices)

    method = "nsga2" if loaded("pymoo") else "random"
    evolve(costs, toy(6, 6), ["latency_s", "energy_j"], method=method, population=30, generations=4)
    assert calls == [1, 30, 30, 30, 30]  # the first asks what columns there are


def test_callback_stops_and_log_goes_to_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []

    def watch(now: Any) -> bool:
        seen.append(now)
        return len(seen) == 2

    found = evolve(
        toy_costs,
        toy(),
        ["latency_s", "energy_j"],
        ["energy_j <= 4"],
        method="random",
        population=10,
        evaluations=100,
        callback=watch,
        log=True,
    )
    assert found.stopped == "callback"
    assert [now.evaluations for now in seen] == [10, 20]
    assert seen[1].satisfied == (found.table["energy_j"] <= 4).sum()
    assert seen[1].front == len(found.front)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 2


@pytest.mark.parametrize("method", METHOD_CASES)
def test_silent_unless_asked(method: str, capfd: pytest.CaptureFixture[str]) -> None:
    evolve(toy_costs, toy(), ["latency_s", "energy_j"], method=method, population=10, generations=3)
    assert capfd.readouterr() == ("", "")


@needs_optuna
def test_a_storage_of_optuna_is_taken_up_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    names = ["latency_s", "energy_j"]
    asked = {"method": "optuna", "population": 10, "storage": url, "sampler": "random"}
    first = evolve(toy_costs, toy(), names, evaluations=20, **asked)  # type: ignore[arg-type]
    second = evolve(toy_costs, toy(), names, evaluations=40, **asked)  # type: ignore[arg-type]
    before = {tuple(c) for c in first.evaluated[:10].tolist()}
    assert before <= {tuple(c) for c in second.evaluated.tolist()}
    assert second.evaluations == 40
    import optuna

    storage = optuna.storages.RDBStorage(url)
    (summary,) = optuna.get_all_study_summaries(storage)
    storage.remove_session()
    storage.engine.dispose()
    assert summary.n_trials >= 40


def test_every_fault_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        evolve(
            toy_costs,
            toy(),
            ["latncy_s", ("energy_j", "up")],
            ["latency_s <= 5 kg", "energy_j"],
            method="nsga",
            population=1,
            seed=-1,
            state=tmp_path / "state.txt",
            reference={"power_w": 1.0},
            sampler="tpr",
        )
    text = str(told.value)
    for part in (
        "method: unknown method 'nsga'",
        "did you mean 'nsga",
        "population",
        "seed",
        "state.txt",
        "there is no column 'latncy_s'",
        "did you mean 'latency_s'",
        "'up'",
        "constraints[0]",
        "constraints[1]",
        "sampler",
    ):
        assert part in text, part


def test_a_state_of_another_search_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    asked = {"method": "random", "population": 10, "evaluations": 20, "state": state}
    evolve(toy_costs, toy(), "latency_s", **asked)  # type: ignore[arg-type]
    held = state.read_text()
    with pytest.raises(InputError, match="is the state of another search"):
        evolve(toy_costs, toy(), "energy_j", **asked)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="seed is 0"):
        evolve(toy_costs, toy(), "latency_s", seed=7, **asked)  # type: ignore[arg-type]
    assert state.read_text() == held
    for broken in (held[:-30], "[]", held.replace('"choices": [[', '"choices": [[9, ')):
        state.write_text(broken)
        with pytest.raises(InputError, match=r"state\.json"):
            evolve(toy_costs, toy(), "latency_s", **asked)  # type: ignore[arg-type]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for package, method in (("pymoo", "nsga2"), ("pymoo", "nsga3"), ("optuna", "optuna")):
        for name in [n for n in sys.modules if n.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=rf"{package} is not installed.*perfmodel\[search\]"):
            evolve(toy_costs, toy(), ["latency_s", "energy_j"], method=method)


def test_methods_are_known_by_name() -> None:
    assert set(METHODS) == {"nsga2", "nsga3", "optuna", "regularised", "random"}
