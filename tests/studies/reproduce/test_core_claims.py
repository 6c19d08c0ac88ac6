"""High-frequency cores: the constants are those of the fits, and what was fitted on nothing."""

from __future__ import annotations

import pytest
from perfmodel_studies.claims import high_frequency_cores as cores

from perfmodel.calibrate import fit
from perfmodel.evaluate import reproduce


@pytest.mark.parametrize(("core", "caches"), [("o3", True), ("o3", False), ("in_order", False)])
def test_the_stated_constants_are_those_of_the_fit(core: str, caches: bool) -> None:
    start, law = cores.fitted(core, caches=caches)
    found = fit(law, cores.published(core, caches=caches), start)
    for name, value in found.constants.items():
        assert cores.LAW[core][name] == pytest.approx(value, rel=0.01)


def test_core_and_caches_together_within_fifteen_per_cent() -> None:
    rows = {r.claim: r for r in reproduce("high_frequency_cores")}
    for core in ("o3", "in_order"):
        for workload in (*cores.WORKLOADS, "geomean"):
            row = rows[f"{core}_super_cache_{workload}"]
            assert row.error is not None
            assert abs(row.error) <= 0.15, row
    # Nothing was fitted at 20 GHz.
    errors = [rows[f"o3_super_cache_20ghz_{w}"].error for w in cores.WORKLOADS]
    assert max(abs(e) for e in errors if e is not None) <= 0.05


def test_the_core_in_order_has_no_fitted_constant() -> None:
    start, _ = cores.fitted("in_order", caches=True)
    assert cores.LAW["in_order"]["parallelism"] == 1.0
    # The rows would choose the same: no misses overlap.
    law = cores.fitted("in_order", caches=True)[1]
    found = fit(law, cores.published("in_order", caches=True), start)
    assert found.constants["parallelism"] < 1.2


def test_one_latency_for_all_misses_is_worse() -> None:
    """``T = A / f + misses * 20 ns``, which knows no prefetches: 23 % off on ft."""
    counts = cores.counts("o3")
    misses = counts.fetch_misses + counts.data_misses + counts.prefetched
    fixed = misses * 20e-9
    plain = cores.speedup("o3", (counts.seconds - fixed) / 25.0 + fixed)
    real = cores.speedup("o3", cores.published("o3", caches=True))
    ours = cores.speedup("o3", cores.seconds("o3", cores.LAW["o3"], caches=True))

    def worst(found: dict[str, float]) -> float:
        return max(abs(found[w] / real[w] - 1.0) for w in cores.WORKLOADS)

    assert worst(plain) > 0.2
    assert worst(ours) < 0.13
