"""Energy: which model is used, that its parts add up, and that it says what it leaves out."""

from __future__ import annotations

import pytest

from perfmodel.cost.energy import run_energy
from perfmodel.cost.setting import Setting
from perfmodel.formats import parse_precision
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.library import find

TOTALS = {
    "latency_s": 2.0, "operations int8": 10.0, "operations vector": 4.0, "traffic near": 6.0,
    "traffic main": 3.0,
}  # fmt: skip
FACTS = {
    "engines.e.energy_per_op.int8": 0.5,
    "memories.near.energy_per_byte": 0.25,
    "memories.main.energy_per_byte": 2.0,
    "power.idle": 1.0,
    "power.busy": 20.0,
}
ALL = "operations + bytes + static power x time"


def setting(facts: dict[str, float], precision: str = "int8") -> Setting:
    return Setting(facts, "e", ("near", "main"), "main", parse_precision(precision))


def test_every_part_is_counted() -> None:
    found = run_energy(TOTALS, setting(FACTS))
    assert found.parts == {"compute int8": 5.0, "compute vector": 2.0, "memory near": 1.5,
                           "memory main": 6.0, "static": 2.0}  # fmt: skip
    assert (found.joule, found.model) == (16.5, ALL)


@pytest.mark.parametrize(
    ("without", "joule", "model"),
    [
        ("memories.near.energy_per_byte", 15.0, f"{ALL}; bytes of near not counted"),
        ("power.idle", 14.5, "operations + bytes; static power not counted"),
        ("memories.main.energy_per_byte", 40.0, "busy power x time"),
        ("engines.e.energy_per_op.int8", 40.0, "busy power x time"),
    ],
)
def test_what_is_left_out_is_named(without: str, joule: float, model: str) -> None:
    found = run_energy(TOTALS, setting({k: v for k, v in FACTS.items() if k != without}))
    assert (found.joule, found.model) == (joule, model)
    assert sum(found.parts.values()) == found.joule


def test_vector_work_without_a_figure_is_named() -> None:
    # Sixteen-bit vector work has no figure on an engine that states int4 alone.
    facts = FACTS | {"engines.e.energy_per_op.int4": 0.5}
    del facts["engines.e.energy_per_op.int8"], facts["memories.near.energy_per_byte"]
    totals = {k.replace("int8", "int4"): v for k, v in TOTALS.items()}
    found = run_energy(totals, setting(facts, "w4a16"))
    assert found.model == f"{ALL}; vector work, bytes of near not counted"
    assert found.joule == 5.0 + 6.0 + 2.0


def test_a_device_that_states_energies() -> None:
    machine = hardware("edge_tpu").machine().vary({"memories.main.energy_per_byte": "13.5 pJ/bit"})
    found = predict(find("mobilenet_v2"), machine, precision="int8")
    assert found.energy_model == "operations + bytes; bytes of sram, static power not counted"
    parts = found.energy.parts
    assert set(parts) == {"compute int8", "compute vector", "memory host_dram"}
    assert sum(float(p.item()) for p in parts.values()) == pytest.approx(float(found.energy_j))
    assert parts["memory host_dram"].item() == pytest.approx(
        found.traffic_bytes["host_dram"] * 13.5e-12 * 8
    )
    assert 0 < float(found.power_w) < machine["power.busy"]
