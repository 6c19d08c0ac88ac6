"""Eyeriss against its own measurements, layer by layer (JSSC 2017); nothing is fitted to them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import pytest

from perfmodel.kinds.spatial.eyeriss import LayerResult, eyeriss_layers

Network = Literal["alexnet", "vgg16"]
#: Layers whose power the published access costs do not reach: nearly all inputs are non-zero.
LOW_POWER = {"CONV1": -0.20, "CONV1-1": -0.28, "CONV2-1": -0.17}


def _measured(data: Path, network: Network) -> dict[str, tuple[float, ...]]:
    """Return layer -> mW, total and processing ms, elements, MB of buffer and of DRAM."""
    path = data / "measured" / "eyeriss_eie" / f"eyeriss-{network}.csv"
    with path.open(newline="") as file:
        return {
            row[0]: tuple(float(row[i]) for i in (1, 2, 3, 5, 7, 8))
            for row in csv.reader(file)
            if row[0].startswith("CONV")
        }


def _errors(measured: tuple[float, ...], found: LayerResult) -> dict[str, float]:
    power, total, processing, elements, buffer, dram = measured
    return {
        "power": found.power_w * 1e3 / power - 1,
        "total": found.total_s * 1e3 / total - 1,
        "processing": found.processing_s * 1e3 / processing - 1,
        "elements": found.active_elements / elements - 1,
        "buffer": found.buffer_bytes / 1e6 / buffer - 1,
        "dram": found.dram_bytes / 1e6 / dram - 1,
    }


@pytest.mark.data
@pytest.mark.parametrize(("network", "layers"), [("alexnet", 5), ("vgg16", 13)])
def test_every_layer(data: Path, network: Network, layers: int) -> None:
    """Processing 10 %, DRAM 15 %, power 15 % but for three layers; buffer and total beside."""
    measured, found = _measured(data, network), eyeriss_layers(network)
    assert set(found) == set(measured)
    assert len(found) == layers
    for name, result in found.items():
        errors = _errors(measured[name], result)
        assert abs(errors["processing"]) < 0.065, (name, errors)
        assert abs(errors["dram"]) < 0.12, (name, errors)
        assert abs(errors["buffer"]) < 0.045, (name, errors)
        assert abs(errors["total"]) < 0.12, (name, errors)
        assert abs(errors["elements"]) < 0.08, (name, errors)
        if name in LOW_POWER:  # known misses, told in docs/spatial.md
            assert LOW_POWER[name] < errors["power"] < -0.15, (name, errors)
        else:
            assert abs(errors["power"]) < 0.15, (name, errors)


@pytest.mark.data
def test_alexnet_without_the_chips_mapping(data: Path) -> None:
    """What the closed forms choose: processing within 10 % of each layer, from geometry alone."""
    measured = _measured(data, "alexnet")
    for name, result in eyeriss_layers("alexnet", "chosen").items():
        assert abs(_errors(measured[name], result)["processing"]) < 0.10, name


@pytest.mark.data
def test_buffer_of_alexnet_to_half_a_percent(data: Path) -> None:
    """Sums twice a channel pass and inputs once a filter pass are all that the column counts."""
    measured = _measured(data, "alexnet")
    for name, result in eyeriss_layers("alexnet").items():
        assert abs(_errors(measured[name], result)["buffer"]) < 0.005, name


def test_energy_parts_add_up_to_the_power() -> None:
    for result in (eyeriss_layers("alexnet") | eyeriss_layers("vgg16")).values():
        assert sum(result.energy_j.values()) == pytest.approx(result.power_w * result.total_s)
        assert result.total_s >= result.processing_s
        # Published: arithmetic is less than a tenth of the power.
        assert result.energy_j["multiply-accumulate"] < 0.15 * sum(result.energy_j.values())
