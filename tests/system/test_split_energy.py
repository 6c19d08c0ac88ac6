"""Energy of splits: radios as measured, break points by brute force, periods, batteries, faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.system import link_classes
from perfmodel.hardware.technology import link_energy
from perfmodel.hardware.technology.tables import sources

MBIT = 1e6 / 8


def test_energy_of_the_device_is_its_part_its_radio_and_its_waiting(checkout: Path) -> None:
    spec = checkout / "examples" / "pi_and_gpu_over_wifi.yaml"
    s = pm.split(
        "resnet50",
        system=spec,
        objective="energy_j",
        link_format="int8",
        rate=[20 * MBIT, 40 * MBIT],
    )
    facts = pm.hardware("raspberry_pi_5").machine().facts
    idle, busy = float(facts["power.idle"]), float(facts["power.busy"])
    up = 3 * 224 * 224 / 0.94 / (20 * MBIT)
    down = 1000 / 0.94 / (54.97 * MBIT)
    waited = s.cuts.server_s[s.remote] + 2 * 0.005
    conversion = s.cuts.device_s[s.remote]
    remote = idle * waited + (idle + 5.48) * up + (idle + 7.66) * down
    remote += 0.1193 * (waited + 0.2381)  # awake until the answer comes, and after it
    alone = pm.predict(pm.workload("resnet50"), pm.hardware("raspberry_pi_5"))
    # Blocks that repeat are priced one by one here: what lies in caches differs at their borders.
    assert s.energy_j[s.local] == pytest.approx(alone.energy_j, rel=1e-4)
    assert s.energy_j[s.remote, 0] == pytest.approx(remote + busy * conversion, rel=1e-3)
    assert s.notes == []


#: mW a Mbit/s up and down, mW beside; mW and s of the tail; mW and s of waking (Huang et al. 2012).
HUANG = {
    "lte": (438.39, 51.97, 1288.04, 1060.0, 11.576, 1210.7, 0.2601),
    "3g": (
        868.98,
        122.12,
        817.88,
        (803.9 * 8.0882 + 601.3 * 0.8242) / 8.9124,
        8.9124,
        659.4,
        0.5821,
    ),
    "wifi": (283.17, 137.01, 132.86, 119.3, 0.2381, 124.4, 0.0791),
}


@pytest.mark.parametrize("kind", HUANG)
@pytest.mark.parametrize("megabits", [1.0, 5.0, 40.0])
def test_a_radio_draws_what_was_measured_of_it(kind: str, megabits: float) -> None:
    """The term of sending is power x time at any rate, with the power alpha x throughput + beta."""
    up_mw, down_mw, base_mw, tail_mw, tail_s, wake_mw, wake_s = HUANG[kind]
    s = pm.split(
        "alexnet", "galaxy_s7", "rtx_4090", link=kind, rate=megabits * MBIT, efficiency=1.0
    )
    k = s.remote
    terms = {name: float(joule[k, 0]) for name, joule in s.energy_terms_j.items()}
    up_s, down_s = (size[k] / (megabits * MBIT) for size in (s.cuts.up_bytes, s.cuts.down_bytes))
    assert terms["sending"] == pytest.approx(1e-3 * (up_mw * megabits + base_mw) * up_s)
    assert terms["receiving"] == pytest.approx(1e-3 * (down_mw * megabits + base_mw) * down_s)
    awake_s = tail_s + min(tail_s, float(s.cuts.server_s[k]))
    assert terms["tail"] == pytest.approx(1e-3 * tail_mw * awake_s, rel=1e-3)
    assert terms["wake"] == pytest.approx(1e-3 * wake_mw * wake_s)
    idle_w = float(pm.hardware("galaxy_s7").machine()["power.idle"])
    assert terms["waiting"] == pytest.approx(idle_w * (s.cuts.server_s[k] + up_s + down_s))
    assert any(f"class {kind} (assumed; huang2012)" in note for note in s.notes)
    device = [joule for name, joule in terms.items() if name not in ("server", "network")]
    assert float(s.energy_j[k, 0]) == pytest.approx(sum(device))
    # On the device no radio is used at all.
    assert float(s.energy_j[s.local, 0]) == pytest.approx(float(s.cuts.device_j[s.local]))


def test_rates_from_which_sending_beats_computing_are_those_of_all_cuts() -> None:
    """Break points of the device's energy, from the closed form of every cut at 4001 rates."""
    rates = np.geomspace(0.1 * MBIT, 2000 * MBIT, 4001)
    s = pm.split(
        "resnet50",
        "galaxy_s7",
        "rtx_4090",
        rate=rates,
        latency=0.005,
        link="wifi",
        link_format="int8",
        objective="energy_j",
    )
    idle_w = float(pm.hardware("galaxy_s7").machine()["power.idle"])
    cuts, share = s.cuts, 0.94
    sent, received = cuts.up_bytes[:, None], cuts.down_bytes[:, None]
    messages = 0.005 * ((sent > 0).astype(float) + (received > 0))
    up_s, down_s = sent / share / rates, received / share / rates
    joules = cuts.device_j[:, None] + idle_w * (cuts.server_s[:, None] + messages + up_s + down_s)
    joules = joules + 0.13286 * (up_s + down_s)
    joules = joules + 8e-9 * (283.17 * sent + 137.01 * received)
    away_s = cuts.server_s[:, None] + messages
    tail_s = 0.2381 + np.minimum(0.2381, away_s)
    joules = joules + (0.1193 * tail_s + 0.1244 * 0.0791) * (sent > 0)
    assert s.energy_j == pytest.approx(joules, rel=1e-9)
    assert len(s.ranges) >= 2
    for r in s.ranges:
        inside = (rates >= r.from_bytes_per_s) & (rates <= r.to_bytes_per_s)
        assert joules[r.cut, inside] == pytest.approx(joules[:, inside].min(axis=0), rel=1e-9)
    crossing = s.ranges[0].to_bytes_per_s
    assert s.ranges[0].cut == s.local
    for rate, local in ((0.99 * crossing, True), (1.01 * crossing, False)):
        (column,) = np.abs(rates - rate).argsort()[:1]
        assert (joules[:, column].argmin() == s.local) == local


def test_a_long_tail_keeps_a_single_run_on_the_phone() -> None:
    """Huang et al.: the tail of LTE, 12 J, is most of what a small transfer takes."""
    lte, wifi = (
        pm.split("alexnet", "galaxy_s7", "rtx_4090", link=kind, rate="20 Mbit/s")
        for kind in ("lte", "wifi")
    )
    share = lte.energy_terms_j["tail"][lte.remote, 0] / lte.energy_j[lte.remote, 0]
    assert share > 0.7
    assert lte.energy_terms_j["tail"][lte.remote, 0] == pytest.approx(11.576 * 1.06, rel=1e-3)
    assert wifi.energy_j[wifi.remote, 0] < 0.2 * lte.energy_j[lte.remote, 0]


@pytest.mark.parametrize("period", [1.0, 5.0, 60.0, 3600.0])
def test_a_period_is_its_run_its_tail_and_its_sleep(period: float) -> None:
    facts = {"power.sleep": "20 mW", "power.battery": "10 Wh"}
    s = pm.split(
        "mobilenet_v2",
        "galaxy_s7",
        "rtx_4090",
        link="lte",
        rate="20 Mbit/s",
        period=period,
        set=facts,
    )
    for k in (s.local, s.remote):
        left_s = period - float(s.latency_s[k, 0])
        away_s, tail_s = float(s.cuts.server_s[k]), 0.0
        if k == s.remote:
            tail_s = min(11.576, left_s + float(s.cuts.device_s[k]))
        terms = {name: float(joule[k, 0]) for name, joule in s.energy_terms_j.items()}
        assert terms["tail"] == pytest.approx(1.06 * (tail_s + away_s * (k == s.remote)))
        # Paging of Huang et al.: 594.3 mW for 43.2 ms in each 1.2802 s.
        asleep_s = max(left_s - tail_s, 0.0) * (k == s.remote)
        asleep_j = 0.5943 * 0.0432 / 1.2802 * asleep_s
        assert terms["sleeping"] == pytest.approx(0.02 * left_s + asleep_j, rel=5e-3)
        # A radio that is still awake when the next run sends needs not be woken.
        woken = k == s.remote and tail_s >= 11.576
        assert terms["wake"] == pytest.approx(1.2107 * 0.2601 * woken)
        drawn = float(s.energy_per_period_j[k, 0])
        assert drawn == pytest.approx(float(s.energy_j[k, 0]) + terms["sleeping"])
        assert s.average_power_w[k, 0] == pytest.approx(drawn / period)
        assert s.battery_hours[k, 0] * drawn / period == pytest.approx(10.0)
        assert s.battery_runs[k, 0] * drawn == pytest.approx(36e3)
        assert s.battery_share_in_an_hour[k, 0] == pytest.approx(drawn * 3600 / period / 36e3)


def test_a_period_that_a_device_states_is_that_of_its_split() -> None:
    plain: Any = {"workload": "alexnet", "device": "galaxy_s7", "server": "rtx_4090"}
    facts = {"power.sleep": "20 mW"}
    one = pm.split(**plain, link="wifi", period="30 s", set=facts)
    two = pm.split(**plain, link="wifi", set=facts | {"use.period": "30 s"})
    assert one.energy_per_period_j == pytest.approx(two.energy_per_period_j)
    phone = pm.hardware("galaxy_s7").vary(facts | {"use.period": "30 s"})
    alone = pm.predict("alexnet", phone)
    assert two.energy_per_period_j[two.local, 0] == pytest.approx(
        alone.energy_per_period_j, rel=1e-3
    )
    assert two.battery_hours[two.local, 0] == pytest.approx(alone.battery_hours, rel=1e-3)


def test_the_energy_of_a_period_decides_and_a_run_ends_within_it() -> None:
    plain: Any = {"workload": "mobilenet_v2", "device": "galaxy_s7", "server": "rtx_4090"}
    for period in ("60 ms", "1 s", "1 min"):
        s = pm.split(**plain, link="wifi", rate="1..60 Mbit/s", period=period, objective="energy_j")
        length = float(s.request_period_s or 0.0)
        late = s.latency_s > length
        drawn = np.where(late, np.inf, s.energy_per_period_j)
        assert drawn[s.best, np.arange(60)] == pytest.approx(drawn.min(axis=0))
    none = pm.split(**plain, link="wifi", rate="1..2 Mbit/s", period="1 ms", objective="energy_j")
    assert none.best.tolist() == [-1, -1]
    assert not none.feasible
    assert none.exit_code == 1
    assert "no run ends in its period of 1 ms" in str(none)


def test_the_systems_energy_has_the_server_and_the_network() -> None:
    s = pm.split(
        "alexnet", "galaxy_s7", "rtx_4090", link="lte", rate="20 Mbit/s", boundary="system"
    )
    own = pm.split("alexnet", "galaxy_s7", "rtx_4090", link="lte", rate="20 Mbit/s")
    network = 0.30 * 3.6e6 / 1e9 * (s.cuts.up_bytes + s.cuts.down_bytes)
    effectiveness = pm.hardware("rtx_4090").machine().get("site.power_usage_effectiveness")
    beyond = effectiveness * s.cuts.server_j + network
    assert s.energy_j - own.energy_j == pytest.approx(beyond[:, None])
    table = s.table
    terms = [name for name in table.columns if name.startswith("energy_") and name != "energy_j"]
    assert sum(table[name] for name in terms) == pytest.approx(table["energy_j"])
    assert "system's energy" in str(s)


def test_what_a_spec_states_of_its_radio_is_not_counted_twice(tmp_path: Path) -> None:
    text = "schema_version: 1\nname: home\ndevice: raspberry_pi_5\nserver: rtx_4090\n"
    stated, classes = tmp_path / "stated.yaml", tmp_path / "classes.yaml"
    stated.write_text(text + 'link: {kind: wifi, bandwidth: "20 Mbit/s", power_up: "2 W"}\n')
    classes.write_text(text + 'link: {kind: wifi, bandwidth: "20 Mbit/s"}\n')
    one, two = (pm.split("resnet50", system=each) for each in (stated, classes))
    k = one.remote
    up_s = one.cuts.up_bytes[k] / (20 * MBIT)
    assert one.energy_terms_j["sending"][k, 0] == pytest.approx(2.0 * up_s)
    assert one.energy_terms_j["tail"][k, 0] == 0.0
    assert any("leaves out the tail of its radio" in note for note in one.notes)
    assert two.energy_terms_j["sending"][k, 0] == pytest.approx((0.13286 + 20 * 0.28317) * up_s)
    assert any("class wifi (assumed; huang2012)" in note for note in two.notes)


def test_the_table_of_links_cites_its_documents_and_agrees_with_that_of_memories() -> None:
    documents = sources("links")
    for name, link in link_classes().items():
        fields = [getattr(link, field) for field in type(link).model_fields]
        cited = {each.source for each in fields if isinstance(each, Quantity)} | {link.source}
        assert cited - {None} <= documents.keys(), name
        assert link.confidence is not None, name
        assert link.states_power, name
    assert link_classes()["pcie"].number("energy_per_byte_up") == link_energy("pcie")


def test_faults_of_links_and_periods_name_them() -> None:
    with pytest.raises(InputError) as caught:
        pm.split(
            "alexnet", "galaxy_s7", "rtx_4090", link="wify", rate=1e6, period="1 x", boundary="all"
        )
    assert {f.path for f in caught.value.faults} == {"link", "period", "boundary"}
    assert any(f.suggestion == "wifi" for f in caught.value.faults)
