"""Against AccelForge: no point of its curves of single and fused products is better."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from perfmodel.cost.traffic.fused_chains import ChainStaircase, chain
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths

DATA = yaml.safe_load((Path(__file__).parent / "data" / "accelforge.yaml").read_text())
CURVES = DATA["curves"]
#: Its bytes are in single precision.
SINGLE = 1 + 2.0**-23


def name(curve: Any) -> str:
    return f"{curve['rows']}-{'-'.join(map(str, curve['channels']))}"


def ours(curve: Any) -> ChainStaircase:
    nests = [
        TileNest(out_rows=curve["rows"], in_channels=k, out_channels=n)
        for k, n in itertools.pairwise(curve["channels"])
    ]
    return chain(nests, Widths(1, 1, 1, 1), Conventions("single"))


def ratios(curve: Any) -> Any:
    room, moved = np.array(curve["points"], dtype=float).T
    return np.round(ours(curve)(room * SINGLE) / moved, 6)


@pytest.mark.parametrize("curve", CURVES, ids=name)
def test_no_mapping_of_its_search_moves_less(curve: Any) -> None:
    found, ratio = ours(curve), ratios(curve)
    assert np.all(ratio <= 1)
    # Its tiles divide extents; others do better at some capacities, never by far.
    assert np.all(ratio >= 0.75)
    assert np.mean(ratio == 1) >= 0.4
    # Both ends: the smallest tiles, and everything once.
    (least, most), (last, compulsory) = curve["points"][0], curve["points"][-1]
    assert (found.capacity_bytes[0], found.traffic_bytes[0]) == (least, most)
    assert found.compulsory_bytes == compulsory
    assert found.effectual_capacity_bytes == pytest.approx(last, rel=1e-6)


@pytest.mark.parametrize("curve", DATA["attention"], ids=lambda c: "-".join(c["operators"]))
def test_beside_heads_pairs_are_as_good_and_three_in_a_row_nearly(curve: Any) -> None:
    rows, keys, heads, head = (curve[k] for k in ("rows", "keys", "heads", "head"))

    def product(m: int, k: int, n: int, groups: int = 1) -> TileNest:
        return TileNest(out_rows=m, in_channels=k, out_channels=n, groups=groups)

    nests = {
        "query": product(rows, curve["model"], heads * head),
        "scores": product(rows, head, keys, heads),
        "values": product(rows, keys, head, heads),
        "projection": product(rows, heads * head, curve["model"]),
    }
    found = chain([nests[o] for o in curve["operators"]], Widths(1, 1, 1, 1), Conventions("single"))
    room, moved = np.array(curve["points"], dtype=float).T
    ratio = found(room) / moved
    # Of three operators it slices channels and heads together, which groups here do not.
    assert np.all(ratio <= (1 if len(curve["operators"]) == 2 else 1.17))
    assert np.mean(ratio <= 1) >= 0.7
    assert np.all(ratio >= 0.88)
    assert found.compulsory_bytes == moved[-1]


def test_its_curves_hold_single_products_and_fused_ones() -> None:
    points = {
        k: sum(len(c["points"]) for c in CURVES if len(c["channels"]) == k) for k in (2, 3, 4)
    }
    assert points == {2: 105, 3: 116, 4: 61}
