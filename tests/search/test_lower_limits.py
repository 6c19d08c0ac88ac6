"""Limits from below: exact search and every member agree."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.search.search_result import SearchResult

CHOICES = {"channels": [1, 0.75, 0.5]}


def searched(constraints: str, method: str) -> SearchResult:
    return pm.search(
        "mlperf_tiny_ic",
        "gemmini_16x16",
        choices=CHOICES,
        precision="int8",
        objective="latency_s",
        constraints=constraints,
        method=method,
    )


@pytest.mark.parametrize("least", ["9e6", "6.2e6", "12.5e6"])
def test_it_is_the_best_of_every_member(least: str) -> None:
    exact, every = (searched(f"macs >= {least}", m) for m in ("exact", "exhaustive"))
    assert exact.best is not None
    assert every.best is not None
    assert exact.proved
    assert exact.best.value == pytest.approx(every.best.value, rel=1e-9)


def test_its_front_reaches_the_most() -> None:
    exact, every = (searched("macs >= 9e6", m).front for m in ("exact", "exhaustive"))
    whole = np.stack([every["macs"], every["latency_s"]], axis=1)
    assert float(exact["macs"].max()) == whole[:, 0].max()
    for macs, latency in zip(exact["macs"].tolist(), exact["latency_s"].tolist(), strict=True):
        assert latency == pytest.approx(whole[whole[:, 0] >= macs, 1].min(), rel=1e-9)


def test_peak_memory_has_no_exact_lower_limit() -> None:
    with pytest.raises(InputError, match="not a sum of tables"):
        searched("peak_memory_bytes >= 50 KiB", "exact")


@pytest.mark.parametrize("least", ["15000", "20000"])
def test_a_rate_is_a_limit_of_the_latency(least: str) -> None:
    exact, every = (searched(f"frames_per_s >= {least}", m) for m in ("exact", "exhaustive"))
    assert exact.best is not None
    assert every.best is not None
    assert exact.best.value == pytest.approx(every.best.value, rel=1e-9)
    assert exact.limits[0].price == 0.0
