"""Cost of ownership and carbon: conservation, limits, arrays."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.cost.cost_of_ownership import (
    SITE,
    Site,
    electricity_usd,
    emissions_kg,
    gpu_cluster,
    hardwired_systems,
)


def test_electricity_of_a_kilowatt() -> None:
    assert electricity_usd(1000.0, 1.0, 0.1) == pytest.approx(876.0)
    assert emissions_kg(1000.0, 2.0, 0.5) == pytest.approx(8760.0)


def test_parts_add_up() -> None:
    found = hardwired_systems(
        np.array([1.0, 50.0]),
        chips=16.0,
        chip_usd=5000.0,
        design_usd=3e7,
        first_masks_usd=6e7,
        update_masks_usd=3e7,
        system_w=7000.0,
        updates=2.0,
    )
    np.testing.assert_allclose(found.capex_usd, found.node_usd + found.infrastructure_usd)
    np.testing.assert_allclose(
        found.static_usd, found.capex_usd + found.electricity_usd + found.maintenance_usd
    )
    np.testing.assert_allclose(found.updated_usd, found.static_usd + 2 * found.update_usd)
    # What is paid once is shared by all systems.
    assert found.static_usd[1] < 50 * found.static_usd[0]
    np.testing.assert_allclose(
        found.updated_kg - found.static_kg, 2 * np.array([1, 50]) * 16 * SITE.embodied_kg_per_chip
    )


def test_clusters_grow_in_proportion() -> None:
    found = gpu_cluster(np.array([8.0, 16.0, 8000.0]))
    for value in (found.capex_usd, found.electricity_usd, found.static_usd, found.static_kg):
        np.testing.assert_allclose(value / value[0], [1, 2, 1000])
    idle = gpu_cluster(8.0, site=Site(electricity_usd_per_kwh=0.0, carbon_kg_per_kwh=0.0))
    assert float(idle.electricity_usd) == 0
    assert float(idle.static_kg) == 8 * SITE.embodied_kg_per_chip
