"""Nested trials: planted constants, true refits and brute force as their truths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from perfmodel.calibrate import Constant, PulledConstants, nested_left_out, pooled_fit
from perfmodel.calibrate.fit import Forward, fit
from perfmodel.calibrate.nested_cross_validation import PULL_WEIGHTS, LinearisedRows

#: Exponents of two constants in every row: powers are lines on a logarithmic scale.
EXPONENTS = np.array([[1.0, 0.0], [0.6, 0.4], [0.2, 0.9], [1.0, 0.5], [0.3, 0.3], [0.8, 0.1]])
GROUPS = ("a", "a", "b", "b", "c", "c")
NAMES = ("share", "launch")
#: So large that no row counts less than its square.
SQUARES = 1e2


def powers(constants: Mapping[str, float]) -> np.ndarray:
    return np.exp(EXPONENTS @ np.log([constants[name] for name in NAMES]))


def measured(seed: int = 3) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0.0, 0.2, len(EXPONENTS))
    return powers({"share": 0.5, "launch": 3.0}) * np.exp(noise)


def constants(pull: float = 0.0) -> list[Constant]:
    return [
        Constant("share", 0.9, 1e-3, 1e3, pull, 0.9),
        Constant("launch", 2.0, 1e-3, 1e3, pull, 2.0),
    ]


def true_errors(truth: np.ndarray, groups: Sequence[str], pull: float) -> np.ndarray:
    """Return what each row is off when its group is left out of a fit, by such fits."""
    labels = np.array(groups)
    off = np.empty(len(labels))
    for name in set(groups):
        at = labels == name
        others = fit(powers_of(groups), truth, constants(pull), rows=~at, scale=SQUARES)
        off[at] = np.log(others.predicted[at] / truth[at])
    return off


def powers_of(groups: Sequence[str]) -> Forward:
    rows = [i for i, name in enumerate(GROUPS) if name in groups]

    def forward(constants: Mapping[str, float]) -> np.ndarray:
        return powers(constants)[rows]

    return forward


@pytest.mark.parametrize("pull", [0.02, 0.3, 2.0])
def test_a_newton_step_without_a_group_is_the_refit_without_it(pull: float) -> None:
    truth = measured()
    everything = fit(powers, truth, constants(pull), scale=SQUARES)
    centre = np.log([0.9, 2.0])
    at = np.log([everything.constants[name] for name in NAMES])
    near = LinearisedRows(
        np.log(everything.predicted / truth),
        EXPONENTS,
        at - centre,
        np.unique(GROUPS, return_inverse=True)[1],
        np.full(2, -20.0),
        np.full(2, 20.0),
        SQUARES,
    )
    step = near.without_each(np.full(2, pull), 2)
    for group, offset in zip("abc", step, strict=True):
        rows = np.array([name != group for name in GROUPS])
        true = fit(powers, truth, constants(pull), rows=rows, scale=SQUARES)
        assert np.exp(offset + centre) == pytest.approx(
            [true.constants[name] for name in NAMES], rel=1e-4
        )


@pytest.mark.parametrize("seed", range(4))
def test_the_pull_is_that_of_brute_force(seed: int) -> None:
    truth = measured(seed)
    pulled = PulledConstants(constants(), np.array([True, True]))
    result = nested_left_out(powers, truth, pulled, GROUPS, scale=SQUARES)
    for name, choice in result.choices.items():
        some = [i for i, group in enumerate(GROUPS) if group != name]
        groups = [GROUPS[i] for i in some]
        # Two rows a group: a pull of 1 weighs as much as two rows.
        errors = [
            np.mean(np.abs(true_errors(truth[some], groups, pull * np.sqrt(2.0))))
            for pull in PULL_WEIGHTS
            if pull > 0.0
        ]
        known = [pull for pull in PULL_WEIGHTS if pull > 0.0]
        if choice.pull > 0.0:
            assert choice.pull == known[int(np.argmin(errors))]
            assert choice.error == pytest.approx(min(errors), rel=1e-3)
        else:
            assert choice.error is not None
            assert choice.error <= min(errors) * 1.001
        true = fit(
            powers_of(groups), truth[some], constants(choice.pull * np.sqrt(2.0)), scale=SQUARES
        )
        assert result.fits[name].constants == pytest.approx(true.constants, rel=1e-3)


def test_what_one_device_alone_determines_is_its_family_s_without_it() -> None:
    """Of five devices one has a variant of its own: without it, nothing tells its constant."""
    devices = np.repeat(np.arange(5), 3)
    work = np.tile([1.0, 4.0, 9.0], 5)

    def forward(values: Mapping[str, float]) -> np.ndarray:
        return work / np.where(devices == 4, values["variant"], values["share"])

    truth = forward({"share": 0.8, "variant": 0.1})
    listed = [Constant("share", 0.6, 0.01, 1.0), Constant("variant", 0.5, 0.01, 1.0)]
    pulled = PulledConstants(listed, np.array([True, True]), joining=1)
    result = nested_left_out(forward, truth, pulled, [str(d) for d in devices])
    assert result.predicted[devices == 4] == pytest.approx(work[devices == 4] / 0.5, rel=1e-6)
    # The others have each other; the pull towards 0.6 costs them little.
    assert result.predicted[devices < 4] == pytest.approx(truth[devices < 4], rel=0.02)


def test_a_constant_moves_as_far_as_its_family_is_apart() -> None:
    """Rows that only tell the product of two constants move the one that varies more."""

    def forward(values: Mapping[str, float]) -> np.ndarray:
        return np.full(4, values["steady"] * values["varied"])

    spreads = {"steady": 1.5, "varied": 4.0}
    listed = [Constant(name, 1.0, 0.01, 100.0, spread=x) for name, x in spreads.items()]
    pulled = PulledConstants(listed, np.array([True, True]))
    result = nested_left_out(forward, np.full(4, 8.0), pulled, ["a", "a", "b", "b"])
    steady, varied = (np.log(result.fits["a"].constants[name]) for name in spreads)
    assert steady / varied == pytest.approx((np.log(1.5) / np.log(4.0)) ** 2, rel=1e-3)


def test_two_groups_leave_nothing_to_choose_by() -> None:
    pulled = PulledConstants(constants(), np.array([True, True]))
    result = nested_left_out(powers, measured(), pulled, ["a"] * 3 + ["b"] * 3)
    assert {choice.pull for choice in result.choices.values()} == {PULL_WEIGHTS[0]}
    assert all(choice.error is None for choice in result.choices.values())


def test_a_pooled_fit_has_the_pull_that_leaving_out_each_group_decides() -> None:
    truth = measured()
    listed = PulledConstants(constants(), np.array([True, True]))
    pooled, choice = pooled_fit(powers, truth, listed, GROUPS, scale=SQUARES)
    # The pull of strength 1 weighs as much as the rows of one group: two of them.
    strength = np.sqrt(2.0)
    errors = {
        pull: float(np.mean(np.abs(true_errors(truth, GROUPS, pull * strength))))
        for pull in PULL_WEIGHTS
    }
    assert choice.pull == min(errors, key=errors.__getitem__)
    assert choice.error == pytest.approx(errors[choice.pull], rel=1e-3)
    direct = fit(powers, truth, constants(choice.pull * strength), scale=SQUARES)
    assert pooled.constants == pytest.approx(direct.constants, rel=1e-4)


def test_a_constant_that_nothing_feels_at_its_family_s_value_is_searched_from_its_own_start() -> (
    None
):
    """Memory bounds every row at the family's share; the truth is far below it."""
    groups = np.repeat(np.arange(4), 3)
    work = np.tile([1.0, 2.0, 3.0], 4) * (1.0 + 0.01 * groups)

    def forward(values: Mapping[str, float]) -> np.ndarray:
        return np.maximum(work / values["share"], 5.0 * work)

    listed = [Constant("share", 0.1, 0.01, 1.0, towards=0.9)]
    pulled = PulledConstants(listed, np.array([True]))
    truth = forward({"share": 0.05})
    result = nested_left_out(forward, truth, pulled, [str(g) for g in groups])
    assert result.predicted == pytest.approx(truth, rel=1e-2)
