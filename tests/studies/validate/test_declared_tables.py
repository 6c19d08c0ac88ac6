"""Rows that need a second table, repeat each other, or set facts for one measurement alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.datasets import DeclaredDataset
from perfmodel.evaluate.validate import evaluate
from perfmodel.evaluate.validation_case import Cases
from perfmodel.hardware.machine import Machine

FORM = """\
schema_version: 1
title: "made up"
files: [runs.csv]
columns: [net, run, ms]
tables:
  boards: {files: [boards.csv], columns: [board, clock]}
values:
  clock: {table: boards, column: clock, where: {board: "^{run}$"}}
  coarse: {number: ms, digits: 2}
repeats: "{net} {coarse}"
details: {speed: "{clock}"}
row:
  name: "{net} {run}"
  model: "{net}"
  device: edge_tpu
  runtime: edge_tpu
  precision: int8
  set: {engines.tpu.clock: clock}
measured:
  - {target: latency_s, value: ms / 1000}
  - {target: slow_s, value: ms / 500, set: {engines.tpu.clock: 1e8}}
refits:
  - target: latency_s
    warm: true
    left_out: [{what: run, group: "{run}"}]
    constants:
      base: {fact: runtime.kernels.conv.peak_share, start: 0.5, low: 0.02, high: 1.0}
      ratio:
        {fact: runtime.kernels.conv.peak_share, start: 0.8, low: 0.2, high: 2.0, times: base,
         where: {run: "^a[.]b$"}}
"""
RUNS = "net,run,ms\nmobilenet_v1,a.b,5\nmobilenet_v1,axb,5.01\nmobilenet_v1,axb,6\n"


@pytest.fixture
def toy(tmp_path: Path) -> DeclaredDataset:
    (tmp_path / "toy.yaml").write_text(FORM)
    (tmp_path / "runs.csv").write_text(RUNS)
    (tmp_path / "boards.csv").write_text("board,clock\naxb,400e6\na.b,300e6\na.b,1\n")
    return DeclaredDataset(tmp_path / "toy.yaml")


def load(toy: DeclaredDataset) -> Cases:
    return toy.load(DataFolder(toy.file.parent))


def clock(machine: object) -> float:
    assert isinstance(machine, Machine)
    return float(machine["engines.tpu.clock"])


def test_a_value_is_a_cell_of_the_first_row_that_fits(toy: DeclaredDataset) -> None:
    """Holes stand for texts, not for patterns: ``a.b`` is not ``axb``."""
    assert [clock(case.machine) for case in load(toy).cases] == [3e8, 4e8]


def test_a_table_that_is_not_there_has_no_rows(toy: DeclaredDataset) -> None:
    (toy.file.parent / "boards.csv").unlink()
    assert all(case.machine is not None for case in load(toy).cases)
    (toy.file.parent / "boards.csv").write_text("board\nx\n")
    with pytest.raises(InputError, match="clock"):
        load(toy)


def test_a_row_that_repeats_another_is_none(toy: DeclaredDataset) -> None:
    cases = load(toy)
    assert [case.name for case in cases.cases] == ["mobilenet_v1 a.b", "mobilenet_v1 axb"]
    assert any("1 further rows repeat" in note for note in cases.notes)


def test_a_measurement_may_set_facts_of_its_own(toy: DeclaredDataset) -> None:
    case = load(toy).cases[0]
    plain, slow = case.quantities
    assert plain.machine is None
    assert clock(slow.machine) == 1e8
    result = evaluate(load(toy))
    first, second = result.predictions[:2]
    assert second["predicted"] > first["predicted"]
    assert set(result.details["speed"]) == {"300e6", "400e6"}


def test_a_refit_may_be_of_repeated_calls_and_of_ratios(toy: DeclaredDataset) -> None:
    (refit,) = toy.refits(DataFolder(toy.file.parent))
    plain = refit.forward({"base": 0.4, "ratio": 1.0})
    half = refit.forward({"base": 0.4, "ratio": 0.5})
    alike = refit.forward({"base": 0.2, "ratio": 1.0})
    assert half[1] == plain[1]
    assert half[0] == alike[0] > plain[0]
