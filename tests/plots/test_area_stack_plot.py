"""Bars of the area of each block: they add up, and say the die beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import perfmodel as pm


def test_bars_add_up_to_the_areas_of_the_designs() -> None:
    tpu, gemmini = (pm.predict("resnet18", name) for name in ("tpu_v1", "gemmini_16x16"))
    figure: Any = tpu.plot.area_stack(gemmini)
    heights = np.sum([np.asarray(bar.y, dtype=float) for bar in figure.data], axis=0)
    assert heights == pytest.approx([tpu.area_mm2, gemmini.area_mm2])
    assert "of a die of 331 sq mm" in figure.layout.meta["alt"]


def test_every_point_of_an_array_is_a_bar() -> None:
    machine = pm.hardware("tpu_v1").vary({"engines.mxu.height": np.array([64.0, 256.0])})
    p = pm.predict("resnet18", machine)
    figure: Any = p.plot.area_stack()
    heights = np.sum([np.asarray(bar.y, dtype=float) for bar in figure.data], axis=0)
    assert heights == pytest.approx(p.area_mm2)
    assert list(figure.data[0].x) == ["tpu_v1, height 64", "tpu_v1, height 256"]


def test_a_device_without_structure_is_refused() -> None:
    with pytest.raises(pm.InputError, match="no structure"):
        pm.predict("resnet18", "raspberry_pi_5").plot.area_stack()
