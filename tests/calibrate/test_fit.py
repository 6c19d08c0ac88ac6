"""Fits find the constants that made the rows, and left-out groups are not seen by their fit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from perfmodel.calibrate import Constant, fit, left_out

BYTES = np.array([1e6, 4e6, 2e7, 9e7, 3e8, 1e9])
CONSTANTS = (Constant("share", 0.5, 0.05, 1.0), Constant("launch", 1e-5, 1e-7, 1e-3))


def forward(c: Mapping[str, float]) -> np.ndarray:
    return c["launch"] + BYTES / (c["share"] * 1e12)


def test_constants_that_made_the_rows_are_found() -> None:
    found = fit(forward, forward({"share": 0.8, "launch": 4e-6}), CONSTANTS)
    assert found.constants["share"] == pytest.approx(0.8, rel=1e-5)
    assert found.constants["launch"] == pytest.approx(4e-6, rel=1e-5)
    assert not found.at_bound


def test_one_wild_row_does_not_decide() -> None:
    rows = forward({"share": 0.8, "launch": 4e-6})
    rows[3] *= 20
    assert fit(forward, rows, CONSTANTS).constants["share"] == pytest.approx(0.8, rel=0.05)


def test_a_constant_at_its_bound_is_told() -> None:
    found = fit(forward, forward({"share": 3.0, "launch": 4e-6}), CONSTANTS)
    assert found.at_bound == ("share",)


def test_a_prior_holds_what_the_rows_do_not_say() -> None:
    def blind(c: Mapping[str, float]) -> np.ndarray:
        return forward({"share": c["share"], "launch": 4e-6})

    held = (CONSTANTS[0], Constant("launch", 1e-5, 1e-7, 1e-3, prior=1.0))
    found = fit(blind, blind({"share": 0.6}), held)
    assert found.constants["launch"] == pytest.approx(1e-5)
    assert found.constants["share"] == pytest.approx(0.6, rel=1e-5)


def test_a_left_out_group_is_predicted_from_the_others() -> None:
    truth = forward({"share": 0.8, "launch": 4e-6})
    truth[:2] *= 3.0  # the first device is another kind altogether
    found = left_out(forward, truth, CONSTANTS, ["a", "a", "b", "b", "c", "c"])
    # Rows of b and c alone fix the share; a is predicted as if it were like them.
    assert found.fits["a"].constants["share"] == pytest.approx(0.8, rel=1e-3)
    assert found.predicted[1] / truth[1] < 0.6
    rows = fit(forward, truth, CONSTANTS, rows=[2, 3, 4, 5]).predicted[:2]
    assert found.predicted[:2] == pytest.approx(rows)


class _ManyForward:
    """The same forward function, of many points at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, constants: Mapping[str, float]) -> np.ndarray:
        return forward(constants)

    def points(self, constants: Mapping[str, np.ndarray]) -> np.ndarray:
        share, launch = (constants[name][:, None] for name in ("share", "launch"))
        self.sizes.append(len(share))
        return launch + BYTES / (share * 1e12)


def test_fits_run_in_lock_step_are_those_one_after_the_other() -> None:
    truth = forward({"share": 0.8, "launch": 4e-6}) * np.array([1.1, 0.9, 1.2, 1.0, 0.8, 1.05])
    groups = ["a", "a", "b", "b", "c", "c"]
    many = _ManyForward()
    singly = left_out(forward, truth, CONSTANTS, groups)
    together = left_out(many, truth, CONSTANTS, groups)
    assert together.predicted == pytest.approx(singly.predicted, rel=1e-6)
    for name, one in singly.fits.items():
        assert dict(together.fits[name].constants) == pytest.approx(dict(one.constants), rel=1e-5)
    # Three fits ask for a point and two steps each.
    assert many.sizes[0] == 9


def test_a_constant_that_moves_no_row_stays_where_it_began() -> None:
    class Noisy(_ManyForward):
        def points(self, constants: Mapping[str, np.ndarray]) -> np.ndarray:
            # Sums in another order differ by their rounding, whatever the constant is.
            noise = 1.0 + 4e-16 * np.sin(1e9 * constants["idle"])[:, None]
            return super().points(constants) * noise

    truth = forward({"share": 0.8, "launch": 4e-6})
    result = fit(Noisy(), truth, (*CONSTANTS, Constant("idle", 0.3, 0.01, 1.0)))
    assert result.constants["idle"] == pytest.approx(0.3, rel=1e-6)
    assert result.constants["share"] == pytest.approx(0.8, rel=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_what_no_row_tells_stays_though_others_are_told_by_their_product_alone(count: int) -> None:
    """Factors of hosts and a time that they multiply leave a fit singular, as do unseen hosts."""
    hosts = np.repeat(np.arange(count), 4)
    work = np.tile([1.0, 2.0, 5.0, 9.0], count)

    def forward(values: Mapping[str, float]) -> np.ndarray:
        factors = np.array([values[f"host{i}"] for i in range(count)])
        return values["floor"] * factors[hosts] * (1.0 + work * values["rate"])

    factors = {f"host{i}": 1.0 + 0.1 * i for i in range(count)}
    truth = forward({"floor": 6e-5, "rate": 0.4, **factors}) * (1.0 + 0.05 * np.sin(work + hosts))
    free = [Constant(name, 1.0, 0.4, 2.5) for name in factors]
    listed = [Constant("floor", 4e-5, 1e-6, 1e-3), Constant("rate", 0.2, 1e-3, 10.0), *free]
    for i in range(count):
        result = fit(forward, truth, listed, rows=hosts != i)
        assert result.constants[f"host{i}"] == pytest.approx(1.0, rel=1e-3)


def test_an_error_of_one_round_is_that_of_the_fit() -> None:
    class Broken(_ManyForward):
        def points(self, constants: Mapping[str, np.ndarray]) -> np.ndarray:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        left_out(Broken(), forward({"share": 0.8, "launch": 4e-6}), CONSTANTS, list("aabbcc"))


@pytest.mark.parametrize("groups", [["a"] * 6, ["a", "b"]])
def test_groups_that_leave_nothing_are_refused(groups: list[str]) -> None:
    with pytest.raises(ValueError, match="group"):
        left_out(forward, forward({"share": 0.8, "launch": 4e-6}), CONSTANTS, groups)


def test_a_measurement_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="above zero"):
        fit(forward, np.zeros(6), CONSTANTS)
