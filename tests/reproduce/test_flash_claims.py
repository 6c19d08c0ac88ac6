"""Claims about flash: on which rules a row stands, as its basis and constants say."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.hardware.library import hardware
from perfmodel.kinds.nand.kind import shares_of
from perfmodel.predict import predict
from perfmodel.reproduce import reproduce
from perfmodel.reproduce.systems.cambricon_llm import MODELS, with_tiling
from perfmodel.workload.library import find


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", ["s", "m", "l"])
def test_rows_name_the_rules_that_they_stand_on(model: str, size: str) -> None:
    """A rule enters where the row would change without it, or where a page has room to spare."""
    rows = {row.claim: row for row in reproduce("cambricon_llm")}
    row = rows[f"{model}_{size}"]
    workload = find(model, {"phase": "decode", "batch": 1, "context": 1000})
    found = predict(workload, hardware(f"cambricon_llm_{size}"), precision="w8a8")
    strict = predict(workload, with_tiling(size, "published"), precision="w8a8")
    table, _ = found._opened
    shares = shares_of(table, found._setting)
    assert shares is not None
    padded = float(np.min(shares.split.tile.fill)) < 1 - 1e-9
    narrowed = abs(strict.latency_s / found.latency_s - 1) > 1e-9
    said = " ".join(row.constants)
    assert ("padding" in said, "narrowing" in said) == (padded, narrowed)
    assert row.basis == ("fitted" if padded or narrowed else "first_principles")
    assert row.predicted == pytest.approx(found.tokens_per_s)
    # The best tile stands on neither, and is never slower.
    best = rows[f"best_tile_{model}_{size}"]
    assert best.basis == "first_principles"
    assert not best.constants
    assert best.predicted >= row.predicted * (1 - 1e-9)


def test_seven_billion_parameters_from_the_geometry_alone() -> None:
    """OPT-6.7B and Llama 2 7B on S, M and L: each within 15 %, no rule chosen in view of them."""
    rows = {row.claim: row for row in reproduce("cambricon_llm")}
    for model in ("opt_6_7b", "llama_2_7b"):
        for size in "sml":
            row = rows[f"best_tile_{model}_{size}"]
            assert row.error is not None
            assert abs(row.error) <= 0.15


def test_quotients_of_published_numbers_are_not_predictions() -> None:
    for row in reproduce("llm_in_a_flash"):
        if row.claim.startswith("io_"):
            assert row.basis == "given"
            assert row.constants
