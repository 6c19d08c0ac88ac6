"""The explanation of an energy: its sum evaluates to it, and names boundary, basis and facts."""

from __future__ import annotations

import re

import pytest

import perfmodel as pm
from perfmodel.prediction.explain import energy_facts

#: One device of each way to an energy: class, one power, tables, energies of the kind.
DEVICES = ("h100", "raspberry_pi_5", "galaxy_s24", "eyeriss", "stm32h743")


@pytest.mark.parametrize("device", DEVICES)
def test_the_sum_of_its_terms_is_the_energy(device: str) -> None:
    prediction = pm.predict("mlperf_tiny_ic", device)
    text = prediction.explain()
    for metric in ("energy_j", "power_w"):
        line = re.search(rf"^{metric} = (.*) = (\S+)$", text, re.MULTILINE)
        assert line is not None
        expected = pytest.approx(float(line[2]), rel=1e-6)
        assert eval(line[1], {"__builtins__": {}}) == expected
        assert getattr(prediction, metric) == expected
    assert f"energy ({prediction.energy_boundary}): {prediction.energy_model}" in text
    assert f"basis: {prediction.energy_basis}, " in text
    facts = energy_facts(prediction)
    assert facts
    assert all(f"  {path} = " in text for path in facts)


def test_nobody_measured_energies_where_times_were_measured() -> None:
    prediction = pm.predict("resnet50", "raspberry_pi_5")
    assert prediction.basis == "measured"
    assert "energies of frames" in prediction.energy_basis_reason
