"""Resource bars: the layers add up to what the design takes, and the scarcest is marked."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel.charts.fpga_resources import resources
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find


def bars(figure: Any, label: str) -> dict[str, float]:
    return {
        t.name: float(x) for t in figure.data for y, x in zip(t.y, t.x, strict=True) if y == label
    }


@pytest.mark.parametrize(("part", "fits"), [("xc7z007s", False), ("vu13p", True)])
def test_bars_add_up_to_the_shares(part: str, fits: bool) -> None:
    found = predict(find("jet_tagger", {}), hardware(part), precision="int16")
    figure: Any = found.plot.resources()
    nouns = {"lut": "look-up tables", "ff": "flip-flops", "dsp": "DSP slices"}
    scarce = max(found.resources, key=lambda name: found.resources[name]["share"])
    for name, noun in nouns.items():
        label = f"{noun} (scarcest)" if name == scarce else noun
        share = found.resources[name]["share"]
        assert sum(bars(figure, label).values()) == pytest.approx(100 * share, rel=1e-9), name
    assert found.feasible is fits
    alt = figure.layout.meta["alt"]
    assert f"Scarcest: {nouns[scarce]}" in alt
    assert ("does not fit" in alt) is not fits
    assert {t.name for t in figure.data} >= {"fc1", "fc2", "fc3", "fc4", "classes"}


def test_many_layers_are_drawn_as_one() -> None:
    found = predict(find("mlperf_tiny_ad", {}), hardware("vu13p"), precision="int8")
    figure: Any = resources(found)
    names = {t.name for t in figure.data}
    assert "other layers" in names
    share = found.resources["lut"]["share"]
    label = next(y for y in figure.data[0].y if y.startswith("look-up"))
    assert sum(bars(figure, label).values()) == pytest.approx(100 * share, rel=1e-9)


def test_engines_without_such_resources_are_refused() -> None:
    found = predict(find("resnet18", {}), hardware("a100"))
    with pytest.raises(InputError, match="no resources to draw"):
        resources(found)
