"""ZigZag's results on its own accelerators: its mappings under our count, its search, and ours."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perfmodel.cost.mapping import (
    KNOWN,
    Mapping,
    best_mapping,
    evaluate_mapping,
    loma_mapping,
    tpu_like,
)
from perfmodel.cost.traffic.nest import TileNest, Widths
from perfmodel.errors import InfeasibleError
from tests.offenders import each

#: Bytes of ZigZag's defaults: 8 bits, 16 for a partial sum.
WIDTHS = Widths(1.0, 1.0, 1.0, 2.0)
PJ = 1e-12
NUMBERS = (
    "groups",
    "out_channels",
    "in_channels",
    "out_rows",
    "out_columns",
    "kernel_rows",
    "kernel_columns",
)


def read(file: str) -> list[dict[str, str]]:
    text = (Path(__file__).parent / file).read_text()
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


RUNS = read("zigzag_runs.csv")
VARIED = read("zigzag_varied.csv")


def nest_of(row: dict[str, str]) -> TileNest:
    stride = int(row["stride"])
    return TileNest(
        **{name: int(row[name]) for name in NUMBERS}, row_stride=stride, column_stride=stride
    )


def keywords(row: dict[str, str]) -> dict[str, Any]:
    real = int(row["in_rows"]) if row["in_rows"] else None
    return {"widths": WIDTHS, "in_rows": real, "in_columns": real, "accounting": "zigzag"}


def name(row: dict[str, str]) -> str:
    return "-".join([row["accelerator"], row["criterion"], *(row[key] for key in NUMBERS)])


def same_cycles(mapping: Mapping, row: dict[str, str]) -> None:
    got = (mapping.stall_cycles, mapping.onload_cycles, mapping.offload_cycles)
    assert got == pytest.approx([float(row[key]) for key in ("stall", "onload", "offload")])
    assert mapping.latency_cycles == pytest.approx(float(row["latency"]), rel=1e-12)


@each("row", RUNS)
def test_its_mappings_cost_what_it_says(row: dict[str, str]) -> None:
    order = [(d, int(f)) for d, f in (loop.split(":") for loop in row["order"].split())]
    cuts = {o: [int(c) for c in row[f"cut_{o}"].split()] for o in ("output", "weight", "input")}
    machine = KNOWN[row["accelerator"]]()
    mapping = evaluate_mapping(nest_of(row), machine, order, cuts, **keywords(row))  # type: ignore[arg-type]
    assert mapping.energy_j == pytest.approx(float(row["energy_pj"]) * PJ, rel=1e-12)
    same_cycles(mapping, row)


@each("row", RUNS)
def test_its_search_is_found_again(row: dict[str, str]) -> None:
    mapping = loma_mapping(
        nest_of(row),
        KNOWN[row["accelerator"]](),
        objective=row["criterion"],  # type: ignore[arg-type]
        loops=4,
        **keywords(row),
    )
    assert mapping.energy_j == pytest.approx(float(row["energy_pj"]) * PJ, rel=1e-12)
    same_cycles(mapping, row)


@each("row", RUNS[::2])
def test_its_search_is_never_better(row: dict[str, str]) -> None:
    nest, machine, given = nest_of(row), KNOWN[row["accelerator"]](), keywords(row)
    criterion: Any = row["criterion"]
    same_space = best_mapping(nest, machine, objective=criterion, loops=4, **given)
    whole_space = best_mapping(nest, machine, objective="energy", **given)
    if criterion == "energy":
        assert same_space.energy_j <= float(row["energy_pj"]) * PJ * (1 + 1e-12)
    else:
        assert same_space.latency_cycles <= float(row["latency"]) * (1 + 1e-12)
    assert whole_space.energy_j <= same_space.energy_j * (1 + 1e-12)
    assert whole_space.proved
    if row["accelerator"] == "tpu_like" and criterion == "energy":
        # Of mappings with the same energy it is the one with fewer cycles.
        less = whole_space.energy_j < float(row["energy_pj"]) * PJ * (1 - 1e-12)
        assert less or whole_space.latency_cycles <= float(row["latency"]) * (1 + 1e-12)


@each("row", VARIED)
def test_tight_and_double_buffered_memories(row: dict[str, str]) -> None:
    machine = KNOWN[row["accelerator"]]()
    doubled = {int(at) for at in row["doubled"].split()}
    machine = replace(
        machine,
        memories=tuple(
            replace(memory, capacity_bytes=float(size), double_buffered=at in doubled)
            for at, (memory, size) in enumerate(
                zip(machine.memories, row["capacities"].split(), strict=True)
            )
        ),
    )
    nest = replace(nest_of(row), batch=int(row["batch"]))
    given: dict[str, Any] = {
        "widths": WIDTHS,
        "in_rows": int(row["in_rows"]),
        "in_columns": int(row["in_columns"]),
        "accounting": "zigzag",
        "loops": int(row["loops"]),
    }
    if not row["energy_pj"]:
        with pytest.raises(InfeasibleError):
            loma_mapping(nest, machine, **given)
        return
    frugal = loma_mapping(nest, machine, objective="energy", **given)
    assert frugal.energy_j == pytest.approx(float(row["energy_pj"]) * PJ, rel=1e-12)
    assert frugal.latency_cycles == pytest.approx(float(row["cycles"]), rel=1e-12)
    fast = loma_mapping(nest, machine, objective="latency", **given)
    assert fast.latency_cycles == pytest.approx(float(row["latency"]), rel=1e-12)
    assert fast.energy_j == pytest.approx(float(row["latency_pj"]) * PJ, rel=1e-12)
    assert best_mapping(nest, machine, **given).energy_j <= frugal.energy_j * (1 + 1e-12)


#: Layers of the reference files that step by 2; AlexNet's first steps by 4.
STRIDED = {
    "/conv1/Conv",
    *(
        f"/layer{n}/layer{n}.0/{part}/Conv"
        for n in (2, 3, 4)
        for part in ("conv1", "downsample/downsample.0")
    ),
    "/features/features.0/features.0.0/Conv",
    *(f"/features/features.{n}/conv/conv.1/conv.1.0/Conv" for n in (2, 4, 7, 14)),
}
DIMS = {
    "B": "batch",
    "K": "out_channels",
    "G": "groups",
    "OX": "out_columns",
    "OY": "out_rows",
    "C": "in_channels",
    "FX": "kernel_columns",
    "FY": "kernel_rows",
    "D": "out_rows",
}


def layers(
    data: Path, network: str, limit: int = 4
) -> Iterator[tuple[dict[str, str], TileNest, dict[str, Any]]]:
    """Rows of a reference file, with what it does not say: strides, and inputs without padding."""
    path = data / "reference" / "zigzag" / f"tpu_like_{network}_latency_lpf{limit}.csv"
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found: dict[str, int] = {}
            for part in row["loop_dims"].split():
                letters = part.rstrip("0123456789")
                found[DIMS[letters]] = int(part[len(letters) :])
            stride = 4 if row["layer"] == "Op0" else 2 if row["layer"] in STRIDED else 1
            nest = TileNest(**found, row_stride=stride, column_stride=stride)
            real = None if row["type"] == "Gemm" else nest.out_rows * stride
            if row["layer"] == "Op0":
                real = 224
            yield row, nest, {"widths": WIDTHS, "in_rows": real, "in_columns": real}


def counts(mapping: Mapping, operand: str, memory: str) -> list[int]:
    access = mapping.at(operand, memory)  # type: ignore[arg-type]
    return [round(n) for n in (access.feed, access.collect, access.drain, access.fill)]


@pytest.mark.data
@pytest.mark.parametrize(
    ("network", "limit"), [("resnet18", 4), ("resnet18", 6), ("alexnet", 4), ("mobilenetv2", 4)]
)
def test_every_number_of_its_files(network: str, limit: int, data: Path) -> None:
    rows = 0
    for row, nest, given in layers(data, network, limit):
        rows += 1
        found = loma_mapping(
            nest, tpu_like(), objective="latency", loops=limit, accounting="zigzag", **given
        )
        assert nest.macs == int(row["macs"])
        energies = (found.energy_j, found.mac_energy_j, found.memory_energy_j)
        columns = ("energy_total", "mac_energy", "mem_energy")
        assert energies == pytest.approx([float(row[c]) * PJ for c in columns], rel=1e-12)
        assert found.ideal_cycles == int(row["ideal_cycle"])
        cycles = [found.compute_cycles, found.stall_cycles]
        assert cycles == [float(row["ideal_temporal_cycle"]), float(row["stall_slack_comb"])]
        total = found.compute_cycles + found.stall_cycles
        assert total == float(row["latency_total0_no_load"])
        assert total + found.onload_cycles == float(row["latency_total1_with_onload"])
        assert found.latency_cycles == pytest.approx(
            float(row["latency_total2_with_offload"]), rel=1e-12
        )
        assert found.spatial_utilization == pytest.approx(float(row["mac_spatial_util"]))
        for column, operand, memory in (
            ("acc_O_L0_rf_2B", "output", "rf_2B"),
            ("acc_O_L1_sram_2MB", "output", "sram_2MB"),
            ("acc_O_L2_dram", "output", "dram"),
            ("acc_W_L0_rf_128B", "weight", "rf_128B"),
            ("acc_W_L1_dram", "weight", "dram"),
            ("acc_I_L0_sram_2MB", "input", "sram_2MB"),
            ("acc_I_L1_dram", "input", "dram"),
        ):
            expected = [int(n) for n in row[column].split("/")]
            assert counts(found, operand, memory) == expected, (row["layer"], column)
        for column, operand in (("E_O", "output"), ("E_W", "weight"), ("E_I", "input")):
            parts = [a.energy_j / PJ for a in found.accesses if a.operand == operand]
            expected_pj = [float(n) for n in row[column].split("/")]
            assert parts == pytest.approx(expected_pj, rel=1e-5)  # six figures are printed
        exact = best_mapping(nest, tpu_like(), accounting="zigzag", **given)
        assert exact.energy_j <= found.energy_j * (1 + 1e-12)
    assert rows == {"resnet18": 21, "alexnet": 8, "mobilenetv2": 53}[network]
