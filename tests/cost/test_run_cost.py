"""Money and carbon of a run: against closed forms, ACT's own figures and a published footprint."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.cost.run_cost import run_cost
from perfmodel.cost.silicon_cost import die_usd
from perfmodel.hardware.ownership import unknown_costs
from perfmodel.hardware.technology.ownership import (
    die_kg,
    grid_intensities,
    memory_kg_per_byte,
    node_of_process,
    silicon,
)
from perfmodel.prediction.explain_ownership import explain_ownership
from perfmodel.report.of_prediction import headline_cards
from perfmodel.units import show

_YEAR = 8760 * 3600.0
SITE = {
    "site.electricity_price": 0.1 / 3.6e6,
    "site.carbon_intensity": 0.4 / 3.6e6,
    "site.power_usage_effectiveness": 1.5,
    "site.lifetime": 4 * _YEAR,
    "site.utilization": 0.25,
}


def test_a_year_of_running_costs_a_year_of_electricity_and_its_share_of_the_price() -> None:
    # Of four years at a quarter, a year of running is all of the price; 1 kW is 8760 kWh.
    cost = run_cost({**SITE, "price": 1000.0}, _YEAR, 1000.0 * _YEAR, 0.0)
    assert cost.depreciation_usd == pytest.approx(1000.0)
    assert cost.electricity_usd == pytest.approx(8760 * 1.5 * 0.1)
    assert cost.operation_kg == pytest.approx(8760 * 1.5 * 0.4)
    assert cost.cost_usd == pytest.approx(1000.0 + 1314.0)
    assert math.isnan(cost.carbon_kg)
    assert set(cost.reasons) == {"embodied"}


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_the_runs_of_a_life_pay_for_all_that_the_device_draws_in_it(share: float) -> None:
    """Over a life: its price, its power while it runs, and its power while it waits."""
    life, run_s, busy_w, idle_w = SITE["site.lifetime"], 0.2, 10.0, 3.0
    facts = {**SITE, "site.utilization": share, "price": 80.0}
    cost = run_cost(facts, run_s, busy_w * run_s, 0.0, idle_w)
    runs = share * life / run_s
    joules = (share * busy_w + (1.0 - share) * idle_w) * life
    assert runs * cost.cost_usd == pytest.approx(80.0 + 1.5 * joules * 0.1 / 3.6e6)
    assert runs * (cost.operation_kg + cost.waiting_kg) == pytest.approx(1.5 * joules * 0.4 / 3.6e6)
    without = run_cost(facts, run_s, 2.0, 0.0)
    assert without.waiting_usd == 0.0


@pytest.mark.parametrize("sleep_w", [None, 0.01])
def test_the_periods_of_a_life_pay_for_all_of_it(sleep_w: float | None) -> None:
    life, run_s, period_s, idle_w = SITE["site.lifetime"], 0.2, 60.0, 3.0
    facts = {**SITE, "price": 80.0, "use.period": period_s}
    rest_w = idle_w if sleep_w is None else sleep_w
    cost = run_cost(facts, run_s, 2.0, 0.0, rest_w)
    runs = life / period_s
    joules = runs * (2.0 + (period_s - run_s) * rest_w)
    assert runs * cost.cost_usd == pytest.approx(80.0 + 1.5 * joules * 0.1 / 3.6e6)


def test_the_cost_of_a_period_is_explained_and_searched_for() -> None:
    board = pm.hardware("raspberry_pi_5").vary({"use.period": "1 min", "power.sleep": "1 W"})
    p = pm.predict("resnet18", board)
    lines = dict(re.findall(r"^(\w+) = (.*) = \S+$", explain_ownership(p), re.M))
    for name, expression in lines.items():
        assert eval(expression, {}) == pytest.approx(getattr(p, name), rel=1e-8)
    answer = pm.search("resnet18", board, choices={"weight_bits": [4, 8]}, objective="cost_usd")
    assert answer.prediction is not None
    assert answer.prediction.cost_usd == pytest.approx(answer.value, rel=1e-9)


def test_the_energy_of_a_period_misses_what_its_run_misses() -> None:
    board = pm.hardware("raspberry_pi_5").vary({"use.period": "1 min", "power.battery": "20 Wh"})
    p = pm.predict("resnet18", board)
    run, period = p.interval("energy_j"), p.interval("energy_per_period_j")
    assert period.high - period.value == pytest.approx(run.high - run.value)
    assert period.value - period.low == pytest.approx(run.value - run.low)
    hours, power = p.interval("battery_hours"), p.interval("average_power_w")
    assert hours.low * power.high == pytest.approx(20.0)
    assert hours.high * power.low == pytest.approx(20.0)
    assert period.high / 60.0 == pytest.approx(power.high)


def test_an_interval_of_a_cost_is_that_of_what_it_is_made_of() -> None:
    """Without electricity it is the latency's, without a price and idle power the energy's."""
    board = pm.hardware("raspberry_pi_5")
    bought = pm.predict("resnet18", board.vary({"site.electricity_price": 0.0}))
    drawn = pm.predict("resnet18", board.vary({"price": 0.0, "power.idle": 0.0}))
    for p, part in ((bought, "latency_s"), (drawn, "energy_j")):
        made_of, cost = p.interval(part), p.interval("usd_per_inference")
        assert cost.value == p.usd_per_inference
        assert cost.low / cost.value == pytest.approx(made_of.low / made_of.value)
        assert cost.high / cost.value == pytest.approx(made_of.high / made_of.value)
    both = pm.predict("resnet18", board).interval("carbon_kg")
    ends = [pm.predict("resnet18", board).interval(name) for name in ("latency_s", "energy_j")]
    shares = sorted(each.high / each.value for each in ends)
    assert shares[0] < both.high / both.value < shares[1]
    assert both.basis == "assumed"


def test_a_cost_of_stated_prices_rests_on_what_its_energy_rests_on() -> None:
    stated = {
        "site.electricity_price": "0.2 USD/kWh",
        "site.power_usage_effectiveness": 1.0,
        "site.lifetime": "4 years",
        "site.utilization": 0.5,
        "power.idle": "2.5 W",
    }
    board = pm.hardware("raspberry_pi_4")
    p = pm.predict("resnet18", board.vary({**stated, "price": "55 USD"}))
    weakest = p.energy_basis if p.energy_basis != "measured" else p.basis
    assert p.interval("cost_usd").basis == weakest
    assert p.interval("carbon_kg").basis == "assumed"


def test_intervals_are_printed_beside_costs_and_stand_in_json() -> None:
    board = pm.hardware("raspberry_pi_5").vary({"site.utilization": 0.2})
    p = pm.predict("resnet18", board)
    texts = [text for label, text in p.glance() if label == "  90 % in"]
    assert any("USD" in text and "assumed" in text for text in texts)
    assert "waiting" in dict(p.glance())["cost"]
    for answer in (p, pm.serve("llama_3_8b", "h100", runtime="vllm", concurrency=8)):
        metric = "usd_per_inference" if answer is p else "usd_per_million_tokens"
        known = answer.to_dict()["intervals"][metric]["90"]
        assert known["low"] < getattr(answer, metric) < known["high"]
    many = pm.predict("resnet18", board.vary({"site.utilization": [0.1, 0.2]}))
    assert many.interval("cost_usd").low[1] == pytest.approx(p.interval("cost_usd").low)


def test_a_charge_lasts_in_inverse_proportion_to_the_power() -> None:
    phone = pm.predict("resnet18", "galaxy_s24")
    power, hours = phone.interval("power_w"), phone.interval("battery_hours")
    assert hours.low * power.high == pytest.approx(hours.value * power.value)
    assert hours.high * power.low == pytest.approx(hours.value * power.value)
    share = phone.interval("battery_share_in_an_hour")
    assert share.low < phone.battery_share_in_an_hour < share.high


def test_carbon_per_area_is_that_of_act() -> None:
    """ACT prints, of Taiwan's grid, 97 % abatement and a yield of 0.875, these g a cm2."""
    # energy x 642 g/kWh + mean of the gases + 500, over 0.875; by hand from ACT's three tables.
    for node, energy, gases in ((28, 0.90, 137.5), (14, 1.20, 162.5), (7, 2.15, 275.0)):
        expected = (energy * 642 + gases + 500) / 0.875
        one_cm2 = (die_kg(1e-4, node * 1e-9) - 0.150) * 1e3
        assert one_cm2 == pytest.approx(expected, rel=1e-9), node
    nodes = np.array([28e-9, 14e-9, 10e-9, 7e-9, 5e-9])
    assert (np.diff(silicon(nodes).kg_per_m2) > 0).all()
    assert silicon(65e-9).kg_per_m2 == silicon(28e-9).kg_per_m2


def test_the_chips_of_an_h100_are_within_a_factor_of_two_of_the_vendors_footprint() -> None:
    # NVIDIA's footprint of the HGX H100 gives integrated circuits a quarter of 1312 kg for eight.
    ours = die_kg(814e-6, 4e-9)
    assert 0.5 < ours / (0.25 * 1312 / 8) < 2.0
    # HNLPU's accounting takes 125 kg a chip with its memory (arXiv 2508.16151).
    embodied = pm.predict("resnet18", "h100").embodied_kg
    assert embodied == pytest.approx(125, rel=0.3)


def test_an_hour_of_a_gpu_costs_less_than_clouds_ask_for_it() -> None:
    """Between the electricity alone and 4 USD, the most that clouds asked in 2024."""
    p = pm.predict(pm.workload("llama_3_8b", phase="decode", batch=64), "h100", precision="w4a16")
    hour = 3600.0 * p.cost_usd / p.latency_s
    assert 0.7 * 1.58 * 0.0804 < hour < 4.0


def test_names_of_processes_and_memories_say_their_generation() -> None:
    assert node_of_process("TSMC 4N") == pytest.approx(4e-9)
    assert node_of_process("TSMC N6") == pytest.approx(6e-9)
    assert node_of_process("Intel 7") == pytest.approx(10e-9)
    assert node_of_process("a fab's own") is None
    assert memory_kg_per_byte("LPDDR4X-4267") * 1e12 == pytest.approx(48)
    assert memory_kg_per_byte("dram hbm3") > 5 * memory_kg_per_byte("GDDR6X")
    assert grid_intensities()["norway"] * 3.6e9 == pytest.approx(30)


def test_a_design_without_a_price_costs_its_die_and_its_share_of_masks_and_design() -> None:
    facts = {**SITE, "area": 1e-4, "energy.node": 7e-9, "volume": 1e6}
    cost = run_cost(facts, 1.0, 1.0, 0.0)
    known = silicon(7e-9)
    die = die_usd(1e-4, wafer_usd=known.wafer_usd, defects_per_m2=1100.0)
    assert cost.device_usd == pytest.approx(die + (known.mask_set_usd + known.design_usd) / 1e6)
    # More than a scanner exposes at once is several dies.
    wide = run_cost({**facts, "area": 10 * 800e-6}, 1.0, 1.0, 0.0)
    part = die_usd(800e-6, wafer_usd=known.wafer_usd, defects_per_m2=1100.0)
    assert wide.die_usd == pytest.approx(10 * part)
    few = run_cost({**facts, "volume": 1e3}, 1.0, 1.0, 0.0)
    assert few.masks_usd == pytest.approx(1e3 * cost.masks_usd)
    assert not unknown_costs(facts)
    assert set(unknown_costs({"price": 1.0})) == {"embodied"}
    assert set(unknown_costs({"area": 1e-4, "energy.node": 7e-9})) == {"price"}


@pytest.mark.parametrize("device", ["rtx_4090", "raspberry_pi_5", "h100"])
def test_metrics_of_a_prediction_follow_from_its_terms(device: str) -> None:
    decode = pm.workload("llama_3_8b", phase="decode", batch=4)
    p = pm.predict(decode, device, precision="w4a16")
    assert p.usd_per_million_tokens == pytest.approx(1e6 * p.cost_usd / 4)
    assert p.carbon_kg_per_million_tokens == pytest.approx(1e6 * p.carbon_kg / 4)
    assert p.usd_per_inference is None
    frame = pm.predict("resnet50", device, precision="int8")
    assert frame.usd_per_inference == pytest.approx(frame.cost_usd)
    assert frame.usd_per_million_tokens is None


def test_arrays_of_site_facts_equal_single_ones_and_move_the_right_way() -> None:
    board = pm.hardware("raspberry_pi_5")
    shares, grids = [0.1, 0.5, 1.0], ["norway", "world", "poland"]
    many = pm.predict("resnet18", board.vary({"site.utilization": shares}))
    assert (np.diff(many.cost_usd) < 0).all()
    assert (np.diff(many.carbon_kg) < 0).all()
    for i, share in enumerate(shares):
        one = pm.predict("resnet18", board.vary({"site.utilization": share}))
        assert many.cost_usd[i] == pytest.approx(one.cost_usd, rel=1e-12)
        assert many.latency_s[i] == one.latency_s
    carbon = [
        pm.predict("resnet18", board.vary({"site.carbon_intensity": grid})).cost.operation_kg
        for grid in grids
    ]
    assert carbon[2] / carbon[0] == pytest.approx(662 / 30)


def test_the_explanation_evaluates_to_the_numbers() -> None:
    machine = pm.hardware("rtx_4090").vary({"site.utilization": 0.3})
    p = pm.predict(pm.workload("llama_3_8b", phase="decode"), machine, precision="w4a16")
    lines = dict(re.findall(r"^(\w+) = (.*) = \S+$", explain_ownership(p), re.M))
    assert set(lines) == {"cost_usd", "carbon_kg"}
    for name, expression in lines.items():
        assert eval(expression, {}) == pytest.approx(getattr(p, name), rel=1e-8)
    assert explain_ownership(p) in p.explain()
    assert "money and carbon" not in pm.predict("resnet18", "rtx_4090").explain()
    cited = {each.reference.key: each.uses for each in p.cite().cited}
    assert "site.electricity_price" in cited["eia2023"]["costs"]
    assert "costs" not in {g for each in pm.cite("resnet18", "rtx_4090").cited for g in each.uses}


def test_a_device_without_a_price_says_so_wherever_costs_are_asked() -> None:
    free = pm.hardware("h100").model_copy(update={"price": None})
    p = pm.predict("resnet18", free.vary({"site.utilization": 0.3}))
    assert math.isnan(p.cost_usd)
    assert "no price is stated" in p.missing_reason("cost_usd")
    assert "no price is stated" in str(p)
    swept = pm.sweep("resnet18", free, metrics=["cost_usd"])
    assert np.isnan(swept["cost_usd"]).all()
    with pytest.raises(pm.InputError, match="no price is stated"):
        pm.solve("resnet18", free, "batch", "usd_per_inference <= 1 USD")
    assert "has no cost_usd: no price is stated" in str(pm.compare("resnet18", free, "rtx_4090"))
    with pytest.raises(pm.InputError, match="no price is stated"):
        p.plot.cost_over_utilization()


def test_a_price_is_solved_for_and_searched() -> None:
    answer = pm.solve("resnet18", "rtx_4090", "price", "usd_per_inference <= 1e-8 USD")
    machine = pm.hardware("rtx_4090").vary({"price": answer.value})
    assert pm.predict("resnet18", machine).usd_per_inference == pytest.approx(1e-8, rel=1e-3)


def test_pictures_show_the_end_points_of_their_metrics() -> None:
    p = pm.predict("resnet18", "raspberry_pi_5")
    curves: dict[str, Any] = {trace.name: trace for trace in p.plot.cost_over_utilization().data}
    full = pm.predict("resnet18", pm.hardware("raspberry_pi_5").vary({"site.utilization": 1.0}))
    assert curves["together"].y[-1] == pytest.approx(full.usd_per_inference)
    rare = pm.predict("resnet18", pm.hardware("raspberry_pi_5").vary({"site.utilization": 0.01}))
    assert curves["together"].y[0] == pytest.approx(rare.usd_per_inference)
    assert curves["electricity of waiting"].y[0] == pytest.approx(rare.cost.waiting_usd)
    heat: dict[str, Any] = {trace.name: trace for trace in p.plot.temperature().data}
    assert heat["full speed"].y[0] == pytest.approx(25.0)
    rising = heat["full speed"]
    assert np.interp(p.burst_s, rising.x, rising.y) == pytest.approx(80.0, abs=0.2)
    assert max(heat["as it throttles"].y) == pytest.approx(80.0)


def test_the_picture_of_costs_follows_the_period() -> None:
    board = pm.hardware("raspberry_pi_5").vary({"power.sleep": 0.1})
    p = pm.predict("resnet18", board.vary({"use.period": 1.0}))
    picture = p.plot.cost_over_utilization()
    curves: dict[str, Any] = {trace.name: trace for trace in picture.data}
    rare = pm.predict("resnet18", board.vary({"use.period": 100.0 * p.latency_s}))
    assert curves["together"].y[0] == pytest.approx(rare.usd_per_inference)
    assert curves["electricity of waiting"].y[0] == pytest.approx(rare.cost.waiting_usd)
    assert f"at {100 * p.latency_s:.4g} %" in str(picture.layout.title.text)


def test_a_fan_keeps_a_board_from_throttling() -> None:
    """A bare board reaches its limit within minutes under load; under the Active Cooler never."""
    decode = pm.workload("llama_3_2_1b", phase="decode")
    bare, cooled = (
        pm.predict(decode, device, precision="q4_0")
        for device in ("raspberry_pi_5", "raspberry_pi_5_active_cooler")
    )
    assert bare.latency_s == cooled.latency_s
    assert 60.0 < bare.burst_s < 600.0
    assert bare.sustained_speed < 1.0
    assert "more than the 6.18 W" in bare.burst_reason
    assert np.isinf(cooled.burst_s)
    assert "never throttles" in cooled.burst_reason
    assert cooled.sustained_latency_s == cooled.latency_s
    # Measured: idle boards without cooling are at some 50 degrees.
    facts = pm.hardware("raspberry_pi_5").machine()
    idle = 25.0 + facts["power.idle"] * facts["power.thermal_resistance"]
    assert idle == pytest.approx(50.0, abs=1.0)


@pytest.mark.parametrize("network", ["resnet50", "mobilenet_v2"])
def test_a_throttled_pi_5_is_still_faster_than_a_pi_4(network: str) -> None:
    """As its maker found ("Heating and cooling Raspberry Pi 5", 2023)."""
    older, bare = (
        pm.predict(network, f"raspberry_pi_{generation}", runtime="ncnn") for generation in (4, 5)
    )
    assert bare.latency_s < bare.sustained_latency_s < older.latency_s


def test_an_infinite_burst_is_never_said_without_its_reason() -> None:
    phone = pm.hardware("galaxy_s24")
    p = pm.predict("resnet18", phone)
    assert np.isinf(p.burst_s)
    assert "never throttles" in dict(p.glance())["sustained"]
    assert "never throttles" in p.to_dict()["thermal"]["burst_reason"]
    bare = pm.predict("resnet18", "eyeriss_256")
    assert math.isnan(bare.burst_s)
    assert "neither the device nor its class" in bare.missing_reason("burst_s")
    hot = pm.predict("resnet18", phone.vary({"power.ambient": 47.0}))
    assert hot.burst_s < 600.0
    assert "more than the 238.1 mW" in hot.burst_reason


def test_a_search_of_costs_is_proved_and_equals_predictions() -> None:
    """Costs are affine in latency and energy; of a die that holds its weights they are not."""
    answer = pm.search(
        "resnet18", "rtx_4090", choices={"weight_bits": [4, 8]}, objective="carbon_kg"
    )
    assert answer.proved
    assert answer.prediction is not None
    assert answer.prediction.carbon_kg == pytest.approx(answer.value, rel=1e-9)
    wires = pm.search(
        "resnet18", "hnlpu", choices={"weight_bits": [4, 8]}, objective="carbon_kg", evaluations=50
    )
    assert wires.prediction is not None
    assert wires.prediction.carbon_kg == pytest.approx(wires.value, rel=1e-9)


def test_a_server_pays_for_all_its_devices() -> None:
    one, two = (
        pm.serve("llama_3_8b", "h100", runtime="vllm", concurrency=8, tensor=tensor)
        for tensor in (1, 2)
    )
    price, used_s = 30000.0, 5 * _YEAR * 0.5
    for served, devices in ((one, 1), (two, 2)):
        cost = served.token_cost
        assert cost.depreciation_usd == pytest.approx(
            devices * price / used_s / float(served.tokens_per_s)
        )
        joules = float(served.energy_per_token_j) * 1.58
        assert cost.electricity_usd == pytest.approx(joules * 0.0804 / 3.6e6)
        assert served.usd_per_million_tokens == pytest.approx(1e6 * cost.cost_usd)
    many = pm.serve("llama_3_8b", "h100", runtime="vllm", concurrency=[1, 64])
    assert many.usd_per_million_tokens[1] < many.usd_per_million_tokens[0]


def test_a_spec_states_its_site_and_its_heirs_no_price(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        "schema_version: 1\nname: shop\nbase: rtx_4090\n"
        'site: {carbon_intensity: norway, lifetime: "3 years", utilization: 0.9}\n'
        "volume: 2000\nsource: ada_specs\nconfidence: datasheet\n"
    )
    shop = pm.hardware(tmp_path / "shop.yaml")
    machine = shop.machine()
    assert machine["site.carbon_intensity"] == pytest.approx(0.030 / 3.6e6)
    assert machine["site.lifetime"] == pytest.approx(3 * _YEAR)
    assert machine["site.electricity_price"] == pytest.approx(0.16 / 3.6e6)
    assert "price" not in machine
    p = pm.predict("resnet18", shop)
    # A die of 608 mm2 at 4 nm, masks and design of 5 nm by 2000.
    assert p.cost.device_usd == pytest.approx(p.cost.die_usd + (22.5e6 + 542.2e6) / 2000)
    assert not p.costs_asked
    cheaper = pm.predict("resnet18", pm.hardware("rtx_4090").vary({"site.utilization": 0.9}))
    assert cheaper.basis == pm.predict("resnet18", "rtx_4090").basis
    with pytest.raises(pm.InputError, match="norway"):
        pm.hardware("rtx_4090").vary({"site.carbon_intensity": "norwey"})
    with pytest.raises(pm.InputError, match=r"site\.utilization"):
        pm.hardware("rtx_4090").vary({"site.utilization": 1.2})


def test_cards_of_a_report_have_intervals_below_their_numbers() -> None:
    p = pm.predict("resnet18", "raspberry_pi_5", set={"site.utilization": 0.1})
    below = {label: (number, small) for label, number, small in headline_cards(p)}
    energy, spread = below["energy (wall)"]
    assert energy == show(p.energy_j, "energy")
    assert spread == f"{p.energy_basis}; 90 % in {p.interval('energy_j').show('energy')}"
    assert p.interval("usd_per_inference").show("price") in below["cost"][1]
    assert "90 % in" not in below
