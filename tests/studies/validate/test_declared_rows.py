"""What a data set states of a row: names with settings, checks, facts, several rows of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.datasets import DeclaredDataset
from perfmodel.evaluate.refit import trial
from perfmodel.evaluate.validation_case import Cases
from perfmodel.hardware.machine import Machine

FORM = """\
schema_version: 1
title: "made up"
files: [toy.csv]
columns: [net, usb_ms, pcie_ms, ops]
each:
  - {device: edge_tpu_usb, ms: {number: usb_ms}}
  - {device: edge_tpu, ms: {number: pcie_ms}}
values:
  version: v1
  network:
    text: "{net}"
    reasons: {'': "'{net}' has no graph"}
    names:
      small: {model: mobilenet_v1, set: {height: 128, width: 128}, values: {per_mac: 1}}
      plain: mobilenet_v1
    patterns:
      ^wide: {model: "mobilenet_{version}", set: {channels: 48}}
  operations_per_mac: {number: per_mac + 0, otherwise: 2}
unmeasured: nothing
row:
  name: "{device} {net}"
  model: "{network}"
  device: "{device}"
  group: "{net}"
  runtime: edge_tpu
  precision: int8
  values:
    clock: {fact: engines.tpu.clock}
    unknown: {fact: engines.tpu.nothing}
  set: {height: 224, engines.tpu.clock: clock / 2, memories.main.bandwidth: unknown * 2}
  macs: {value: ops * 1e6 / operations_per_mac, reason: "{net} is another network"}
measured:
  - {target: latency_s, value: ms / 1000, set: {batch: 1}}
  - {target: four_s, value: ms * 3 / 1000, set: {batch: 4}}
refits:
  - target: [latency_s, four_s]
    unfitted: {where: {net: small}}
    left_out:
      - {what: network, group: "{net}", target: latency_s, name: single}
      - {what: network, group: "{net}", target: four_s}
    constants:
      runtime.kernels.conv.peak_share: {start: 0.6, low: 0.02, high: 1.0}
      runtime.per_run: {start: 1.0e-3, low: 1.0e-6, high: 1.0e-2}
"""
ROWS = (
    "net,usb_ms,pcie_ms,ops\nplain,6,5,1138\nsmall,3,,186\nwide,9,8,\nplain,6,5,300\nother,1,1,1\n"
)


@pytest.fixture
def toy(tmp_path: Path) -> DeclaredDataset:
    (tmp_path / "toy.yaml").write_text(FORM)
    (tmp_path / "toy.csv").write_text(ROWS)
    return DeclaredDataset(tmp_path / "toy.yaml")


@pytest.fixture
def cases(toy: DeclaredDataset) -> Cases:
    return toy.load(DataFolder(toy.file.parent))


def test_a_row_of_the_file_is_several(cases: Cases) -> None:
    names = [case.name for case in cases.cases[:4]]
    assert names == ["edge_tpu_usb plain", "edge_tpu plain", "edge_tpu_usb small", "edge_tpu small"]
    assert cases.cases[3].reason == "nothing"


def test_a_name_means_a_workload_with_settings(cases: Cases) -> None:
    plain, small = (cases.cases[i].quantities[0].workload for i in (0, 2))
    assert (plain.parameters["height"], small.parameters["height"]) == (224, 128)
    wide = cases.cases[4].quantities[0]
    assert "channels=48" in wide.command
    assert float(wide.workload.macs) > 2 * float(plain.macs)


def test_another_network_is_told_by_its_work(cases: Cases) -> None:
    assert [case.reason for case in cases.cases[6:]] == [
        "plain is another network",
        "plain is another network",
        "'other' has no graph",
        "'other' has no graph",
    ]


def test_a_setting_follows_from_the_device(cases: Cases) -> None:
    machine = cases.cases[0].machine
    assert isinstance(machine, Machine)
    assert machine["engines.tpu.clock"] == 244e6
    assert "main.bandwidth" not in cases.cases[0].quantities[0].command


def test_targets_are_fitted_together_and_judged_apart(toy: DeclaredDataset) -> None:
    first, second = toy.refits(DataFolder(toy.file.parent))
    assert (first.target, second.target) == ("single", "four_s")
    assert first.weights is not None
    assert first.judged is not None
    assert list(first.weights) == [1, 1, 0, 1, 1] * 2
    assert first.judged.sum() == 5
    assert first.forward is second.forward
    tried = [trial(refit) for refit in (first, second)]
    assert tried[0]["constants"] == tried[1]["constants"]
    assert tried[0]["groups"]["small"]["rows"] == 1
