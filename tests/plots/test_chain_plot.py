"""Capacity against least traffic of a chain: the curves are the chain's, bands its partitions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from perfmodel.cost.traffic.chains import ChainStaircase, chain
from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
from perfmodel.errors import InputError
from perfmodel.plots.chain import chain as draw


@pytest.fixture(scope="module")
def three() -> ChainStaircase:
    channels = [48, 96, 64, 32]
    nests = [
        TileNest(out_rows=80, in_channels=k, out_channels=n)
        for k, n in itertools.pairwise(channels)
    ]
    return chain(nests, Widths(1, 1, 1, 4), Conventions("single"))


def curve(figure: Any, name: str) -> Any:
    (found,) = [t for t in figure.data if (t.meta or {}).get("curve") == name]
    return found


def test_curves_are_the_chains(three: ChainStaircase) -> None:
    figure = draw(three)
    for name, look_up in (
        ("best cuts", three), ("one by one", three.unfused), ("all fused", three.fused),
    ):  # fmt: skip
        trace = curve(figure, name)
        np.testing.assert_array_equal(trace.y, look_up(np.array(trace.x)))
        assert trace.line.shape == "hv"
    assert max(curve(figure, "best cuts").x) > three.effectual_capacity_bytes
    (dashed,) = [t for t in figure.data if (t.meta or {}).get("compulsory")]
    assert set(dashed.y) == {three.compulsory_bytes}


def test_bands_are_the_partitions(three: ChainStaircase) -> None:
    figure = draw(three, names=["up", "across", "down"])
    bands = [t for t in figure.data if (t.meta or {}).get("group")]
    for capacity in np.geomspace(three.capacity_bytes[0], three.capacity_bytes[-1], 9).tolist():
        here = [t.meta["group"] for t in bands if t.meta["from"] <= capacity < t.meta["to"]]
        near = [
            [[g.first, g.last] for g in three.partition(capacity * (1 + e))]
            for e in (-0.05, 0, 0.05)
        ]
        assert sorted(here) in near
    assert {t.text for t in bands} >= {"up", "up + across + down"}


def test_hovering_tells_groups_and_tiles(three: ChainStaircase) -> None:
    trace = curve(draw(three, names=["up", "across", "down"]), "best cuts")
    last = trace.hovertext[-1]
    assert "up + across + down" in last
    assert "weights of up, across, down kept" in last or "tiles of 80 rows" in last


def test_labels_and_words(three: ChainStaircase) -> None:
    figure = draw(three)
    words = " ".join(note.text for note in figure.layout.annotations)
    assert "fusion first saves 1 % in" in words
    alt = figure.layout.meta["alt"] if figure.layout.meta else ""
    assert "One by one the operators move" in alt
    low, high = figure.layout.xaxis.range
    assert low == pytest.approx(math.log10(three.capacity_bytes[0]))
    assert high > math.log10(three.effectual_capacity_bytes)


def test_one_operator_and_bad_words(three: ChainStaircase) -> None:
    alone = chain([TileNest(out_rows=9, in_channels=8, out_channels=7)], Widths())
    figure = draw(alone)
    assert [t.meta.get("curve") for t in figure.data if t.meta] == ["best cuts", None]
    with pytest.raises(InputError, match="2 names for 3"):
        draw(three, names=["a", "b"])
    with pytest.raises(InputError, match="no capacity"):
        draw(three, least=0)
