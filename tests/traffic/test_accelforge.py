"""Against AccelForge: no point of its curves of single and fused products is better."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from perfmodel.cost.traffic.chains import Chain, chain
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths

CURVES = yaml.safe_load((Path(__file__).parent / "data" / "accelforge.yaml").read_text())["curves"]


def ours(curve: Any) -> Chain:
    nests = [
        TileNest(out_rows=curve["rows"], in_channels=k, out_channels=n)
        for k, n in itertools.pairwise(curve["channels"])
    ]
    return chain(nests, Widths(1, 1, 1, 1), Conventions("single"))


@pytest.mark.parametrize(
    "curve", CURVES, ids=lambda c: f"{c['rows']}-{'-'.join(map(str, c['channels']))}"
)
def test_no_mapping_of_its_search_moves_less(curve: Any) -> None:
    found = ours(curve)
    room, moved = np.array(curve["points"], dtype=float).T
    here = found(room)
    assert np.all(here <= moved)
    # Its tiles divide extents; others do better at some capacities, never by much.
    assert np.all(here >= 0.8 * moved)
    assert np.mean(here == moved) >= 0.5
    # Both ends: the smallest tiles, and everything once.
    assert (here[0], found.capacity_bytes[0]) == (moved[0], room[0])
    assert found.compulsory_bytes == moved[-1]
    assert found.effectual_capacity_bytes == room[-1]


def test_its_curves_hold_single_products_and_fused_ones() -> None:
    lengths = {len(curve["channels"]) - 1 for curve in CURVES}
    assert lengths >= {1, 2}
    assert sum(len(curve["points"]) for curve in CURVES) > 90
