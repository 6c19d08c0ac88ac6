"""Cycles: windows against a timeline, and closed forms of simple machines."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cost.mapping import ArrayDimension, Hierarchy, MemoryLevel, Port, evaluate_mapping
from perfmodel.cost.mapping.latency import PortTransfer, union_cycles
from perfmodel.cost.traffic.nest import TileNest, Widths

ONE = Widths(1, 1, 1, 1)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 4), st.floats(0, 1), st.booleans()), min_size=1, max_size=5),
)
def test_windows_cover_what_a_timeline_shows(
    factors: list[int], windows: list[tuple[int, float, bool]]
) -> None:
    periods = np.cumprod(factors)
    total = int(periods[-1])
    busy = np.zeros(total, dtype=bool)
    transfers = []
    for place, share, active in windows:
        period = int(periods[min(place, len(periods) - 1)])
        allowed = max(1, round(share * period))
        if active:
            busy |= np.arange(total) % period < allowed
        transfers.append(
            PortTransfer(
                operand="input",
                place=0,
                direction="feed",
                real=np.ones(1),
                allowed=np.full(1, float(allowed)),
                period=np.full(1, float(period)),
                count=np.full(1, total / period),
                active=np.full(1, active),
                average_bits=np.ones(1),
                least=np.ones(1),
            )
        )
    covered = union_cycles(transfers, np.full(1, float(total)))
    assert covered[0] == pytest.approx(busy.sum())


def machine(width: float, register: float = 1.0, buffer: float = 1e6) -> Hierarchy:
    """A unit with a register of weights, fed from one memory over a port of its own."""

    def port(operand: str, direction: str, bits: float) -> Port:
        return Port(bits, bits, ((operand, direction),))  # type: ignore[arg-type]

    wide = 1e6
    return Hierarchy(
        memories=(
            MemoryLevel(
                "register",
                register,
                0,
                0,
                (port("weight", "feed", 8), port("weight", "fill", wide)),
            ),
            MemoryLevel(
                "main",
                buffer,
                1.0,
                1.0,
                (
                    port("weight", "feed", width),
                    port("weight", "fill", wide),
                    port("input", "feed", wide),
                    port("input", "fill", wide),
                    port("output", "feed", wide),
                    port("output", "collect", wide),
                    port("output", "drain", wide),
                    port("output", "fill", wide),
                ),
                ("unit",),
            ),
        ),
        spread=(ArrayDimension("unit", 1),),
        mac_j=0.0,
    )


@pytest.mark.parametrize("width", [1.0, 2.0, 4.0, 8.0, 16.0])
def test_a_weight_a_cycle_over_a_narrow_port(width: float) -> None:
    # Each of 60 weights is used once: 8 bits a cycle; the first is loaded before, the rest stall.
    nest = TileNest(in_channels=60)
    mapping = evaluate_mapping(
        nest, machine(width), [("in_channels", 60)], {"weight": [0]}, widths=ONE
    )
    real = int(np.ceil(8 / width))
    assert mapping.compute_cycles == 60
    assert mapping.stall_cycles == 59 * max(0, real - 1)
    assert mapping.onload_cycles == real
    assert mapping.latency_cycles == 60 + 59 * max(0, real - 1) + real


def timeline(tiles: int, uses: int, load: int, room: int) -> int:
    """Cycle after cycle: a register of so many weights, each loaded whole and used in turn.

    A weight may be overwritten in the cycle of its last use, which is when a single register can
    take in the next one.
    """
    ready = used = taken = 0  # loaded, uses done, cycles of the load that runs
    clock = 0
    while used < tiles * uses:
        clock += 1
        computing = used < ready * uses
        last_use = computing and (used + 1) % uses == 0
        held = ready - used // uses
        free = held < room or (held == room and last_use)
        if ready < tiles and (taken or free):
            taken += 1
        if computing:
            used += 1
        if taken == load:
            ready, taken = ready + 1, 0
    return clock


@given(st.integers(2, 6), st.integers(1, 12), st.integers(1, 16), st.booleans())
def test_a_second_register_hides_a_load(tiles: int, uses: int, width: int, second: bool) -> None:
    # Alone, the next weight comes in with the last use of this one; with room for two, in all.
    nest = TileNest(in_channels=tiles, out_rows=uses)
    order: list[Any] = [("out_rows", uses), ("in_channels", tiles)]
    mapping = evaluate_mapping(
        nest, machine(width, 2.0 if second else 1.0), order, {"weight": [1]}, widths=ONE
    )
    load = int(np.ceil(8 / width))
    assert mapping.onload_cycles == load
    assert mapping.latency_cycles == timeline(tiles, uses, load, 2 if second else 1)


def test_a_systolic_array_drains_along_both_sides() -> None:
    flat = machine(1e6)
    sides = (
        ArrayDimension("rows", 4, (("out_channels", 4),), systolic=True),
        ArrayDimension("columns", 8, (("in_channels", 8),), systolic=True),
        ArrayDimension("unit", 1),
    )
    served = tuple(
        replace(m, serves=("rows", "columns", "unit") if m.name == "main" else ())
        for m in flat.memories
    )
    array = Hierarchy(served, sides, 0.0)
    nest = TileNest(out_channels=4, in_channels=8, out_rows=5)
    mapping = evaluate_mapping(nest, array, [("out_rows", 5)], {"weight": [1]}, widths=ONE)
    assert mapping.drain_cycles == 3 + 7
    assert mapping.compute_cycles == 5
    assert mapping.ideal_cycles == 5
