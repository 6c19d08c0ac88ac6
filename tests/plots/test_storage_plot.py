"""Bandwidth of storage by block and depth: curves are the law's, markers what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perfmodel.charts.storage_bandwidth import storage
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.kinds.storage import storage_bandwidth
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.library import find

MEASURED = (("128 KiB", 2.0, 1e9), (4 * 2.0**20, 8.0, 2.4e9), ("1 MiB", 16.0, 2.3e9))


@pytest.fixture(scope="module")
def streamed() -> Prediction:
    model = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 64})
    return predict(model, hardware("ufs_4_phone"), precision="w4a16", runtime="ideal")


def traces(figure: Any, key: str) -> dict[Any, Any]:
    return {t.meta[key]: t for t in figure.data if key in (t.meta or {})}


def test_curves_are_the_law(streamed: Prediction) -> None:
    figure = storage(streamed)
    curves = traces(figure, "depth")
    assert list(curves) == [1, 2, 4, 8, 32]
    for depth, curve in curves.items():
        law = storage_bandwidth(
            np.array(curve.x), float(depth), 183e-6, 2.493e9, commands=57600.0, lane=2.113e9
        )
        np.testing.assert_allclose(np.array(curve.y) * 1e9, law, rtol=1e-9)
        assert (curve.x[0], curve.x[-1]) == pytest.approx((4096.0, 2.0**24))
    assert len({curve.line.color for curve in curves.values()}) == 5
    (ceiling,) = traces(figure, "ceiling")
    assert ceiling == pytest.approx(2.493e9)
    # The star is what the prediction reads with.
    (here,) = traces(figure, "here")
    assert here == pytest.approx(streamed.bandwidth_bytes_per_s["storage"], rel=1e-3)


def test_measured_points_and_their_error(streamed: Prediction) -> None:
    figure = streamed.plot.storage(measured=MEASURED, depths=(2, 8))
    points = traces(figure, "measured")
    assert list(points[2].x) == [131072.0]
    assert list(points[8].y) == [2.4]
    # A depth that no curve is drawn for is shown all the same.
    assert list(points[0].x) == [2.0**20]
    errors = [
        abs(float(storage_bandwidth(b, d, 183e-6, 2.493e9, commands=57600.0, lane=2.113e9)) / v - 1)
        for b, d, v in ((131072.0, 2.0, 1e9), (2.0**22, 8.0, 2.4e9), (2.0**20, 16.0, 2.3e9))
    ]
    title = figure.layout.title.text
    assert f"3 measured, mean error {100 * np.mean(errors):.1f} %" in title
    assert f"largest {100 * max(errors):.1f} %" in title
    alt = figure.layout.meta["alt"]
    assert "3 measured points" in alt
    assert "2 in flight" in alt
    # Without depths asked for, those that were measured.
    assert list(traces(storage(streamed, measured=MEASURED), "depth")) == [2, 8, 16]


def test_overlapping_commands_of_nvme() -> None:
    model = find("tiny_cnn", {})
    found = predict(model, hardware("nvme_host"), precision="fp32")
    figure = storage(found, depths=(64,), blocks=("4 KiB", "1 MiB"))
    (curve,) = traces(figure, "depth").values()
    law = storage_bandwidth(4096.0, 64.0, 115e-6, 3.2e9, commands=645000.0, pipelined=True)
    assert curve.y[0] * 1e9 == pytest.approx(float(law), rel=1e-9)
    assert "NVMe" in figure.layout.title.text


def test_faults(streamed: Prediction) -> None:
    with pytest.raises(InputError, match=r"no storage is named 'storag'.*did you mean 'storage'"):
        storage(streamed, memory="storag")
    with pytest.raises(InputError, match="a100 has no storage"):
        storage(predict(find("tiny_cnn", {}), hardware("a100")))
    with pytest.raises(InputError, match="less than one request in flight"):
        storage(streamed, measured=[(4096.0, 0.5, 1e9)])
    with pytest.raises(InputError, match="blocks"):
        storage(streamed, blocks=("4 KiB", "16 XiB"))
    with pytest.raises(InputError, match="no larger"):
        storage(streamed, blocks=("4 KiB", "4 KiB"))
