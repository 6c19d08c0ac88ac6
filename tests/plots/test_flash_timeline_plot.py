"""The timeline of flash that computes: what it draws is what the simulation of the row did."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel.charts.engine_activity import flash_timeline
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.library import find


@pytest.fixture(scope="module")
def decode() -> Prediction:
    model = find("opt_6_7b", {"phase": "decode", "batch": 1, "context": 1000})
    return predict(model, hardware("cambricon_llm_s"), precision="w8a8")


def bars(figure: Any, what: str) -> list[tuple[str, float, float]]:
    found: list[tuple[str, float, float]] = []
    for trace in figure.data:
        if trace.meta["kind"] == what:
            found += list(zip(trace.y, trace.base, trace.x, strict=True))
    return found


def test_pages_and_pieces_take_their_time(decode: Prediction) -> None:
    figure = flash_timeline(decode, row="layer.ffn_up", requests=5, dies=2)
    reads = bars(figure, "read for the core")
    assert len(reads) == 5 * 2
    assert all(width == pytest.approx(30.0) for _, _, width in reads)
    multiplied = bars(figure, "multiply")
    assert all(width == pytest.approx(2 * 16384 / 1.6e9 * 1e6) for _, _, width in multiplied)
    pieces = bars(figure, "piece")
    assert all(width == pytest.approx(16384 / 16 / 1e9 * 1e6) for _, _, width in pieces)
    # The pages streamed beside five requests, as the prediction splits the row.
    table: Any = decode.table
    at = list(table["name"]).index("layer.ffn_up")
    streamed = table["flash_weight_bytes"][at] * (1 - table["in_flash_share"][at])
    pages = streamed / 16384 / 8 * 5 / table["flash_rounds"][at]
    assert len(pieces) == 16 * round(pages)
    assert [len(bars(figure, w)) for w in ("inputs", "results")] == [5, 5 * 4]
    assert {part for part, _, _ in bars(figure, "read to stream")} == {
        "die 0 plane 1",
        "die 1 plane 1",
    }


def test_no_part_does_two_things_at_once(decode: Prediction) -> None:
    figure = flash_timeline(decode, requests=8)
    spans: dict[str, list[tuple[float, float]]] = {}
    for trace in figure.data:
        for part, start, width in zip(trace.y, trace.base, trace.x, strict=True):
            # The lines of the channel are one part.
            spans.setdefault(part.partition(":")[0], []).append((start, start + width))
    for mine in spans.values():
        mine.sort()
        assert all(end <= start + 1e-6 for (_, end), (start, _) in zip(mine, mine[1:]))  # noqa: B905, RUF007
    assert "channel" in spans


def test_short_transfers_are_seen(decode: Prediction) -> None:
    """Inputs and partial sums of a fraction of a microsecond: lines of their own, outlined."""
    figure = flash_timeline(decode, requests=5)
    for what, line in (("inputs", "channel: inputs"), ("results", "channel: partial sums")):
        (trace,) = (trace for trace in figure.data if trace.meta["kind"] == what)
        assert set(trace.y) == {line}
        assert max(trace.x) < 1.0
        assert trace.marker.line.color == trace.marker.color
        assert trace.marker.line.width >= 1.5
    (pages,) = (trace for trace in figure.data if trace.meta["kind"] == "piece")
    assert set(pages.y) == {"channel: pages"}


def test_whole_pages_take_longer(decode: Prediction) -> None:
    sliced = flash_timeline(decode)
    whole = flash_timeline(decode, sliced=False)
    assert whole.layout.xaxis.range[1] > 1.3 * sliced.layout.xaxis.range[1]
    assert "first come" in whole.layout.title.text
    assert "5 read-compute requests of layer.ffn_up" in sliced.layout.meta["alt"]


def test_it_is_a_method_of_the_face(decode: Prediction) -> None:
    assert "flash_timeline" in dir(decode.plot)
    assert decode.plot.flash_timeline(row="head").layout.meta["alt"].count("head") == 1


def test_roofs_are_the_processor_s_own(decode: Prediction) -> None:
    alt = decode.plot.roofline().layout.meta["alt"]
    assert "int8 2 TOP/s" in alt or "int8, vector 2 TOP/s" in alt


def test_faults(decode: Prediction) -> None:
    with pytest.raises(InputError, match=r"layer\.ffn_up"):
        flash_timeline(decode, row="layer.ffn_upp")
    model = find("llama_2_7b", {"phase": "decode", "batch": 1, "context": 64})
    with pytest.raises(InputError, match="4 cores on 4 planes"):
        flash_timeline(predict(model, hardware("aif_ssd"), precision="w8a8"))
    with pytest.raises(InputError, match="kind nand"):
        flash_timeline(predict(find("resnet18", {}), hardware("a100")))
