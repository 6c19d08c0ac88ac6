"""Energy stacks: the bars add up to the energy, whatever gives it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from perfmodel_studies.row_stationary.eyeriss import eyeriss_layers

from perfmodel.charts.energy_stack import energy_stack, row_energy
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.library import find


def _bars(figure: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {t.name: np.array(t.y) for t in figure.data if t.type == "bar"}


def test_bars_add_up_to_the_energy(prediction: Prediction) -> None:
    """Kinds with energies of their own, operations and bytes, busy power: rows add to the run."""
    energy = prediction.at(0).energy if prediction.shape else prediction.energy
    if energy.joule is None:
        with pytest.raises(InputError, match="no energy to draw"):
            energy_stack(prediction)
        return
    figure: Any = energy_stack(prediction)
    bars = _bars(figure)
    assert set(bars) == set(energy.parts)
    one = prediction.at(0) if prediction.shape else prediction
    beside = one.latency_s / float(np.sum(one.table["total_s"]))
    for part, joule in energy.parts.items():
        found = float(bars[part].sum())
        if part.startswith(("static", "busy", "background")):
            found *= float(beside)
        assert found == pytest.approx(float(np.asarray(joule)), rel=1e-9), part
    assert one.workload.name in figure.layout.meta["alt"]


def test_parts_of_a_kind_by_layer() -> None:
    """Eyeriss: a layer's own parts, those of DRAM by its bytes, idle power by its seconds."""
    found = predict(find("alexnet", {"batch": 4}), hardware("eyeriss"), precision="int16")
    rows, table = row_energy(found), found.table
    at = [str(n) for n in table["name"]].index("conv3")
    row = rows["conv3"]
    assert row["multiply-accumulate"] == pytest.approx(float(table["macs"][at]) * 2e-12)
    assert row["scratchpads"] == pytest.approx(float(table["macs"][at]) * 4e-12)
    assert row["memory dram"] == pytest.approx(float(table["dram_bytes"][at]) * 230e-12)
    assert row["static"] == pytest.approx(float(table["total_s"][at]) * 0.03)
    figure: Any = found.plot.energy_stack()
    assert _bars(figure)["scratchpads"].sum() == pytest.approx(
        float(found.energy.parts["scratchpads"])
    )


def test_measured_marks_and_plain_tables() -> None:
    layers = {name: r.energy_j for name, r in eyeriss_layers("alexnet").items()}
    figure: Any = energy_stack(layers, measured={"CONV3": 6.28e-3}, title="AlexNet")
    marks = next(t for t in figure.data if t.name == "measured")
    assert list(marks.x) == ["CONV3"]
    assert list(marks.y) == [6.28e-3]
    total = sum(sum(parts.values()) for parts in layers.values())
    assert sum(float(v.sum()) for v in _bars(figure).values()) == pytest.approx(total)
    with pytest.raises(InputError, match="no energy to draw"):
        energy_stack({})


def test_many_layers_share_a_bar() -> None:
    layers = {f"layer{i}": {"a": float(i), "b": 1.0} for i in range(60)}
    figure: Any = energy_stack(layers)
    bars = _bars(figure)
    assert bars["a"].size == 24
    assert float(bars["a"].sum()) == sum(range(60))
    assert "all others (37)" in list(figure.data[0].x)
