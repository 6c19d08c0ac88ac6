"""The timeline of bit planes: its bars are the cycles and seconds of the row."""

from __future__ import annotations

from typing import Any

import pytest

from perfmodel.charts.engine_activity import bit_planes
from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.workload.library import find


@pytest.fixture(scope="module")
def token() -> Prediction:
    net = find("bitnet_b1_58_large", {"phase": "decode", "batch": 1, "context": 64})
    return predict(net, hardware("tellme"), precision="w=ternary_head_int8,a=int8,kv=fp16")


def bars(figure: Any, what: str) -> list[tuple[str, float, float]]:
    found: list[tuple[str, float, float]] = []
    for trace in figure.data:
        if trace.meta["kind"] == what:
            found += list(zip(trace.y, trace.base, trace.x, strict=True))
    return found


def column(found: Prediction, name: str, row: str) -> float:
    table: Any = found.table
    return float(table[name][list(table["name"]).index(row)])


def test_look_ups_fill_what_the_weights_leave(token: Prediction) -> None:
    """19 sets of 683 clocks after the weights; they end with the row."""
    figure = bit_planes(token, row="layer.ffn_up")
    looked = bars(figure, "look-ups")
    assert len(looked) == 19
    assert all(width == pytest.approx(683 / 250) for _, _, width in looked)
    (_, start, width) = bars(figure, "weights")[0]
    assert start == 0
    assert looked[0][1] == pytest.approx(width)
    assert looked[-1][1] + looked[-1][2] == pytest.approx(
        1e6 * column(token, "row_s", "layer.ffn_up")
    )
    built = bars(figure, "tables")
    assert len(built) == 19
    assert all(
        begin + 3 / 250 <= look + 1e-9
        for (_, begin, _), (_, look, _) in zip(built, looked, strict=True)
    )


def test_a_plane_a_bit() -> None:
    device = hardware("tellme")
    engine = device.engines[0].model_copy(update={"takes": "bit_planes"})
    planes = device.model_copy(update={"engines": (engine,)})
    net = find("bitnet_b1_58_large", {"phase": "decode", "batch": 1, "context": 64})
    found = predict(net, planes, precision="w=int3,a=int8,kv=fp16")
    looked = bars(bit_planes(found, row="layer.ffn_up", groups=4), "look-ups")
    assert {lane for lane, _, _ in looked} == {"plane 0", "plane 1", "plane 2"}
    assert len(looked) == 4 * 3


@pytest.mark.parametrize(
    ("phase", "size"), [("prefill", {"prompt": 256}), ("decode", {"context": 64})]
)
def test_terms_are_clocks(phase: str, size: dict[str, int]) -> None:
    """Three clocks a step of six bits, 32 steps a group; groups as far apart as the row says."""
    net = find("llama_3_8b", {"phase": phase, "batch": 1, **size})
    found = predict(net, hardware("bitmod"), precision="w=bitmod6,a=fp16,kv=int8")
    figure = bit_planes(found, row="layer.ffn_up", groups=2)
    terms = sorted(bars(figure, "terms"), key=lambda bar: bar[1])
    assert len(terms) == 2 * 32 * 3
    assert sum(width for _, _, width in terms) == pytest.approx(2 * 32 * 3.0)
    steps = column(found, "steps", "layer.ffn_up")
    apart = terms[96][1] - terms[0][1]
    assert apart == pytest.approx(1e9 * column(found, "row_s", "layer.ffn_up") * 32 / steps)
    ends = [begin + width for _, begin, width in terms]
    assert all(end <= then + 1e-9 for end, (_, then, _) in zip(ends, terms[1:], strict=False))


def test_refusals_and_the_face(token: Prediction) -> None:
    assert "bit_planes" in dir(token.plot)
    assert "look-ups" in token.plot.bit_planes().layout.meta["alt"]
    with pytest.raises(InputError, match="no row 'head'"):
        bit_planes(token, row="head")
    with pytest.raises(InputError, match="bit by bit"):
        bit_planes(predict(find("resnet18", {}), hardware("a100")))
