"""HTML of a prediction: well formed, self-contained, its numbers those of the prediction."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.units import show
from perfmodel.workload.library import find


class Reader(HTMLParser):
    """Collects text and tells whether tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.cells.append(data.strip())


def test_it_is_well_formed_and_needs_nothing(prediction: Prediction) -> None:
    text = prediction._repr_html_()
    cells = Reader(text).cells
    assert cells[0] == prediction.headline
    assert prediction.workload.name in prediction.headline
    assert prediction.machine.device.name in prediction.headline
    assert not re.search(r"<(script|link|style|img)|https?:|\bnan\b", text)


def test_its_numbers_are_the_prediction_s(prediction: Prediction) -> None:
    cells = Reader(prediction._repr_html_()).cells
    if prediction.shape:
        ends = (np.min(prediction.latency_s), np.max(prediction.latency_s))
        assert " to ".join(show(float(end), "time") for end in ends) in cells
        return
    assert show(prediction.latency_s, "time") in cells
    slowest = prediction.table[int(np.argmax(prediction.table["total_s"]))]
    assert slowest.name in cells
    assert f"{slowest.total_s / prediction.latency_s:.4g}" in cells


def test_what_does_not_fit_is_said_first() -> None:
    model = find("llama_3_8b", {"phase": "decode", "batch": 1, "context": 2048})
    text = predict(model, hardware("rtx_4090"), precision="fp32")._repr_html_()
    assert text.index("infeasible") < text.index("latency")


def test_names_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    p = predict(find("resnet18", {}), hardware("a100"))
    monkeypatch.setattr(p.workload, "name", "<b>&")
    assert "&lt;b&gt;&amp;" in p._repr_html_()
