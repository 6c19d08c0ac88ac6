"""Yield, dies and masks: against integrals, dies laid down one by one, a published set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.silicon_cost import die_usd, dies_per_wafer, mask_cost_usd, murphy_yield
from tests.draws import draws


@settings(max_examples=draws(50), deadline=None)
@given(st.floats(1e-6, 2e-3), st.floats(10.0, 1e4))
def test_murphys_yield_is_the_mean_over_a_triangle_of_densities(
    area: float, density: float
) -> None:
    """Murphy 1964: Poisson yields averaged over densities from 0 to twice the mean."""
    from scipy.integrate import quad

    def triangle(d: float) -> float:
        return (d if d < density else 2 * density - d) / density**2

    def weighted(d: float) -> float:
        return float(np.exp(-area * d)) * triangle(d)

    mean = quad(weighted, 0, density)[0] + quad(weighted, density, 2 * density)[0]
    assert float(murphy_yield(area, density)) == pytest.approx(mean, rel=1e-6)


def laid_down(side: float, wafer: float) -> int:
    """Squares that lie whole on a round wafer, of the best of several offsets of their grid."""
    best = 0
    for dx in np.linspace(0, side, 9):
        for dy in np.linspace(0, side, 9):
            x = np.arange(-wafer / 2 + dx, wafer / 2, side)
            y = np.arange(-wafer / 2 + dy, wafer / 2, side)
            a, b = np.meshgrid(x, y)
            far_x = np.maximum(np.abs(a), np.abs(a + side))
            far_y = np.maximum(np.abs(b), np.abs(b + side))
            best = max(best, int(np.sum(far_x**2 + far_y**2 <= (wafer / 2) ** 2)))
    return best


@pytest.mark.parametrize("side_mm", [5.0, 10.0, 20.0, 28.76])
def test_dies_are_about_those_laid_down(side_mm: float) -> None:
    """The formula keeps clear of the rim: a tenth fewer of the largest dies."""
    side = 1e-3 * side_mm
    assert float(dies_per_wafer(side**2)) == pytest.approx(laid_down(side, 0.3), rel=0.12)


def test_a_published_die() -> None:
    """Liu et al., arXiv 2508.16151 v2: 43 % of 62 dies of 827 mm2, 629 USD of a wafer of 16,988."""
    area = 827.08e-6
    assert float(murphy_yield(area, 1100.0)) == pytest.approx(0.43, abs=0.005)
    assert float(dies_per_wafer(area)) == 62
    found = die_usd(area, wafer_usd=16988.0, defects_per_m2=1100.0)
    assert float(found) == pytest.approx(629, rel=0.02)


def test_larger_dies_cost_more() -> None:
    area = np.geomspace(1e-6, 3e-3, 50)
    cost = die_usd(area, wafer_usd=1e4, defects_per_m2=1000.0)
    assert np.all(np.diff(cost / area) > 0)


def test_masks_add_up() -> None:
    """All layers own: a set a chip. None own: one set. 10 of 130 units: as published."""
    chips = np.array([1, 16, 200.0])
    every = mask_cost_usd(30e6, chips, own_layers=130.0)
    np.testing.assert_allclose(every.first_usd, 30e6 * chips)
    none = mask_cost_usd(30e6, chips, own_layers=0.0)
    np.testing.assert_allclose(none.first_usd, 30e6)
    some = mask_cost_usd(30e6, 16.0)
    assert float(some.shared_usd) == pytest.approx(27.69e6, rel=1e-3)
    assert float(some.first_usd) == pytest.approx(64.6e6, rel=1e-3)
    assert float(some.again_usd) == pytest.approx(36.92e6, rel=1e-3)
