"""Folds, SRAM accesses and utilisation against every row that SCALE-Sim 3.0.0 simulated."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from perfmodel_studies.scalesim import convolution, report

from perfmodel.kinds.systolic import gemm_cycles
from perfmodel.kinds.systolic.folds import Dataflow

DATAFLOW: dict[str, Dataflow] = {
    "os": "output_stationary",
    "ws": "weight_stationary",
    "is": "input_stationary",
}
COUNTS = ("sram_ifmap_reads", "sram_filter_reads", "sram_ofmap_writes")
SHARES = ("overall_util_pct", "mapping_eff_pct", "compute_util_pct")


def _rows(path: Path, names: tuple[str, str, str]) -> dict[str, list[dict[str, Any]]]:
    """Return dataflow -> rows with M, N and K under those names."""
    found: dict[str, list[dict[str, Any]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            row |= dict(zip("mkn", (int(row[name]) for name in names), strict=True))
            found.setdefault(row["dataflow"], []).append(row)
    return found


def _compare(rows: list[dict[str, Any]], dataflow: str, digits: float = 0.0) -> dict[str, int]:
    """Compare rows of one dataflow at once; return how many values of each column are equal."""
    m, n, k = (np.array([row[name] for row in rows]) for name in "mnk")
    height = np.array([int(row["array_h"]) for row in rows])
    width = np.array([int(row["array_w"]) for row in rows])
    ours = report(m, n, k, rows=height, columns=width, dataflow=DATAFLOW[dataflow])
    assert all(ours[name].dtype == np.int64 for name in ("cycles", *COUNTS))
    equal: dict[str, int] = {}
    for name in ("cycles", *COUNTS, *SHARES):
        given = [i for i, row in enumerate(rows) if row[name]]
        theirs = np.array([float(rows[i][name]) for i in given])
        if name in SHARES:
            np.testing.assert_allclose(
                ours[name][given], theirs, rtol=1e-13, atol=digits, err_msg=name
            )
        else:
            np.testing.assert_array_equal(ours[name][given], theirs.astype(np.int64), name)
        equal[name] = len(given)
    return equal


@pytest.mark.data
@pytest.mark.parametrize("group", ["full", "co"])
def test_every_simulated_row_is_equal(data: Path, group: str) -> None:
    """Cycles and counts to the digit, utilisation to the last bits of a float."""
    seen: dict[str, int] = dict.fromkeys(("cycles", *COUNTS, *SHARES), 0)
    for path in sorted((data / "reference/scalesim/results").glob(f"{group}_*.csv")):
        for dataflow, rows in _rows(path, ("M_ofmap_px", "K_window", "N_filters")).items():
            for name, count in _compare(rows, dataflow).items():
                seen[name] += count
    # Eleven rows of the "compute only" runs give cycles alone.
    assert seen["cycles"] >= {"full": 74, "co": 261}[group]
    assert min(seen.values()) >= {"full": 74, "co": 250}[group]


@pytest.mark.data
def test_closed_forms_of_others_are_equal(data: Path) -> None:
    """Seven arrays, three dataflows, three networks; shares were written to six decimals."""
    path = data / "reference/scalesim/closed_form_all.csv"
    seen = 0
    for dataflow, rows in _rows(path, ("M", "K", "N")).items():
        seen += _compare(rows, dataflow, 5.1e-7)["cycles"]
    assert seen == 1218


@pytest.mark.data
def test_totals_of_networks(data: Path) -> None:
    layers: dict[tuple[str, ...], list[dict[str, str]]] = {}
    keys = ("net", "array_h", "array_w", "dataflow")
    with (data / "reference/scalesim/closed_form_all.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            layers.setdefault(tuple(row[k] for k in keys), []).append(row)
    with (data / "reference/scalesim/closed_form_totals.csv").open(newline="") as file:
        totals = list(csv.DictReader(file))
    assert len(totals) == 63
    for total in totals:
        rows = layers[tuple(total[k] for k in keys)]
        m, n, k = (np.array([int(row[name]) for row in rows]) for name in "MNK")
        cycles = gemm_cycles(
            m,
            n,
            k,
            rows=int(total["array_h"]),
            columns=int(total["array_w"]),
            dataflow=DATAFLOW[total["dataflow"]],
        )
        assert int(np.sum(cycles - 1)) == int(total["sum_cycles"])


@pytest.mark.data
@pytest.mark.parametrize("name", ["Resnet18", "mobilenet"])
def test_convolutions_as_the_simulator_sees_them(data: Path, name: str) -> None:
    """Its topology files give the M, N and K of its rows."""
    known: dict[str, tuple[int, int, int]] = {}
    with (data / "reference/scalesim/closed_form_all.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["net"] == name:
                known[row["layer"]] = (int(row["M"]), int(row["N"]), int(row["K"]))
    assert known
    text = (data / f"reference/scalesim/topologies/{name}.csv").read_text()
    seen = 0
    for line in text.splitlines()[1:]:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) >= 8 and cells[0] in known:
            assert convolution(*map(int, cells[1:8])) == known[cells[0]], cells[0]
            seen += 1
    assert seen == len(known)
