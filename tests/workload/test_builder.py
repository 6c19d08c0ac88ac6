"""Shapes and sizes of the builder's operators against counting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.sliding_window import conv_size
from perfmodel.workload.symbols import broadcast, evaluate, symbol

small = st.integers(1, 5)


@given(
    size=st.integers(1, 40), kernel=small, stride=small, padding=st.integers(0, 4), dilation=small
)
def test_windows_are_counted(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    reach = dilation * (kernel - 1) + 1
    if reach > size + 2 * padding:
        return
    windows = len(range(0, size + 2 * padding - reach + 1, stride))
    assert conv_size(size, kernel, stride, (padding, padding), dilation) == windows
    free = conv_size(symbol("n"), kernel, stride, (padding, padding), dilation)
    assert evaluate(free, {"n": size}) == windows
    # The relaxed form is what remains when the floor is taken away.
    exact = (size + 2 * padding - reach) / stride + 1
    assert evaluate(free, {"n": float(size)}, relaxed=True) == pytest.approx(exact)


@given(size=st.integers(5, 20), kernel=small, stride=small, groups=st.sampled_from([1, 2, 4]))
def test_convolutions_multiply_once_an_output_and_tap(
    size: int, kernel: int, stride: int, groups: int
) -> None:
    g = GraphBuilder("g")
    y = g.conv(g.input("x", (2, 4, size, size)), 8, kernel, stride=stride, groups=groups)
    outputs = len(range(0, size - kernel + 1, stride)) ** 2
    assert y.shape == (2, 8, int(outputs**0.5), int(outputs**0.5))
    graph = g.build()
    assert graph.macs == 2 * 8 * outputs * kernel**2 * 4 // groups
    assert graph.weight_elements == 8 * 4 // groups * kernel**2 + 8


@given(size=st.integers(2, 12), kernel=small, stride=small, padding=st.integers(0, 1))
def test_a_transposed_convolution_undoes_the_shape(
    size: int, kernel: int, stride: int, padding: int
) -> None:
    if kernel <= 2 * padding:
        return
    g = GraphBuilder("g")
    x = g.input("x", (1, 3, size))
    y = g.conv(x, 6, kernel, stride=stride, padding=padding, transposed=True)
    back = g.conv(y, 3, kernel, stride=stride, padding=padding)
    assert back.shape == x.shape
    graph = g.build()
    up, down = (operator for _, operator in graph.walk())
    # Both meet each pair of positions that a tap joins, seen from the small side.
    assert up.macs == down.macs == 3 * 6 * size * kernel


@given(size=st.integers(3, 30), kernel=st.integers(1, 3), stride=small)
def test_pools_round_down_or_up(size: int, kernel: int, stride: int) -> None:
    g = GraphBuilder("g")
    x = g.input("x", (1, 1, size))
    down = g.pool(x, kernel, stride=stride).shape[-1]
    up = g.pool(x, kernel, stride=stride, ceil=True).shape[-1]
    assert down == (size - kernel) // stride + 1
    assert up == -(-(size - kernel) // stride) + 1


def test_depthwise_is_told_by_its_groups() -> None:
    g = GraphBuilder("g")
    channels = symbol("c")
    x = g.input("x", (1, channels, 8, 8))
    g.conv(x, channels, 3, padding="same", groups=channels)
    g.conv(x, channels, 3, padding="same")
    depthwise, full = (operator for _, operator in g.build().walk())
    assert (depthwise.kind, full.kind) == ("depthwise", "conv")
    assert evaluate(depthwise.macs, {"c": 10}) == 10 * 64 * 9
    assert evaluate(full.macs, {"c": 10}) == 100 * 64 * 9


def test_shapes_broadcast_as_in_numpy() -> None:
    n = symbol("n")
    assert broadcast([(4, 1, 3), (5, 1)]) == (4, 5, 3)
    assert broadcast([(n, 8), (1,), (1, 8)]) == (n, 8)
    with pytest.raises(ValueError, match="3 and 4"):
        broadcast([(3, 2), (4, 2)])


def test_weights_of_a_later_phase_are_those_of_an_earlier_one() -> None:
    g = GraphBuilder("g")
    x = g.input("x", (1, 4))
    for phase in ("prefill", "decode"):
        with g.phase(phase), g.repeat(3, "layer"):
            g.linear(x, 4, bias=False)
    graph = g.build()
    assert list(graph.stored_weights()) == ["layer.linear.weight"]
    assert graph.weight_elements == 3 * 16
    assert graph.macs == 2 * 3 * 16
