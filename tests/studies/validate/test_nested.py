"""A constant that was fitted on the left-out device is no longer known when that is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.ask import Machine, Workload, hardware, predict, runtime, workload
from perfmodel.calibrate import Constant
from perfmodel.evaluate.nested_refit import nested_trial
from perfmodel.evaluate.refit import Refit, refit, trial
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase

RUNTIME = """\
schema_version: 1
name: planted
title: A runtime whose constants were fitted on rows of a data set
sources: {rows: {title: Rows of planted_set}}
source: rows
confidence: fitted
efficiency:
  gemm: {value: 0.5, fitted_on: all devices}
  conv: {value: 0.1, fitted_on: the Raspberry Pi 5}
fusion: {elementwise: true, attention: unfused}
semantics: {causal_skips_masked: false, head_on_every_token: true, runs_dead_branches: false}
"""
CONV = {"channels": 256, "filters": 256}
PRODUCT = {"m": 512, "n": 512, "k": 512}


def case_of(machine: Machine, of: Workload, name: str) -> ValidationCase:
    measured = float(predict(of, machine, precision="fp32").latency_s)
    quantity = MeasuredQuantity("latency_s", "latency_s", measured, of)
    return ValidationCase(name, machine.device.name, machine, (quantity,), "fp32")


@pytest.fixture
def planted(tmp_path: Path) -> Refit:
    """Rows as the runtime predicts them: convolutions on one device, products on the others."""
    (tmp_path / "planted.yaml").write_text(RUNTIME)
    software = runtime(tmp_path / "planted.yaml")
    product, convolution = workload("gemm", **PRODUCT), workload("convolution", **CONV)
    machines = [hardware(f"cortex_a{number}").machine(software) for number in (53, 72, 73)]
    cases = [case_of(machine, product, "product") for machine in machines]
    cases.append(case_of(hardware("raspberry_pi_5").machine(software), convolution, "convolution"))
    listed = [Constant("runtime.efficiency.gemm", 0.5, 0.05, 1.2)]
    return refit(Cases("planted_set", cases), "latency_s", listed)


def test_a_constant_beside_the_listed_ones_leaks_unless_nested(planted: Refit) -> None:
    assert trial(planted)["groups"]["raspberry_pi_5"]["mape"] < 1e-6
    nested = nested_trial(planted, "planted_set")
    assert nested["joining"] == ["runtime.efficiency.conv of planted"]
    # Without the device the convolutions run as under `generic_cpu`.
    family = runtime("generic_cpu").efficiency["conv"].value
    assert nested["groups"]["raspberry_pi_5"]["bias"] == pytest.approx(0.1 / family - 1, rel=0.05)
    assert nested["constants"]["runtime.efficiency.gemm"][0] == pytest.approx(0.5, rel=0.2)
