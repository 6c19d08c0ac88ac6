"""Eyeriss against its own measurements, layer by layer (JSSC 2017).

Nothing is fitted to AlexNet; VGG-16's channels of a pass are read off its column of the buffer.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import pytest
from perfmodel_studies.row_stationary.eyeriss import ALEXNET, LayerResult, eyeriss_layers

from perfmodel.kinds.spatial import PeArray, count

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
        if name != "CONV3":  # its quoted mapping does not give its column
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
def test_vgg_without_the_chips_mapping(data: Path) -> None:
    """Time of the last block alone holds; power but for one layer; main memory of eight."""
    measured = _measured(data, "vgg16")
    off: dict[str, set[str]] = {"processing": set(), "power": set(), "dram": set()}
    for name, result in eyeriss_layers("vgg16", "chosen").items():
        errors = _errors(measured[name], result)
        for column, bound in (("processing", 0.10), ("power", 0.15), ("dram", 0.15)):
            if abs(errors[column]) > bound:
                off[column].add(name)
    assert off["processing"] == {name for name in measured if not name.startswith("CONV5")}
    assert off["power"] == {"CONV1-1"}
    assert off["dram"] == {"CONV1-2", "CONV2-1", "CONV3-1", "CONV3-2", "CONV3-3"}


@pytest.mark.data
def test_buffer_of_alexnet_to_half_a_percent(data: Path) -> None:
    """Sums twice a channel pass and inputs once a filter pass are all that the column counts.

    But for CONV3: as its mapping is quoted, it reads and writes the sums a third more often than
    was measured; that of CONV4 and CONV5 gives its column.
    """
    measured = _measured(data, "alexnet")
    for name, result in eyeriss_layers("alexnet").items():
        error = _errors(measured[name], result)["buffer"]
        assert error == pytest.approx(0.379 if name == "CONV3" else 0.0, abs=0.005), name
    like_conv4 = ALEXNET["CONV4"].mapping
    assert like_conv4 is not None
    array = PeArray(12.0, 14.0, 224.0, 12.0, 24.0, 51200.0, 4.0, 1.0, 4.0)
    found = count(ALEXNET["CONV3"].layer, like_conv4, array)
    moved = 2e-6 * float(found.buffer_input + found.buffer_sum)
    assert moved == pytest.approx(measured["CONV3"][4], rel=0.005)


def test_energy_parts_add_up_to_the_power() -> None:
    for result in (eyeriss_layers("alexnet") | eyeriss_layers("vgg16")).values():
        assert sum(result.energy_j.values()) == pytest.approx(result.power_w * result.total_s)
        assert result.total_s >= result.processing_s
        # Published: arithmetic is less than a tenth of the power.
        assert result.energy_j["multiply-accumulate"] < 0.15 * sum(result.energy_j.values())
