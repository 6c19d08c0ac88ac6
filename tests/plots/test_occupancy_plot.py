"""Occupancy of a systolic array: every element's work, counted fold by fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.kinds.systolic import gemm
from perfmodel.kinds.systolic.element_utilization import element_utilization
from perfmodel.kinds.systolic.folds import DATAFLOWS, Dataflow, Replication
from perfmodel.predict import predict
from perfmodel.workload.library import find

_SIZES, _SIDES = st.integers(1, 40), st.integers(1, 9)


@given(_SIZES, _SIZES, _SIZES, _SIDES, _SIDES, st.sampled_from(list(DATAFLOWS)))
def test_elements_fold_by_fold(
    m: int, n: int, k: int, rows: int, columns: int, dataflow: Dataflow
) -> None:
    run = gemm(m, n, k, rows=rows, columns=columns, dataflow=dataflow)
    extent = {"m": m, "n": n, "k": k}
    high, wide, streamed = (extent[name] for name in DATAFLOWS[dataflow])
    busy = np.zeros((rows, columns))
    for p in range(0, high, rows):
        for q in range(0, wide, columns):
            busy[: high - p, : wide - q] += streamed
    np.testing.assert_allclose(element_utilization(run), busy / run.cycles, rtol=1e-12)


@given(
    _SIZES,
    _SIZES,
    _SIZES,
    _SIDES,
    _SIDES,
    st.sampled_from(list(DATAFLOWS)),
    st.integers(1, 30),
    st.sampled_from(["none", "diagonal", "side_by_side"]),
)
def test_the_mean_is_the_utilization(
    m: int,
    n: int,
    k: int,
    rows: int,
    columns: int,
    dataflow: Dataflow,
    groups: int,
    replication: Replication,
) -> None:
    """Also with several groups on the array; no element does two things at once."""
    run = gemm(
        m,
        n,
        k,
        rows=rows,
        columns=columns,
        dataflow=dataflow,
        groups=groups,
        replication=replication,
    )
    busy = element_utilization(run, replication)
    assert float(busy.mean()) == pytest.approx(float(run.utilization), rel=1e-12)
    assert float(busy.max()) <= 1 + 1e-12


def test_map_and_bars_of_a_network() -> None:
    """The last layers of ResNet-18 have 49 positions: 32 rows, then 17 of them."""
    found = predict(find("resnet18", {}), hardware("scale_sim_32x32"))
    figure: Any = found.plot.occupancy(layer="layer4.1.conv1")
    shown = np.array(figure.data[0].z)
    table = found.table
    row = [str(n) for n in table["name"]].index("layer4.1.conv1")
    assert shown.shape == (32, 32)
    np.testing.assert_allclose(shown[17:], shown[0, 0] / 2)
    assert shown.mean() == pytest.approx(100 * table["array_utilization"][row], rel=1e-12)
    bars = dict(zip(figure.data[1].y, figure.data[1].x, strict=True))
    used = table["cycles"] > 0
    assert len(bars) == used.sum() == 21
    np.testing.assert_allclose(list(bars.values()), 100 * table["array_utilization"][used])
    assert "layer4.1.conv1: 32 folds" in figure.layout.meta["alt"]
    assert "occupancy" in dir(found.plot)


def test_many_layers_and_several_nests() -> None:
    """At most two dozen bars; attention's two products share a map."""
    many: Any = predict(find("mobilenet_v2", {}), hardware("tpu_v1")).plot.occupancy()
    assert len(many.data[1].y) == 24
    model = find("llama_3_8b", {"phase": "prefill", "batch": 1, "prompt": 128})
    found = predict(model, hardware("tpu_v1"), precision="int8")
    name = next(str(n) for n in found.table["name"] if str(n).endswith("attention"))
    share = np.array(found.plot.occupancy(layer=name).data[0].z)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]
    assert 0 < share.mean() < 100


def test_faults() -> None:
    with pytest.raises(InputError, match="systolic"):
        predict(find("resnet18", {}), hardware("a100")).plot.occupancy()
    with pytest.raises(InputError, match="conv1"):
        predict(find("resnet18", {}), hardware("tpu_v1")).plot.occupancy(layer="conv")
