"""Curves of a sweep: every row once, in the order of the axis; what does not fit is open."""

from __future__ import annotations

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.table import Table


@pytest.fixture(scope="module")
def rates() -> Table:
    return pm.sweep(
        "lsm_n_mnist",
        ["stm32h743", "raspberry_pi_4"],
        {"spike_rate": [1.0, 0.0, 0.1], "steps": [10, 50]},
    )


def test_a_curve_for_each_device_and_length(rates: Table) -> None:
    figure = rates.plot.curves("spike_rate", "latency_s")
    names = [trace.name for trace in figure.data]
    assert len(names) == len(set(names)) == 4
    assert all(any(d in name for d in ("stm32h743", "raspberry_pi_4")) for name in names)
    drawn = [int(i) for trace in figure.data for i in trace.ids]
    assert sorted(drawn) == list(range(len(rates)))
    for trace in figure.data:
        assert list(trace.x) == sorted(trace.x)
        rows = np.array([int(i) for i in trace.ids])
        assert list(trace.y) == rates["latency_s"][rows].tolist()
        assert len({str(rates["device"][r]) for r in rows}) == 1
    # From 0.1 ms to 10 s: the metric is logarithmic; rates begin at 0, their axis is not.
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.type != "log"
    assert "12 points, 4 curves" in figure.layout.meta["alt"]


def test_what_does_not_fit_is_open() -> None:
    table = pm.sweep("svm_rbf_digits", ["stm32h743"], {"support_vectors": [100, 10_000, 100_000]})
    (trace,) = table.plot.curves("support_vectors", "latency_s").data
    wide = [trace.marker.color[i] == "white" for i in range(3)]
    assert wide == [not f for f in table["feasible"].tolist()]
    assert wide[-1]
    assert not wide[0]


def test_what_cannot_be_drawn_is_refused(rates: Table) -> None:
    with pytest.raises(InputError, match="latency_s"):
        rates.plot.curves("spike_rate", "latency")
    many = pm.sweep(
        "lsm_n_mnist",
        ["raspberry_pi_4"],
        {"spike_rate": [0.1, 0.2], "steps": list(range(1, 19))},
    )
    with pytest.raises(InputError, match="18 curves"):
        many.plot.curves("spike_rate", "latency_s")
    assert len(many.where("steps <= 16").plot.curves("spike_rate", "latency_s").data) == 16
