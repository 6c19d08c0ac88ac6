"""What physics asks of any best mapping."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perfmodel.cost.mapping import KNOWN, Hierarchy, Mapping, best_mapping, loma_mapping
from perfmodel.cost.mapping.result import Objective
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import InfeasibleError
from tests.draws import draws

nests = st.builds(
    TileNest,
    out_channels=st.integers(1, 96),
    in_channels=st.integers(1, 96),
    out_rows=st.integers(1, 20),
    out_columns=st.integers(1, 20),
    kernel_rows=st.sampled_from((1, 3, 5)),
    kernel_columns=st.sampled_from((1, 3)),
    row_stride=st.sampled_from((1, 2)),
    column_stride=st.sampled_from((1, 2)),
    groups=st.sampled_from((1, 1, 2, 3)),
    batch=st.sampled_from((1, 1, 2)),
)
machines = st.sampled_from([make() for make in KNOWN.values()])
# Their registers have 16 bits for a partial sum.
widths = st.sampled_from((Widths(1, 1, 1, 2), Widths(1, 0.5, 1, 2), Widths(0.5, 0.5, 0.5, 1)))


@settings(max_examples=draws(15))
@given(nests, machines, widths, st.integers(0, 6), st.sampled_from((1.5, 2.0, 16.0)))
def test_more_capacity_never_costs(
    nest: TileNest, machine: Hierarchy, width: Widths, which: int, factor: float
) -> None:
    which %= len(machine.memories)
    roomier = replace(
        machine,
        memories=tuple(
            replace(m, capacity_bytes=m.capacity_bytes * (factor if at == which else 1.0))
            for at, m in enumerate(machine.memories)
        ),
    )
    try:
        before = best_mapping(nest, machine, widths=width).energy_j
    except InfeasibleError:
        assume(False)
        return
    assert best_mapping(nest, roomier, widths=width).energy_j <= before * (1 + 1e-12)


@settings(max_examples=draws(15))
@given(nests, machines, widths)
def test_energy_is_above_arithmetic_and_compulsory_traffic(
    nest: TileNest, machine: Hierarchy, width: Widths
) -> None:
    mapping = _or_none(nest, machine, width)
    assume(mapping is not None)
    assert mapping is not None
    rows, columns = _touched(nest, "row"), _touched(nest, "column")
    elements = {
        "input": nest.groups * nest.batch * nest.in_channels * rows * columns,
        "weight": nest.groups
        * nest.out_channels
        * nest.in_channels
        * nest.kernel_rows
        * nest.kernel_columns,
        "output": nest.groups * nest.batch * nest.out_channels * nest.out_rows * nest.out_columns,
    }
    outer = machine.memories[-1]
    floor = machine.mac_j * nest.macs
    for operand, count in elements.items():
        port = outer.ports[0]
        words = count * 8 * getattr(width, operand) / port.width_bits
        cost = outer.write_j if operand == "output" else outer.read_j
        floor += words * cost
        access = mapping.at(operand, outer.name)
        assert max(access.feed, access.collect) >= words * (1 - 1e-9)
    assert mapping.energy_j >= floor * (1 - 1e-9)
    assert mapping.latency_cycles >= mapping.compute_cycles >= mapping.ideal_cycles
    assert 0 < mapping.spatial_utilization <= 1


@settings(max_examples=draws(12))
@given(nests, machines, widths, st.sampled_from(("energy", "latency", "edp")))
def test_never_worse_than_the_listed_orders(
    nest: TileNest, machine: Hierarchy, width: Widths, objective: Objective
) -> None:
    try:
        other = loma_mapping(nest, machine, objective=objective, widths=width, loops=4)
    except InfeasibleError:
        assume(False)
        return
    found = best_mapping(nest, machine, objective=objective, widths=width, loops=4)
    assert _score(found, objective) <= _score(other, objective) * (1 + 1e-12)
    assert found.value == pytest.approx(_score(found, objective))
    assert found.bound <= _score(other, objective) * (1 + 1e-12)
    if objective == "energy":
        finer = best_mapping(nest, machine, widths=width)
        assert finer.energy_j <= found.energy_j * (1 + 1e-12)


def _score(mapping: Mapping, objective: Objective) -> float:
    return {
        "energy": mapping.energy_j,
        "latency": mapping.latency_cycles,
        "edp": mapping.energy_j * mapping.latency_cycles,
    }[objective]


@settings(max_examples=draws(20))
@given(nests, machines, widths)
def test_what_is_held_fits(nest: TileNest, machine: Hierarchy, width: Widths) -> None:
    mapping = _or_none(nest, machine, width)
    assume(mapping is not None)
    assert mapping is not None
    for memory in machine.memories:
        held = sum(row.held_bytes for row in mapping.accesses if row.memory == memory.name)
        assert held <= memory.capacity_bytes * (1 + 1e-12)
    made = 1
    for _, times in mapping.loops:
        made *= times
    assert made == mapping.compute_cycles


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_energy_scales_with_the_cost_of_an_access(scale: float) -> None:
    nest = TileNest(out_channels=64, in_channels=48, out_rows=14, out_columns=14)
    machine, width = KNOWN["tpu_like"](), Widths(1, 1, 1, 2)
    dearer = replace(
        machine,
        mac_j=machine.mac_j * scale,
        memories=tuple(
            replace(m, read_j=m.read_j * scale, write_j=m.write_j * scale) for m in machine.memories
        ),
    )
    expected = scale * best_mapping(nest, machine, widths=width).energy_j
    assert best_mapping(nest, dearer, widths=width).energy_j == pytest.approx(expected)


def _or_none(
    nest: TileNest, machine: Hierarchy, width: Widths, objective: Objective = "energy"
) -> Mapping | None:
    try:
        return best_mapping(nest, machine, objective=objective, widths=width)
    except InfeasibleError:
        return None


def _touched(nest: TileNest, side: str) -> int:
    positions, taps = getattr(nest, f"out_{side}s"), getattr(nest, f"kernel_{side}s")
    stride = getattr(nest, f"{side}_stride")
    return len({p * stride + t for p in range(positions) for t in range(taps)})
