"""Deformable convolutions and CoDeNet, against closed forms and published counts."""

from __future__ import annotations

import pytest

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.deformable import deformable_conv
from perfmodel.workload.library import find


def reads(**options: object) -> tuple[float, float, float]:
    """Return elements read of the map, operations and products of the sampled convolution."""
    g = GraphBuilder("one")
    x = g.input("image", (1, 32, 16, 16))
    g.output(deformable_conv(g, x, 32, groups=32, **options))  # type: ignore[arg-type]
    graph = g.build()
    last = graph.blocks[-1].operators[-1]
    moved = next(a.elements for a in last.accesses if a.tensor == "image")
    return float(moved), float(last.vector_ops), float(last.nests[0].macs)


def test_gathers_cost_what_the_offsets_let_them() -> None:
    """Bilinear samples read four pixels; whole ones a pixel; within a bound each pixel once."""
    pixels, samples = 32 * 16 * 16, 32 * 16 * 16 * 9
    assert reads() == (4 * samples, 7 * samples, samples)
    assert reads(modulated=True) == (4 * samples, 8 * samples, samples)
    assert reads(rounded=True) == (samples, 0, samples)
    assert reads(rounded=True, bound=7) == (pixels, 0, samples)
    assert reads(bound=7) == (pixels, 7 * samples, samples)


@pytest.mark.parametrize(
    ("options", "channels", "kernel"),
    [({}, 18, 3), ({"modulated": True}, 27, 3), ({"offsets": "square", "offset_kernel": 1}, 1, 1)],
)
def test_offsets_come_from_a_convolution(
    options: dict[str, object], channels: int, kernel: int
) -> None:
    """Two numbers a tap, and one more of version 2 (Dai et al. 2017, Zhu et al. 2019)."""
    g = GraphBuilder("one")
    x = g.input("image", (1, 8, 10, 10))
    g.output(deformable_conv(g, x, 8, groups=8, **options))  # type: ignore[arg-type]
    first = g.build().blocks[0].operators[0]
    assert float(first.nests[0].macs) == 8 * channels * kernel**2 * 100


def test_stride_and_dense_channels() -> None:
    g = GraphBuilder("one")
    x = g.input("image", (2, 16, 32, 32))
    y = deformable_conv(g, x, 64, stride=2, rounded=True)
    assert y.shape == (2, 64, 16, 16)
    assert float(g.build().blocks[-1].operators[-1].nests[0].macs) == 2 * 64 * 16 * 256 * 9


#: Multiply-accumulates, billions, by table 3 of the paper.
PUBLISHED = {"a": 0.29, "b": 0.29, "c": 1.14, "d": 3.54, "e": 3.58}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_codenet_has_the_published_products(name: str) -> None:
    """Within 4 %: how the paper's offsets are made and what it counts of them is not stated."""
    net = find(f"codenet_{name}", {})
    assert float(net.macs) / 1e9 == pytest.approx(PUBLISHED[name], rel=0.04)


def test_codenet_has_the_published_size() -> None:
    """0.76 and 2.90 MB in four bits."""
    for name, megabytes in (("a", 0.76), ("d", 2.90)):
        assert float(find(f"codenet_{name}", {}).weights) / 2e6 == pytest.approx(
            megabytes, rel=0.06
        )
