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
