"""Energy of a clock of a microcontroller against published cores, regulators and parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from perfmodel_studies.readers.mcus import mlperf_tiny

import perfmodel as pm
from perfmodel.calibrate import fit
from perfmodel.evaluate.data_files import DataFolder
from perfmodel.evaluate.refit import trial
from perfmodel.hardware.technology.clock_energies import Clocked, clock_energy, core_volts

#: A plain core with two multiply-accumulates per clock at 40 nm, at the voltage of its cores.
PLAIN = Clocked(40.0, 1.0, 1.0, 2.0, 131072.0, 1.1, 2.0)


def test_nodes_as_published_for_a_cortex_m4() -> None:
    """Arm's product page: 151, 32.82 and 12.26 uW/MHz at 180, 90 and 40 nm."""
    published = {180.0: 151.0, 90.0: 32.82, 40.0: 12.26}
    for node, microwatts in published.items():
        part = PLAIN._replace(node=node, supply=core_volts(node))
        assert clock_energy(part, 12.26) == pytest.approx(microwatts, rel=0.03)


def test_regulators() -> None:
    """A linear one passes the cores' current on, a switching one their energy."""
    rail = clock_energy(PLAIN)
    linear = PLAIN._replace(exponent=1.0, supply=3.3)
    switching = PLAIN._replace(exponent=0.0, supply=3.3)
    assert clock_energy(linear) == pytest.approx(3.0 * rail)
    assert clock_energy(linear._replace(supply=1.65)) == pytest.approx(1.5 * rail)
    assert rail < clock_energy(switching) < 1.25 * rail
    assert clock_energy(switching._replace(supply=1.8)) == clock_energy(switching)
    assert clock_energy(PLAIN._replace(supply=0.55)) == pytest.approx(rail / 4.0)


def test_more_of_anything_draws_more() -> None:
    for name, more in (("units", 8.0), ("issue", 1.6), ("lanes", 8.0)):
        assert clock_energy(PLAIN._replace(**{name: more})) > 1.05 * clock_energy(PLAIN)
    eight = clock_energy(PLAIN._replace(units=8.0)) / clock_energy(PLAIN)
    assert 2.0 < eight < 8.0


def test_a_part_without_a_measured_power() -> None:
    """STM32F746, data sheet: some 100 mA at 216 MHz and 3.3 V in a loop; its class says as much."""
    machine = pm.hardware("stm32f746").machine()
    loop = 0.1 * 3.3
    assert machine["engines.cpu.busy_power"] == pytest.approx(1.32 * loop, rel=0.02)
    slower = machine.vary({"engines.cpu.clock": "108 MHz"})
    assert slower["engines.cpu.busy_power"] == pytest.approx(machine["engines.cpu.busy_power"] / 2)
    origin = machine.provenance["engines.cpu.busy_power"]
    assert (origin.writer, origin.confidence) == ("table power_classes", "estimated")


@pytest.mark.parametrize(
    ("device", "changes", "ratio"),
    [
        # Behind a linear regulator the current follows the cores, the voltage is the board's.
        ("stm32f746", {"power.voltage": "1.2 V"}, 1.2 / 1.32),
        ("stm32f746", {"engines.cpu.supply": "1.65 V"}, 0.5),
        ("stm32f746", {"engines.cpu.loop_energy": "3.06 nJ"}, 2.0),
        # Behind a switching one energy is that of the cores.
        ("stm32h7a3", {"power.voltage": "1.0 V"}, (1.0 / 1.3) ** 2),
        ("stm32h7a3", {"engines.cpu.supply": "3.6 V"}, 1.0),
        # The supply is the cores' own.
        ("gap9", {"power.voltage": "0.4 V"}, 0.25),
        # A clock of one core of eight draws more than an eighth: what they share stays.
        ("pulp_open", {"engines.cpu.units": 1.0}, 0.2248),
        ("stm32mp157", {"engines.cpu.units": 1.0}, 0.5),
    ],
)
def test_power_follows_its_facts(device: str, changes: dict[str, Any], ratio: float) -> None:
    machine = pm.hardware(device).machine()
    power = "engines.cpu.busy_power"
    assert machine.vary(changes)[power] / machine[power] == pytest.approx(ratio, rel=1e-3)
    both = machine.vary({"engines.cpu.clock": np.array([1e7, 2e7])})[power]
    assert both[1] == pytest.approx(2.0 * both[0])


@pytest.mark.data
def test_left_out_by_part_and_by_maker(data: Path) -> None:
    refits = {each.target: each for each in mlperf_tiny.refits(DataFolder(data))}
    power, energy = refits["power_w"], refits["energy_j"]
    # No part, whatever the mode of its flash or its regulator, is in two groups.
    assert set(power.ways.values()) == {"left_out"}
    assert len(set(power.groups)) == 5
    trials = {name: trial(each) for name, each in refits.items() if name != "latency_s"}
    assert trials["power_w"]["mape"] < 0.15
    assert trials["energy_j"]["mape"] < 0.15
    assert trials["power_w, makers"]["mape"] < 0.20
    assert trials["power_w, no data sheet"]["mape"] < 0.23
    # The class is as its rows have it, but for rounding.
    full = fit(power.forward, power.measured, power.constants, weights=power.weights)
    for name, start in ((each.name, each.start) for each in power.constants):
        assert full.constants[name] == pytest.approx(start, rel=0.02)
    assert energy.judged is not None
    assert np.count_nonzero(energy.judged) * 2 == len(energy.measured)
