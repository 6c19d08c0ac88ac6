"""Once-for-all MobileNetV3 and the space like MCUNet's."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.library import hardware
from perfmodel.predict import predict
from perfmodel.workload.nas_spaces import space

OFA = space("ofa_mobilenet_v3")
WIDE = space("ofa_mobilenet_v3", width_multiplier=1.2)
MCUNET = space("mcunet")


def test_sizes() -> None:
    # (9^2 + 9^3 + 9^4)^5, the paper's "2 x 10^19", for each of 25 resolutions.
    assert OFA.size == 25 * (9**2 + 9**3 + 9**4) ** 5
    assert OFA.size / 25 == pytest.approx(2e19, rel=0.1)
    with pytest.raises(OverflowError):
        len(OFA)
    # 108 outer configurations, as the paper counts them.
    assert MCUNET.size == 108 * 7371**5 * 9


def test_iteration_visits_each_architecture_once() -> None:
    # As many choices before the first change of the first depth as that depth leaves open.
    short = list(itertools.islice(OFA, 3000))
    assert all(OFA.canonical(choice) == choice for choice in short)
    assert len(set(short)) == len(short)
    assert short == sorted(short)


@pytest.mark.data
def test_graphs_measured_on_zen4(data: Path) -> None:
    folder = data / "cpu_zen4"
    known = json.loads((folder / "nas_archs.json").read_text())
    deployed = space("ofa_mobilenet_v3", batch_norm="folded")
    exact = seen = 0
    for model in sorted(m for m in known if m.startswith("ofa")):
        path = folder / "graphs" / f"{model}.json"
        if not path.exists():
            continue
        seen += 1
        entry = json.loads(path.read_text())
        choice = deployed.encode(known[model])
        work = deployed.workload(choice)
        graph = work.graph()
        file = [
            (tuple(map(float, n["in_shapes"][1])), float(n["macs"]))
            for n in entry["nodes"]
            if n["op"] in {"Conv", "Gemm"}
        ]
        ours = [
            (
                tuple(map(float, map(work.number, graph.tensors[op.reads[1]].shape))),
                float(work.number(op.macs)),
            )
            for _, op in graph.walk()
            if op.nests
        ]
        differ = [(a, b) for a, b in zip(file, ours, strict=True) if a != b]
        # The file rounds a quarter of 72 channels to 16; the published networks, which never round
        # down by more than a tenth, squeeze to 24.
        squeezed: list[Any] = [
            (((16, 72, 1, 1), 16 * 72), ((24, 72, 1, 1), 24 * 72)),
            (((72, 16, 1, 1), 16 * 72), ((72, 24, 1, 1), 24 * 72)),
        ]
        assert differ in ([], squeezed)
        assert work.macs - entry["macs"] == (2 * 8 * 72 if differ else 0)
        exact += not differ
        kinds = [dict(op.attributes).get("function", op.kind) for _, op in graph.walk()]
        nodes = [n["op"] for n in entry["nodes"]]
        for function, node in [
            ("add", "Add"),
            ("mul", "Mul"),
            ("relu", "Relu"),
            ("hard_swish", "HardSwish"),
            ("hard_sigmoid", "HardSigmoid"),
            ("pool", "GlobalAveragePool"),
        ]:
            assert kinds.count(function) == nodes.count(node)
    assert seen >= 15
    assert exact >= seen / 2


@pytest.mark.data
def test_published_networks_lie_within(data: Path) -> None:
    with (data / "measured" / "ofa_specialized_nets.csv").open() as file:
        rows = list(csv.DictReader(file))
    least, most = OFA.workload([0] * 46), WIDE.workload([24] + [2] * 45)
    assert len(rows) >= 20
    for row in rows:
        assert least.macs < float(row["macs_M"]) * 1e6 < most.macs
        assert least.weights < float(row["params_M"]) * 1e6 < most.weights
    with (data / "measured" / "tinyengine_mcunet.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["macs_M"]]
    last = len(MCUNET.decisions)
    least, most = MCUNET.workload([0] * last), MCUNET.workload([8, 11] + [2] * (last - 2))
    for row in rows:
        assert least.macs < float(row["macs_M"]) * 1e6 < most.macs
        assert least.weights < float(row["params_M"]) * 1e6 < most.weights


@pytest.mark.data
def test_entries_of_the_measured_file(data: Path) -> None:
    with gzip.open(data / "measured" / "help_ofa_latency.csv.gz", "rt") as file:
        texts = [row["arch"] for row in csv.DictReader(file)]
    assert len(texts) == 5000
    for text in texts:
        choice = OFA.encode(text)
        assert json.loads(OFA.decode(choice)) == json.loads(text)


def test_resolution_is_a_free_dimension() -> None:
    choice = OFA.sample(1, 3)[0].tolist()
    small, large = [0, *choice[1:]], [24, *choice[1:]]
    assert OFA.workload(small).graph() is OFA.workload(large).graph()
    assert OFA.parameters(small) == {"batch": 1, "height": 128, "width": 128}
    assert OFA.graph(large).defaults["height"] == 224
    assert OFA.canonical(small) != OFA.canonical(large)
    swept = OFA.workload(small, height=[128.0, 224.0], width=[128.0, 224.0])
    found = predict(swept, hardware("zen4_core")).latency_s
    for at, there in enumerate((small, large)):
        alone = predict(OFA.workload(there), hardware("zen4_core")).latency_s
        assert found[at] == pytest.approx(alone, rel=1e-12)
    assert OFA.binds == (0,)
    assert MCUNET.binds == (1,)
    assert all(not set(s.decisions) & set(OFA.binds) for s in OFA.segments)


def test_left_out_blocks_decide_nothing() -> None:
    entry = {"ks": [3] * 20, "e": [3] * 20, "d": [2, 2, 3, 2, 4], "r": 160}
    other = {**entry, "ks": [3, 3, 7, 5, *[3] * 16], "e": [3] * 11 + [6] + [3] * 8}
    a, b = OFA.encode(entry), OFA.encode(other)
    assert a != b
    assert OFA.canonical(a) == OFA.canonical(b)
    assert OFA.graph(a) is OFA.graph(b)
    third = {**entry, "ks": [3, 3, 3, 3, 5, *[3] * 15]}
    assert OFA.canonical(OFA.encode(third)) != OFA.canonical(a)
    names = [block.name for block in OFA.graph(a).blocks]
    assert "stage3.block3" in names
    assert "stage1.block3" not in names


def test_stages_and_lists_name_the_same_network() -> None:
    stages = [
        [[5, 6], [7, 3]],
        [[3, 4], [3, 6], [7, 3]],
        [[3, 3]] * 4,
        [[7, 3], [7, 6]],
        [[3, 3], [3, 6]],
    ]
    ks = [5, 7, 3, 3, 3, 3, 7, 3, 3, 3, 3, 3, 7, 7, 3, 3, 3, 3, 3, 3]
    e = [6, 3, 3, 3, 4, 6, 3, 3, 3, 3, 3, 3, 3, 6, 3, 3, 3, 6, 3, 3]
    one = OFA.encode({"r": 224, "stages": stages})
    assert one == OFA.encode({"r": [224], "ks": ks, "e": e, "d": [2, 3, 4, 2, 2]})


def test_the_smallest_once_for_all_by_hand() -> None:
    """Kernel 3, expansion 3, depth 2 at 128 x 128, added up from the paper's table of stages."""
    size = 64
    total = size**2 * (27 * 16 + 9 * 16 + 16 * 16)
    weights = 27 * 16 + 9 * 16 + 16 * 16
    inputs = 16
    for outputs, stride, squeeze in [(24, 2, 0), (40, 2, 1), (80, 2, 0), (112, 1, 1), (160, 2, 1)]:
        for block in range(2):
            inner = 3 * inputs
            total += size**2 * inputs * inner
            size //= 1 if block else stride
            total += size**2 * (9 * inner + inner * outputs)
            weights += inputs * inner + 9 * inner + inner * outputs
            if squeeze:
                hidden = {72: 24, 120: 32, 240: 64, 336: 88, 480: 120}[inner]
                total += 2 * inner * hidden
                weights += 2 * inner * hidden
            inputs = outputs
    total += size**2 * 160 * 960 + 960 * 1280 + 1280 * 1000
    weights += 160 * 960 + 960 * 1280 + 1280 * 1000
    work = OFA.workload([0] * 46)
    assert work.macs == total
    graph = work.graph()
    kernels = sum(
        graph.tensors[name].elements
        for name in graph.stored_weights()
        if graph.tensors[name].tag != "vector"
    )
    assert kernels == weights


def test_mobilenet_v2_is_in_the_space_of_its_channels() -> None:
    there = space("mcunet", channels="mobilenet_v2", mix=True)
    choice = there.encode({"w": 1.0, "r": 224, "ks": [3] * 21, "e": [6] * 21, "d": [2, 3, 4, 3, 3]})
    work = there.workload(choice)
    # torchvision: 300.77 M multiply-accumulates, 3,504,872 parameters.
    assert work.weights == 3504872
    assert work.macs == pytest.approx(300.77e6, rel=1e-4)


def test_widths_round_to_multiples_of_eight() -> None:
    for width, option in [(0.2, 0), (0.5, 3), (1.0, 8)]:
        graph = MCUNET.graph([option, 0, *[0] * 47])
        outputs = [graph.tensors[b.operators[-1].writes[0]].shape[1] for b in graph.blocks[:-1]]
        assert all(n % 8 == 0 for n in outputs)  # type: ignore[operator]
        assert outputs[-1] == 320 * width


def test_microcontrollers_run_it_in_int8() -> None:
    device = hardware("stm32h743")
    slow = predict(MCUNET.workload([3, 5] + [2] * 47), device, precision="int8").latency_s
    fast = predict(MCUNET.workload([0] * 49), device, precision="int8").latency_s
    assert 0 < fast < slow


def test_all_faults_of_an_entry() -> None:
    entry = {"ks": [3] * 19 + [4], "e": [3] * 19, "d": [2, 2, 5, 2, True], "res": 224}
    with pytest.raises(InputError) as caught:
        OFA.encode(entry)
    assert {fault.path for fault in caught.value.faults} == {
        "ks.19",
        "e",
        "d.2",
        "d.4",
        "res",
        "r",
    }
    with pytest.raises(InputError, match="did you mean '224'"):
        OFA.encode({"ks": [3] * 20, "e": [3] * 20, "d": [2] * 5, "r": 230})
    with pytest.raises(InputError) as caught:
        OFA.encode({"r": 224, "stages": [[[3, 3]] * 5, 7, [[3]], [[3, 3]] * 2]})
    assert len(caught.value.faults) >= 4
    with pytest.raises(InputError, match="w: is missing"):
        MCUNET.encode({"ks": [3] * 21, "e": [3] * 21, "d": [2] * 5, "r": 96})
