"""What is asked, refused, remembered and shown."""

import math
from dataclasses import replace
from typing import Any

import pytest

from perfmodel.cost.mapping import (
    KNOWN,
    ArrayDimension,
    Hierarchy,
    MemoryLevel,
    Port,
    best_mapping,
    evaluate_mapping,
    from_zigzag,
    loma_mapping,
    tpu_like,
)
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import InfeasibleError, InputError

WIDTHS = Widths(1, 1, 1, 2)
LAYER = TileNest(
    out_channels=64, in_channels=64, out_rows=14, out_columns=14, kernel_rows=3, kernel_columns=3
)


def test_it_reads_as_a_loop_nest() -> None:
    text = str(best_mapping(LAYER, tpu_like(), widths=WIDTHS)).splitlines()
    assert text[0] == "dram: output, weight, input"
    loops = [line.strip() for line in text if "for " in line]
    assert sorted(loops) == sorted(
        [
            "for in_channels in 2",
            "for out_channels in 2",
            "for out_rows in 14",
            "for out_columns in 14",
            "for kernel_rows in 3",
            "for kernel_columns in 3",
        ]
    )
    assert text[-1].endswith("stalls)")
    innermost = text.index(next(line for line in reversed(text) if "for " in line))
    held = next(line for line in reversed(text[:innermost]) if ":" in line)
    assert held.strip() == "rf_2B: output"


def test_the_same_question_is_answered_from_memory() -> None:
    first = best_mapping(LAYER, tpu_like(), widths=WIDTHS)
    assert best_mapping(replace(LAYER), tpu_like(), widths=Widths(1, 1, 1, 2)) is first
    assert best_mapping(replace(LAYER, batch=2), tpu_like(), widths=WIDTHS) is not first


def test_a_best_mapping_costs_the_same_when_given() -> None:
    best = best_mapping(LAYER, tpu_like(), widths=WIDTHS)
    cuts = {
        operand: [a.inside for a in best.accesses if a.operand == operand][:-1]
        for operand in ("input", "weight", "output")
    }
    again = evaluate_mapping(LAYER, tpu_like(), best.loops, cuts, widths=WIDTHS)  # type: ignore[arg-type]
    assert again == replace(best, bound=again.bound, method="evaluation")
    assert again.bound <= best.bound == pytest.approx(best.energy_j, rel=1e-9)


def test_a_nest_that_the_array_unrolls_whole() -> None:
    nest = TileNest(out_channels=32, in_channels=32)
    found = best_mapping(nest, tpu_like(), widths=WIDTHS)
    assert found.loops == ()
    assert found.compute_cycles == 1
    assert found.at("weight", "dram").feed == 32 * 32 / 8
    assert loma_mapping(nest, tpu_like(), widths=WIDTHS).energy_j == found.energy_j


def test_exact_accounting_spares_the_first_read() -> None:
    # 8 sums of 2 channels over time, all units busy: each is written twice and read once.
    nest = TileNest(out_rows=8, in_channels=64)
    order: list[Any] = [("out_rows", 8), ("in_channels", 2)]
    cuts: dict[Any, list[int]] = {"weight": [1], "input": [2], "output": [0, 2]}
    exact = evaluate_mapping(nest, tpu_like(), order, cuts, widths=WIDTHS)
    zigzag = evaluate_mapping(nest, tpu_like(), order, cuts, widths=WIDTHS, accounting="zigzag")
    assert exact.at("output", "rf_2B").feed == 8 * 32
    assert zigzag.at("output", "rf_2B").feed == 16 * 32
    assert exact.at("output", "rf_2B").collect == zigzag.at("output", "rf_2B").collect == 16 * 32


def test_what_does_not_fit_says_why() -> None:
    with pytest.raises(InfeasibleError, match="rf_2B holds 2 of at least 4 bytes"):
        best_mapping(LAYER, tpu_like(), widths=Widths(1, 1, 1, 4))
    with pytest.raises(InfeasibleError, match="rf_2B"):
        loma_mapping(LAYER, tpu_like(), widths=Widths(1, 1, 1, 4))


def test_loops_that_are_too_coarse_say_so() -> None:
    # One loop a dimension: a memory holds all of it or nothing.
    machine = KNOWN["eyeriss_like"]()
    tight = replace(
        machine,
        memories=tuple(
            replace(m, capacity_bytes=8.0) if m.name == "sram_8KB" else m for m in machine.memories
        ),
    )
    with pytest.raises(InfeasibleError, match="sram_8KB holds 8"):
        best_mapping(LAYER, tight, widths=WIDTHS)
    nest = TileNest(groups=4, in_channels=64, out_channels=64, out_rows=4, out_columns=16)
    small = replace(
        machine,
        memories=tuple(
            replace(m, capacity_bytes=1024.0) if m.name == "sram_64KB" else m
            for m in machine.memories
        ),
    )
    assert best_mapping(nest, small, widths=WIDTHS).proved
    with pytest.raises(InfeasibleError, match="allow more of them"):
        loma_mapping(nest, small, widths=WIDTHS, loops=1)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"objective": "speed"}, "no objective 'speed'"),
        ({"accounting": "zagzig"}, "no accounting 'zagzig'"),
        ({"loops": 0}, "loops is 0"),
    ],
)
def test_what_is_not_known_is_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        best_mapping(LAYER, tpu_like(), widths=WIDTHS, **keywords)


def test_an_empty_nest_is_refused() -> None:
    with pytest.raises(InputError, match="out_rows is 0"):
        best_mapping(TileNest(out_rows=0), tpu_like())


def test_cuts_that_do_not_fit_the_loops_are_refused() -> None:
    nest = TileNest(out_rows=4)
    good: dict[Any, list[int]] = {"weight": [0], "input": [0], "output": [0, 1]}
    order: list[Any] = [("out_rows", 4)]
    evaluate_mapping(nest, tpu_like(), order, good, widths=WIDTHS)
    bad: list[tuple[list[Any], dict[Any, list[int]], str]] = [
        ([("out_rows", 2)], good, "loops over out_rows make 2"),
        (order, {**good, "output": [1, 0]}, "cuts of output"),
        (order, {**good, "weight": [2]}, "cuts of weight"),
        (order, {"weight": [0], "input": [0]}, "cuts of output"),
    ]
    for loops, cuts, message in bad:
        with pytest.raises(InputError, match=message):
            evaluate_mapping(nest, tpu_like(), loops, cuts, widths=WIDTHS)


EVERY = tuple(
    (operand, direction)
    for operand in ("input", "weight", "output")
    for direction in ("feed", "collect", "drain", "fill")
)


def test_every_fault_of_a_hierarchy_is_named() -> None:
    port = Port(8, 16, EVERY)  # type: ignore[arg-type]
    with pytest.raises(InputError) as caught:
        Hierarchy(
            (
                MemoryLevel("m", -1.0, 0, 0, (port, Port(8, 8, (("input", "feed"),))), ("z",)),
                MemoryLevel("m", 1, 0, 0, ()),
            ),
            (ArrayDimension("x", 2, (("out_rows", 4),)), ArrayDimension("x", 0)),
            float("nan"),
        )
    text = str(caught.value)
    for part in (
        "memory m: named twice",
        "dimension x: named twice",
        "4 loops on 2 units",
        "units is 0",
        "capacity_bytes is -1",
        "serves z",
        "8 bits with accesses of 16 bits",
        "two ports feed input",
        "mac_j is nan",
    ):
        assert part in text


def test_operands_without_memories_or_ports_are_named() -> None:
    with pytest.raises(InputError) as caught:
        Hierarchy((MemoryLevel("m", 1, 0, 0, (Port(8, 8, (("input", "fill"),)),)),), (), 0.0)
    text = str(caught.value)
    assert "weight: no memory holds it" in text
    assert "memory m: no port to feed input" in text


ZIGZAG: dict[str, Any] = {
    "name": "small",
    "memories": {
        "register": {
            "size": 16,
            "r_cost": 1.5,
            "w_cost": 2,
            "served_dimensions": [],
            "ports": [{"bandwidth_min": 8, "bandwidth_max": 8, "allocation": ["I2, tl", "I2, fh"]}],
        },
        "dram": {
            "size": 8e9,
            "r_cost": 100,
            "w_cost": 100,
            "served_dimensions": ["D1"],
            "force_double_buffering": True,
            "ports": [
                {
                    "bandwidth_min": 8,
                    "bandwidth_max": 64,
                    "allocation": [
                        "I1, fh",
                        "I1, tl",
                        "I2, fh",
                        "I2, tl",
                        "O, fh",
                        "O, tl",
                        "O, fl",
                        "O, th",
                    ],
                }
            ],
        },
    },
    "operational_array": {"unit_energy": 0.5, "dimensions": ["D1"], "sizes": [4]},
}
LINKS: dict[str, Any] = {
    "spatial_mapping": {"D1": ["K, 8"]},
    "memory_operand_links": {"O": "O", "W": "I2", "I": "I1"},
}


def test_a_description_of_zigzag_is_read() -> None:
    found = from_zigzag(ZIGZAG, LINKS)
    register, dram = found.memories
    assert found.spread == (ArrayDimension("D1", 4, (("out_channels", 4),)),)
    assert (register.capacity_bytes, register.read_j, register.operands) == (
        2,
        1.5e-12,
        ("weight",),
    )
    assert dram.double_buffered
    assert dram.ports[0].width_bits == 64
    assert found.mac_j == 0.5e-12


def test_what_a_description_lacks_is_named() -> None:
    with pytest.raises(InputError, match="operational_array"):
        from_zigzag({key: ZIGZAG[key] for key in ("name", "memories")}, LINKS)
    with pytest.raises(InputError, match="XY"):
        from_zigzag(ZIGZAG, {**LINKS, "spatial_mapping": {"D1": ["XY, 2"]}})


@pytest.mark.parametrize("operand", ["input", "weight", "output"])
def test_an_operand_of_no_width_costs_nothing(operand: str) -> None:
    found = best_mapping(LAYER, tpu_like(), widths=replace(WIDTHS, **{operand: 0.0}))
    alone = [a for a in found.accesses if a.operand == operand and operand != "output"]
    assert all(a.energy_j == 0 for a in alone)
    assert found.energy_j < best_mapping(LAYER, tpu_like(), widths=WIDTHS).energy_j


def test_a_memory_without_end() -> None:
    endless = replace(
        tpu_like(), memories=tuple(replace(m, capacity_bytes=math.inf) for m in tpu_like().memories)
    )
    found = best_mapping(LAYER, endless, widths=WIDTHS)
    assert found.energy_j <= best_mapping(LAYER, tpu_like(), widths=WIDTHS).energy_j
    # Registers that hold everything: each operand crosses every boundary once.
    assert found.at("weight", "dram").feed == 64 * 64 * 9 / 8
    assert found.at("output", "dram").collect == 64 * 14 * 14 / 8


def test_a_nest_with_too_many_tiles_says_that_it_is_not_proved() -> None:
    nest = TileNest(
        out_rows=720,
        out_columns=1280,
        out_channels=64,
        in_channels=64,
        kernel_rows=3,
        kernel_columns=3,
        batch=8,
    )
    machine = KNOWN["edge_tpu_like"]()
    found = best_mapping(nest, machine, widths=WIDTHS)
    assert not found.proved
    assert found.energy_j <= loma_mapping(nest, machine, widths=WIDTHS, loops=7).energy_j
    assert best_mapping(nest, tpu_like(), widths=WIDTHS).proved
