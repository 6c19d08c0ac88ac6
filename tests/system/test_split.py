"""Split computing: cuts by brute force, rows, exact break points, physics, faults with places."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.system.split.cuts import CONVERSION_OPS, SplitLink, every_cut
from perfmodel.system.split.envelope import envelope
from perfmodel.system.split.mincut import least_cut
from perfmodel.system.split.run import rates_of
from perfmodel.system.split.stages import StageActivation, Stages
from tests.draws import draws

MBIT = 1e6 / 8
RATES = "logspace(1 Mbit/s, 1 Gbit/s, 40)"


@dataclass
class Side:
    """What a minimum cut asks of a side, for networks of a few numbers."""

    seconds: np.ndarray
    vector_ops_per_s: float = 1e9

    def bytes_of(self, graph: Any, tensor: str, elements: float) -> float:
        return 4.0 * elements


@st.composite
def networks(draw: Any) -> tuple[Stages, Side, Side, SplitLink, float]:
    """A graph of at most seven stages in which every stage reads something made before it."""
    count = draw(st.integers(1, 7))
    number = st.floats(1e-4, 1.0)
    readers: dict[int, set[int]] = {maker: set() for maker in range(-1, count)}
    for stage in range(count):
        for maker in draw(st.sets(st.integers(-1, stage - 1), min_size=1, max_size=3)):
            readers[maker].add(stage)
    flows = [
        StageActivation(
            f"t{maker}",
            maker,
            tuple(sorted(read)),
            maker >= 0 and (not read or draw(st.booleans())),
            draw(st.floats(1.0, 1e6)),
            draw(st.booleans()),
        )
        for maker, read in readers.items()
        if read or maker >= 0
    ]
    stages = Stages(
        SimpleNamespace(),
        tuple((f"s{i}",) for i in range(count)),  # type: ignore[arg-type]
        tuple(flows),
        {},
        {},
    )
    sides = [
        Side(np.array(draw(st.lists(number, min_size=count, max_size=count)))) for _ in range(2)
    ]
    bits = draw(st.sampled_from([None, 8.0, 4.0]))
    down = draw(st.sampled_from([None, 1e6]))
    return (
        stages,
        sides[0],
        sides[1],
        SplitLink(0.9, 0.0, down, bits=bits),
        draw(st.floats(1e5, 1e9)),
    )


def by_hand(
    stages: Stages, device: Side, server: Side, channel: SplitLink, rate: float, local: set[int]
) -> float:
    """Seconds of a cut, tensor by tensor."""
    total = sum(device.seconds[s] if s in local else server.seconds[s] for s in range(stages.count))
    for flow in stages.flows:
        plain = flow.fixed or channel.bits is None
        size = flow.elements * (4.0 if plain else channel.bits / 8.0)  # type: ignore[operator]
        both = 0.0 if plain else 2 * CONVERSION_OPS * flow.elements / 1e9
        here = flow.maker < 0 or flow.maker in local
        if here and any(r not in local for r in flow.readers):
            total += size / (rate * channel.efficiency) + both
        if flow.wanted and not here:
            down = channel.down_bytes_per_s or rate
            total += size / (down * channel.efficiency) + both
    return total


@settings(max_examples=draws(60))
@given(networks())
def test_a_minimum_cut_is_the_least_of_all_subsets(
    made: tuple[Stages, Side, Side, SplitLink, float],
) -> None:
    stages, device, server, channel, rate = made
    before = stages.before()
    valid = [
        set(chosen)
        for size in range(stages.count + 1)
        for chosen in itertools.combinations(range(stages.count), size)
        if all(before[s] <= set(chosen) for s in chosen)
    ]
    listed = every_cut(stages, 1000)
    assert listed is not None
    assert sorted(listed) == sorted(sum(1 << s for s in local) for local in valid)
    values = [by_hand(stages, device, server, channel, rate, local) for local in valid]
    bits = least_cut(stages, device, server, channel, 1 / (rate * channel.efficiency))  # type: ignore[arg-type]
    found = {s for s in range(stages.count) if bits >> s & 1}
    assert found in valid
    assert by_hand(stages, device, server, channel, rate, found) == pytest.approx(
        min(values), rel=1e-9
    )


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=12))
@example([(0.0, 1.1125369292536007e-308), (1.0, 0.0)])
def test_an_envelope_is_the_least_line_everywhere(lines: list[tuple[float, float]]) -> None:
    a, b = (np.array(side) for side in zip(*lines, strict=True))
    found = envelope(a, b)
    assert found[0][1] == 0.0
    assert found[-1][2] == np.inf
    assert [end for *_, end in found[:-1]] == [begin for _, begin, _ in found[1:]]
    for line, begin, end in found:
        if begin > 1e100:  # where slopes differ by next to nothing
            continue
        for x in (begin, min(end, begin + 1.0), 0.5 * (begin + min(end, begin + 1.0))):
            assert a[line] + b[line] * x <= np.min(a + b * x) + 1e-9 * (1 + x)


@pytest.fixture(scope="module")
def branched() -> Any:
    return pm.split(
        "googlenet", "raspberry_pi_4", "rtx_4090", rate=RATES, latency="5 ms", link_format="int8"
    )


def test_minimum_cuts_and_all_cuts_agree_on_a_network_with_branches(branched: Any) -> None:
    """Inception modules have four branches: 497 cuts, of which 83 are along the order."""
    assert branched.complete
    assert branched.cuts.count > branched.stages.count + 1
    found = pm.split(
        "googlenet",
        "raspberry_pi_4",
        "rtx_4090",
        rate=RATES,
        latency="5 ms",
        link_format="int8",
        method="min_cut",
    )
    assert not found.complete
    assert found.proved
    assert found.latency_s.min(axis=0) == pytest.approx(branched.latency_s.min(axis=0), rel=1e-12)
    changes = [r.to_bytes_per_s for r in branched.ranges]
    assert [r.to_bytes_per_s for r in found.ranges] == pytest.approx(changes)


def test_a_part_takes_the_sum_of_its_rows_in_predict(branched: Any) -> None:
    device, server = pm.hardware("raspberry_pi_4"), pm.hardware("rtx_4090")
    sides = [pm.predict(pm.workload("googlenet"), each) for each in (device, server)]
    wanted: list[dict[str, float]] = []
    for p in sides:
        own: dict[str, float] = {}
        conversion_s = 0.0
        for names, seconds in zip(p.kernels, p.table["total_s"], strict=True):
            if " to " in names[0]:  # a change of layout runs before its first reader
                conversion_s += float(seconds)
                continue
            each = (float(seconds) + conversion_s) / len(names)
            own.update(dict.fromkeys(names, each))
            conversion_s = 0.0
        wanted.append(own)
    assert branched.cuts.device_s[branched.local] == pytest.approx(sides[0].latency_s, rel=1e-12)
    for k in range(0, branched.cuts.count, 29):
        local = branched.cuts.local[k]
        parts = [0.0, 0.0]
        for stage, members in enumerate(branched.stages.members):
            side = 0 if local[stage] else 1
            parts[side] += sum(wanted[side][name] for name in members)
        names = set(branched.cuts.crossing[k])
        moved = sum(f.elements for f in branched.stages.flows if f.tensor in names)
        moved += 1000 * (not local.all())
        for side, seconds, costs in (
            (0, branched.cuts.device_s[k], branched.device),
            (1, branched.cuts.server_s[k], branched.server),
        ):
            once = sides[side].once_a_run_s * bool(local.any() if side == 0 else not local.all())
            conversion = CONVERSION_OPS * moved / costs.vector_ops_per_s
            assert seconds == pytest.approx(parts[side] + once + conversion, rel=1e-9), (k, side)


@pytest.mark.parametrize("objective", ["latency_s", "throughput"])
def test_break_points_are_those_of_a_dense_sweep(objective: str) -> None:
    rates = np.geomspace(0.1 * MBIT, 2000 * MBIT, 4001)
    s = pm.split(
        "mobilenet_v2",
        "galaxy_s7",
        "rtx_4090",
        rate=rates,
        latency=0.005,
        link_format="int8",
        input_bytes="30 kB",
        objective=objective,
    )
    values = s.latency_s if objective == "latency_s" else s.period_s
    assert len(s.ranges) >= 3
    assert s.ranges[0].from_bytes_per_s == 0.0
    assert s.ranges[-1].to_bytes_per_s == np.inf
    for one, two in itertools.pairwise(s.ranges):
        assert one.to_bytes_per_s == two.from_bytes_per_s
    for r in s.ranges:
        inside = (rates >= r.from_bytes_per_s) & (rates <= r.to_bytes_per_s)
        assert values[r.cut, inside] == pytest.approx(values[:, inside].min(axis=0), rel=1e-12)
    if objective == "latency_s":
        # The best cut sends no less as the link gets faster.
        sent = [s.cuts.up_bytes[r.cut] + s.cuts.down_bytes[r.cut] for r in s.ranges]
        assert sent == sorted(sent)


def test_physics_of_the_link(branched: Any) -> None:
    best = branched.latency_s.min(axis=0)
    assert (np.diff(branched.latency_s, axis=1) <= 1e-15).all()
    assert (best <= branched.latency_s[branched.local] + 1e-15).all()
    assert (best <= branched.latency_s[branched.remote] + 1e-15).all()
    # A period is no longer than a run, and no run is shorter than its parts.
    assert (branched.period_s <= branched.latency_s + 1e-15).all()
    assert (branched.latency_s >= (branched.cuts.device_s + branched.cuts.server_s)[:, None]).all()
    assert branched.cuts.up_bytes[branched.local] == 0.0
    assert branched.cuts.up_bytes[branched.remote] == 3 * 224 * 224
    assert branched.cuts.down_bytes[branched.remote] == 1000
    wide = pm.split("googlenet", "raspberry_pi_4", "rtx_4090", rate=RATES, latency="5 ms")
    assert wide.cuts.up_bytes[wide.remote] == 4 * 3 * 224 * 224
    late = pm.split("googlenet", "raspberry_pi_4", "rtx_4090", rate=RATES, latency="9 ms")
    assert late.latency_s[late.remote] - wide.latency_s[wide.remote] == pytest.approx(0.008)
    assert late.latency_s[late.local] == pytest.approx(wide.latency_s[wide.local])


def test_a_phone_with_an_accelerator_keeps_all_and_a_slow_one_sends_more_as_rates_grow() -> None:
    """Kang et al., ASPLOS 2017: the faster the link, the earlier the cut."""
    fast = pm.split("resnet50", "snapdragon_8_gen_3", "rtx_4090", rate="1..50 Mbit/s")
    assert set(fast.best.tolist()) == {fast.local}
    slow = pm.split("alexnet", "galaxy_s7", "rtx_4090", rate="1..500 Mbit/s", latency="5 ms")
    names = [r.name for r in slow.ranges]
    assert names == ["all on the device", "after pool1", "all on the server"]


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
    assert any(f"class {kind} (assumed)" in note for note in s.notes)
    device = [joule for name, joule in terms.items() if name not in ("server", "network")]
    assert float(s.energy_j[k, 0]) == pytest.approx(sum(device))
    # On the device no radio is used at all.
    assert float(s.energy_j[s.local, 0]) == pytest.approx(float(s.cuts.device_j[s.local]))


def test_rates_from_which_sending_beats_computing_are_those_of_all_cuts() -> None:
    """Break points of the device's energy, from the closed form of every cut at 4001 rates."""
    rates = np.geomspace(0.1 * MBIT, 2000 * MBIT, 4001)
    s = pm.split(
        "mobilenet_v2",
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
    facts = {"power.idle": "20 mW", "power.battery": "10 Wh"}
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
        assert terms["sleeping"] == pytest.approx(0.02 * left_s)
        # A radio that is still awake when the next run sends needs not be woken.
        woken = k == s.remote and tail_s >= 11.576
        assert terms["wake"] == pytest.approx(1.2107 * 0.2601 * woken)
        drawn = float(s.energy_per_period_j[k, 0])
        assert drawn == pytest.approx(float(s.energy_j[k, 0]) + terms["sleeping"])
        assert s.average_power_w[k, 0] == pytest.approx(drawn / period)
        assert s.battery_hours[k, 0] * drawn / period == pytest.approx(10.0)
        assert s.battery_runs[k, 0] * drawn == pytest.approx(36e3)
        assert s.battery_share_in_an_hour[k, 0] == pytest.approx(drawn * 3600 / period / 36e3)


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
    assert "none fits" in str(none)


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
    assert any("class wifi (assumed)" in note for note in two.notes)


def test_faults_of_links_and_periods_name_them() -> None:
    with pytest.raises(InputError) as caught:
        pm.split(
            "alexnet", "galaxy_s7", "rtx_4090", link="wify", rate=1e6, period="1 x", boundary="all"
        )
    assert {f.path for f in caught.value.faults} == {"link", "period", "boundary"}
    assert any(f.suggestion == "wifi" for f in caught.value.faults)


def test_what_fits_no_side_is_a_result_and_what_fits_one_goes_there() -> None:
    s = pm.split("llama_3_8b", "galaxy_s7", "stm32f746", rate="20 Mbit/s")
    assert not s.feasible
    assert s.best.tolist() == [-1]
    assert {v.limit for v in s.violations} >= {"memories.dram.capacity", "memories.flash.capacity"}
    assert s.ranges == []
    mixed = pm.split("resnet50", "stm32f746", "rtx_4090", rate="1 Mbit/s")
    assert not mixed.cuts.fits[mixed.local]
    assert mixed.cuts.fits[mixed.remote]
    assert mixed.feasible
    alone = pm.predict(pm.workload("resnet50"), pm.hardware("rtx_4090"))
    assert mixed.cuts.server_bytes[mixed.remote] == pytest.approx(alone.peak_memory_bytes, rel=0.02)


def test_caches_stay_with_their_layers() -> None:
    s = pm.split(
        "llama_3_8b",
        "apple_m2_max",
        "rtx_4090",
        precision="w4a16",
        rate="1 Gbit/s",
        set={"context": 512, "layers": 4},
    )
    for name, (touched, _) in s.stages.caches.items():
        assert len(touched) == 1, name
    k = next(i for i in range(s.cuts.count) if 0 < s.cuts.local[i].sum() < s.stages.count)
    assert 0 < s.cuts.up_bytes[k] < 1e5


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1..3 Mbit/s", [1, 2, 3]),
        ("1 Mbit/s..5 Mbit/s:2 Mbit/s", [1, 3, 5]),
        ("20 Mbit/s,40 Mbit/s", [20, 40]),
        ("8 Mbit/s", [8]),
        ("1 Mbit/s..2 Mbit/s", [1, 2]),
    ],
)
def test_rates_are_read_with_their_units(text: str, wanted: list[float]) -> None:
    assert rates_of(text) == pytest.approx([w * MBIT for w in wanted])


@pytest.mark.parametrize("text", ["10", "10,20", "1..50", "1e6", "10,20 Mbit/s"])
def test_a_rate_in_words_has_its_unit(text: str) -> None:
    with pytest.raises(InputError, match=r"has no unit.*Mbit/s"):
        rates_of(text)


def test_faults_come_all_at_once() -> None:
    with pytest.raises(InputError) as caught:
        pm.split(
            "resnet5",
            "galaxy_s77",
            "rtx_4090",
            rate="0 Mbit/s",
            latency="5 m",
            link_format="int8x",
            objective="latency",
            method="all",
            efficiency=1.5,
        )
    said = [f.message for f in caught.value.faults]
    assert len(said) == 8
    assert "no workload is named 'resnet5'" in said
    with pytest.raises(InputError, match="a split is of one network"):
        pm.split(pm.workload("resnet50", batch=np.array([1, 2])), "galaxy_s7", "rtx_4090", rate=1e6)
    with pytest.raises(InputError, match="names its devices"):
        pm.split("resnet50", "galaxy_s7", system="nowhere.yaml", rate=1e6)
    with pytest.raises(InputError, match="not of energy_j"):
        pm.split(
            "resnet50", "galaxy_s7", "rtx_4090", rate=1e6, objective="energy_j", method="min_cut"
        )


def test_a_system_file_is_checked_with_places(checkout: Path, tmp_path: Path) -> None:
    text = (checkout / "examples" / "pi_and_gpu_over_wifi.yaml").read_text()
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        text.replace("source: radio", "source: radoi")
        .replace("latency:", "latncy:")
        .replace("18.88 Mbit", "18.88 MBt", 1)
    )
    with pytest.raises(InputError) as caught:
        pm.split("resnet50", system=bad)
    places = [(f.line, f.column, f.path) for f in caught.value.faults]
    assert places == [(8, 14, "link.bandwidth"), (10, 3, "link.latncy"), (15, 11, "link.source")]


def test_the_plot_draws_what_the_result_says(branched: Any) -> None:
    figure: Any = branched.plot.latency(cuts=3)
    best = next(t for t in figure.data if t.meta["cut"] == -1)
    assert best.y[0] == pytest.approx(branched.latency_s[:, 0].min())
    assert best.y[-1] == pytest.approx(branched.latency_s[:, -1].min())
    assert "all on the server" in figure.layout.meta["alt"]
    assert "all on the device" in branched._repr_html_()


@pytest.mark.parametrize("rate", [0, 20, 39])
def test_a_cut_is_a_plan_of_the_graph(branched: Any, rate: int) -> None:
    plan = branched.to_plan(rate)
    assert plan.check(branched.stages.graph) == []
    k = branched.best[rate]
    assert (len(set(plan.devices)) == 2) == (0 < branched.cuts.local[k].sum() < 82)
    crossing = set(branched.cuts.crossing[k])
    made = {t.tensor for t in plan.transfers}
    assert made <= crossing
    # Inputs of the network are no transfer: nothing has made them.
    sent = sum(t.size_bytes for t in plan.transfers)
    if "image" not in crossing:
        assert sent == branched.cuts.up_bytes[k]


def test_a_middle_cut_is_a_plan_with_its_transfer() -> None:
    s = pm.split(
        "mobilenet_v2",
        "galaxy_s7",
        "rtx_4090",
        rate="10 Mbit/s",
        latency="5 ms",
        link_format="int8",
    )
    plan = s.to_plan()
    assert plan.check(s.stages.graph) == []
    (sent,) = plan.transfers
    assert (sent.source, sent.target) == ("galaxy_s7", "rtx_4090")
    assert sent.size_bytes == s.cuts.up_bytes[s.best[0]]
    assert [p.device for p in plan.order[:2]] == ["galaxy_s7", "galaxy_s7"]
    assert plan.order[-1].device == "rtx_4090"
