"""What a search returns keeps every limit when it is predicted and scheduled anew.

Random networks, choices, limits and devices (`random_searches`); each answer is looked at again by
`predict` and `schedule`, and its proof by trying every configuration: 300 with the tests that are
slow, thirty without.
"""

from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.expressions import parse_expression
from tests.draws import draws
from tests.search.random_searches import RATES, Losses, Search, Tried, holds, search_of, text, tried

FEW = range(30)
MANY = range(30, 300)
TOLERANCE = 1e-9


def _machine(search: Search, choice: tuple[int, ...]) -> Any:
    facts = search.space.facts_of(choice)
    return search.device.vary(facts) if facts else search.device


def _check_limits(search: Search, result: Any) -> None:
    """Predict and schedule the workload of a result, and compare with every limit."""
    choice = result.best.choice
    machine, own = _machine(search, choice), search.space.options_of(choice)
    workload = result.workload
    prediction = pm.predict(workload, machine, **own)
    assert prediction.feasible, prediction.violations
    for metric, bound in search.bounds:
        if metric.startswith("traffic_bytes."):
            value = prediction.traffic_bytes[metric.removeprefix("traffic_bytes.")]
        else:
            value = getattr(prediction, metric)
        assert holds(metric, value, bound), (metric, value, bound)
        assert result.best.metrics[metric] == pytest.approx(value, rel=TOLERANCE)
    # The least peak of any order is no more than that of the given one, which is what is limited.
    natural = float(np.ceil(prediction.activation_bytes)) + 1
    schedule = pm.schedule(workload, machine, objective="peak", capacity=natural, **own)
    assert schedule.feasible
    peak = schedule.peak_bytes
    assert peak <= natural
    for metric, bound in search.bounds:
        if metric == "peak_memory_bytes":
            held = prediction.weight_bytes + prediction.kv_bytes + peak
            assert held <= bound * (1 + TOLERANCE) + 1


def _check_proof(search: Search, result: Any, every: Tried) -> None:
    """Compare with the best of all configurations."""
    best = every.best(search.bounds)
    if result.best is None:
        if result.proved:
            assert best == np.inf
        return
    value = result.best.value
    assert value >= best - TOLERANCE * abs(best)
    assert result.bound <= best + 1e-7 * abs(best)
    if result.proved:
        assert value == pytest.approx(best, rel=1e-7)


def _check(seed: int) -> None:
    search = search_of(seed)
    result = search.run()
    if result.best is not None:
        _check_limits(search, result)
    _check_proof(search, result, tried(search))


@pytest.mark.parametrize("seed", FEW)
def test_a_result_keeps_every_limit_and_its_proof_holds(seed: int) -> None:
    _check(seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", range(MANY.start, MANY.stop, 15))
def test_many_results_keep_every_limit_and_their_proofs_hold(block: int) -> None:
    for seed in range(block, block + 15):
        _check(seed)


# Where activations stay depends on the configuration: tables are bounds, not costs.


@pytest.mark.parametrize("seed", range(draws(12)))
@pytest.mark.parametrize("device", ["zen4_core", "raspberry_pi_5"])
def test_where_residency_depends_on_the_choice_limits_still_hold(seed: int, device: str) -> None:
    search = search_of(1000 + seed, kinds=("batch", "channels", "kv"), devices=(device,))
    result = search.run()
    if result.best is not None:
        _check_limits(search, result)
    _check_proof(search, result, tried(search))


# Nothing satisfies the limits.


def _tightened(seed: int) -> tuple[Search, Tried]:
    """Return a search whose limits are each near the best that its metric alone can be."""
    search = search_of(seed)
    every = tried(search)
    rng = np.random.default_rng(seed)
    some = every.fits if every.fits.any() else np.ones(len(every.fits), dtype=bool)
    bounds: list[tuple[str, float]] = []
    for metric, _ in search.bounds:
        values = every.columns[metric][some]
        share = float(rng.choice([0.97, 1.0, 1.02]))
        best = values.max() / share if metric in RATES else values.min() * share
        bounds.append((metric, float(best)))
    search.bounds = bounds
    search.constraints = [text(metric, bound) for metric, bound in bounds]
    return search, every


def _least(every: Tried, bounds: list[tuple[str, float]], i: int) -> float | None:
    """Return how far limit `i` must be eased while all others are kept."""
    good = every.allowed([b for k, b in enumerate(bounds) if k != i])
    if not good.any():
        return None
    values = every.columns[bounds[i][0]][good]
    return float(values.max() if bounds[i][0] in RATES else values.min())


def _check_explanation(seed: int) -> bool:
    search, every = _tightened(seed)
    result = search.run()
    possible = np.isfinite(every.best(search.bounds))
    assert (result.best is not None) == possible
    if possible or result.infeasible is None:
        return False
    bounds = search.bounds
    openings = {o.limit: o for o in result.infeasible.openings}
    # What cannot be kept together cannot.
    named = [
        b
        for b, t in zip(bounds, search.constraints, strict=True)
        if t in result.infeasible.together
    ]
    good = every.allowed(named)
    if all("holds the network" not in name for name in result.infeasible.together):
        assert not np.any(good)
    for i, limit in enumerate(search.constraints):
        opening, wanted = openings[limit], _least(every, bounds, i)
        assert opening.bound == bounds[i][1]
        if not opening.proved:
            continue
        if wanted is None or opening.least is None:
            assert opening.least is None
            assert wanted is None
            continue
        assert opening.least == pytest.approx(wanted, rel=1e-9)
        # It opens the search, and a little less does not.
        gap = opening.least - bounds[i][1]
        for share, opens in ((1.0, True), (0.99, False)):
            changed = [*bounds]
            changed[i] = (bounds[i][0], bounds[i][1] + share * gap)
            other = [text(metric, bound) for metric, bound in changed]
            again = pm.search(
                search.space,
                search.device,
                constraints=other,
                objective=search.objective,
                accuracy=search.losses,
            )
            assert (again.best is not None) is opens
    return True


@pytest.mark.parametrize("block", range(0, 20, 10))
def test_infeasible_searches_say_what_would_open_them(block: int) -> None:
    explained = [_check_explanation(seed) for seed in range(block, block + 10)]
    assert any(explained)


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", range(20, 140, 20))
def test_many_infeasible_searches_say_what_would_open_them(block: int) -> None:
    explained = [_check_explanation(seed) for seed in range(block, block + 20)]
    assert any(explained)


# Limits of other kinds.


@pytest.mark.parametrize(
    "limit",
    [
        "latency_s >= 4 us",
        "frames_per_s <= 400000",
        "frames_per_s >= 900000",
        "energy_j >= 2 mJ",
        "weight_bytes >= 20 kB",
        "peak_memory_bytes >= 60 kB",
        "sensitivity <= 3",
        "sensitivity >= 5",
        "macs <= 10000000",
    ],
)
@pytest.mark.parametrize("objective", ["sensitivity", "energy_j", "frames_per_s"])
def test_limits_from_below_and_of_rates_agree_with_trying_everything(
    limit: str, objective: str
) -> None:
    space = pm.space(
        pm.workload("tiny_cnn"),
        {"weight_bits": [2, 4, 8], "batch": [1, 2, 8]},
        precision="w8a8",
        share="kind",
    )
    options: dict[str, Any] = {
        "constraints": [limit],
        "objective": objective,
        "accuracy": Losses(7),
    }
    found = pm.search(space, "a100", **options)
    every = pm.search(space, "a100", method="exhaustive", **options)
    assert found.proved
    assert every.proved
    assert (found.best is None) == (every.best is None)
    if found.best is not None:
        assert found.best.value == pytest.approx(every.best.value, rel=1e-9)
        given = limit.split()[0]
        assert given in found.best.metrics


def test_rates_of_what_a_network_does_not_yield_are_refused() -> None:
    space = pm.space(pm.workload("tiny_cnn"), {"weight_bits": [4, 8]}, precision="w8a8")
    with pytest.raises(pm.InputError, match="frames_per_s"):
        pm.search(space, "a100", constraints=["tokens_per_s >= 5"])


@pytest.mark.parametrize(
    ("objective", "constraint"),
    [
        ("latency_s", "steady_celsius <= 31.5"),
        ("energy_j", "battery_hours >= 9 h"),
        ("sustained_latency_s", "battery_share_in_an_hour <= 0.12"),
    ],
)
def test_heat_and_batteries_are_limits_that_the_answer_keeps(
    objective: str, constraint: str
) -> None:
    answer = pm.search(
        "resnet18",
        "galaxy_s24",
        choices={"weight_bits": [4, 8]},
        objective=objective,
        constraints=[constraint],
        evaluations=200,
    )
    assert answer.best is not None
    assert answer.prediction is not None
    metric = constraint.split()[0]
    for name in (objective, metric):
        predicted = getattr(answer.prediction, name)
        assert answer.best.metrics[name] == pytest.approx(predicted, rel=1e-9)
    assert parse_expression(constraint)({metric: np.array(answer.best.metrics[metric])})
