"""A valid device spec, as text, that tests read and mutate."""

from collections.abc import Callable
from pathlib import Path

import pytest

from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.runtime import Runtime

SPEC = """\
schema_version: 1
name: card
aliases: [card_80]
title: A card
tags: [gpu, datacenter]
year: 2020
price: {value: "15000 USD", source: shop, confidence: estimated}
area: "826 mm2"
default_runtime: ideal
default_engine: tensor
sources:
  sheet: {title: "Data sheet", publisher: Maker, year: 2021, url: "https://example.org/sheet"}
  shop: Price list
source: sheet
confidence: datasheet
engines:
  - name: tensor
    kind: roofline
    tags: [gpu]
    units: 100
    clock: "1 GHz"
    peaks:
      fp16: {value: "300 TFLOP/s", accumulator: fp32, sparsity: dense}
      int8: {value: "1200 TOP/s", accumulator: int32, sparsity: "2:4"}
    vector_peaks:
      fp32: "20 TFLOP/s"
    energy_per_op: {fp16: "0.3 pJ/FLOP"}
    sparse_speedup: {"2:4": 2.0}
  - name: host
    tags: [cpu]
    clock: "3 GHz"
    peaks: {fp32: "1 TFLOP/s"}
    confidence: estimated
memories:
  - name: cache
    kind: cache
    capacity: "40 MiB"
    bandwidth: "5000 B/clock"
    feeds: [tensor]
  - name: hbm
    kind: dram
    roles: [main]
    capacity: "80 GB"
    reserved: "1 GB"
    bandwidth: "2 TB/s"
    sustained_bandwidth: {value: "1.5 TB/s", source: shop, confidence: measured}
    latency: "400 ns"
    energy_per_byte: "31 pJ/B"
    feeds: [cache, host]
links:
  - {name: nvlink, kind: nvlink, bandwidth: "600 GB/s", latency: "2 us"}
power:
  boundary: board
  idle: "50 W"
  busy: "400 W"
"""


@pytest.fixture
def spec() -> str:
    return SPEC


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Device]:
    def write_and_load(text: str, name: str = "card") -> Device:
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return hardware(path)

    return write_and_load


@pytest.fixture
def card(load: Callable[..., Device], spec: str) -> Device:
    return load(spec)


@pytest.fixture
def bare() -> Runtime:
    return Runtime(name="bare")
