"""Plans: what is looped, what is batched, what applies to whom, and every fault at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.settings import FaultList
from perfmodel.sweep.plan import CHUNK, METRICS, make_plan


def rows_of(plan: Any) -> int:
    return sum(case.points for case in plan.cases)


def test_numbers_are_batched_and_categories_are_looped() -> None:
    plan = make_plan(
        "llama_3_8b",
        "a100,h100",
        {
            "batch": [1, 2, 4],
            "precision": ["fp16", "w4a16"],
            "layers": [16, 32],
            "memories.main.bandwidth": "1 TB/s,2 TB/s",
            "weight_bits": [4, 8],
        },
    )
    assert len(plan.cases) == 2 * 2 * 2
    assert {case.shape for case in plan.cases} == {(3, 2, 2)}
    assert plan.points == 96
    assert plan.axis_columns == (
        "device",
        "batch",
        "precision",
        "layers",
        "memories.main.bandwidth",
        "weight_bits",
    )


def test_an_axis_of_another_workload_or_phase_is_left_out_there() -> None:
    plan = make_plan("llama_3_8b,resnet18", "a100", {"batch": [1, 2], "context": [512, 1024]})
    assert [case.points for case in plan.cases] == [4, 2]
    assert plan.notes == ("context does not apply to resnet18",)
    plan = make_plan(
        "llama_3_8b", "a100", {"phase": "decode,prefill", "context": "1..3", "prompt": "1..5"}
    )
    assert {case.categories["phase"]: case.points for case in plan.cases} == {
        "decode": 3,
        "prefill": 5,
    }


def test_zipped_axes_advance_together_categories_among_them() -> None:
    settings = {"batch": [1, 2, 4], "context": [10, 20, 30], "precision": "fp16,w8a8"}
    plan = make_plan("llama_3_8b", "a100", settings, zip=["batch,context"])
    assert plan.points == 6
    numbers = plan.cases[0].numbers(plan.cases[0].steps(0, 3))
    assert numbers["context"].tolist() == [10, 20, 30]
    mixed = {"precision": ["fp16", "w8a8", "fp16"], "batch": [1, 2, 4]}
    plan = make_plan("llama_3_8b", "a100", mixed, zip=[("precision", "batch")])
    found = {
        c.categories["precision"]: c.numbers(c.steps(0, c.points))["batch"].tolist()
        for c in plan.cases
    }
    assert found == {"fp16": [1, 4], "w8a8": [2]}


def test_structure_zipped_with_numbers() -> None:
    plan = make_plan(
        "llama_3_8b", "a100", {"layers": [8, 16, 8], "batch": [1, 2, 4]}, zip=["layers,batch"]
    )
    found = {
        c.categories["layers"]: c.numbers(c.steps(0, c.points))["batch"].tolist()
        for c in plan.cases
    }
    assert found == {8: [1, 4], 16: [2]}


def test_chunks_cover_every_point_once() -> None:
    plan = make_plan("llama_3_8b", "a100,h100", {"batch": np.arange(1, 201), "context": "1..123"})
    assert plan.points == 2 * 200 * 123
    seen = [np.zeros(case.points, dtype=int) for case in plan.cases]
    for chunk in plan.chunks:
        assert sum(stop - start for _, start, stop in chunk) <= CHUNK
        for case, start, stop in chunk:
            seen[case][start:stop] += 1
    assert all((count == 1).all() for count in seen)


def test_a_sample_takes_points_of_the_grid() -> None:
    settings = {"batch": "1..64", "precision": "fp16,w4a16", "context": "uniform(16, 4096)"}
    plan = make_plan("llama_3_8b", "a100", settings, sobol=64, seed=3)
    assert plan.points == 64
    assert {case.categories["precision"] for case in plan.cases} == {"fp16", "w4a16"}
    with pytest.raises(InputError, match="continuous interval"):
        make_plan("llama_3_8b", "a100", {"context": "uniform(16, 4096)"})


def test_of_several_runtimes_a_device_takes_those_meant_for_it() -> None:
    plan = make_plan("llama_2_7b", "apple_m1,a100", {"runtime": "llama_cpp_metal,llama_cpp_cuda"})
    found = {(case.device, case.categories["runtime"]) for case in plan.cases}
    assert found == {(0, "llama_cpp_metal"), (1, "llama_cpp_cuda")}
    assert len(plan.notes) == 2


def test_devices_are_taken_once_and_tags_stand_for_several() -> None:
    plan = make_plan("resnet18", ["a100", "a100_80gb", "tag:datacenter"])
    names = [pm.hardware(ref).name for ref in plan.devices]
    assert names.count("a100") == 1
    assert "h100" in names


def test_all_faults_at_once() -> None:
    faults = FaultList()
    with pytest.raises(InputError) as caught:
        make_plan(
            "llama_3_8b,lama",
            "a100,a1000,tag:fone",
            {
                "bacth": [1],
                "memories.main.bandwith": [1e9],
                "memories.main.capacity": "5 GB/s",
                "batch": "0,1",
                "precision": "w4a,fp16",
                "runtime": "vlm",
                "weight_bits": [0],
                "context": "1..x",
            },
            zip=["batch,y"],
            metrics=["latency"],
            faults=faults,
            place="--set",
        )
    text = str(caught.value)
    for part in (
        "no workload is named 'lama'",
        "no device is named 'a1000'",
        "did you mean 'tag:phone'",
        "did you mean 'batch'",
        "did you mean 'memories.main.bandwidth'",
        "5 GB/s' is a bandwidth",
        "is not an extent",
        "'w4a' is not a precision",
        "no runtime is named 'vlm'",
        "weight_bits: has an entry that is not a number of bits",
        "'x' is not a number",
        "no axis 'y'",
        "did you mean 'latency_s'",
    ):
        assert part in text, part


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"nothing": [1, 2]}, "nothing"),
        ({"memories.hbn.bandwidth": [1e9]}, "apple_m1: no such fact"),
        ({"phase": "decoding"}, "phase"),
        ({"batch": "one,two"}, "batch"),
        ({"precision": "fp16", "device": "a11"}, "no device is named 'a11'"),
        ({"engine": "gppu"}, "has no engine 'gppu'"),
        ({"model": "rooflin"}, "did you mean 'roofline'"),
        ({"memories.main.bandwidth": ["slow"]}, "is not a bandwidth"),
    ],
)
def test_each_fault_names_its_axis(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan("llama_3_8b", "a100,apple_m1", settings)


def test_nothing_to_do_is_a_fault() -> None:
    with pytest.raises(InputError) as caught:
        make_plan([], [])
    assert len(caught.value.faults) == 2


def test_sizes_alone_cannot_be_swept(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text('{"unit": 1, "ops": []}')
    with pytest.raises(InputError):
        make_plan(str(path), "a100")


def test_an_option_given_twice_is_a_fault() -> None:
    with pytest.raises(InputError, match="'precision' is given twice"):
        make_plan("resnet18", "a100", {"precision": ["fp16"]}, options={"precision": "int8"})


def test_the_fingerprint_follows_what_results_depend_on() -> None:
    base = make_plan("resnet18", "a100", {"batch": [1, 2]})
    assert base.fingerprint == make_plan("resnet18", "a100", {"batch": "1,2"}).fingerprint
    others = [
        make_plan("resnet18", "a100", {"batch": [1, 3]}),
        make_plan("resnet18", "h100", {"batch": [1, 2]}),
        make_plan("resnet50", "a100", {"batch": [1, 2]}),
        make_plan("resnet18", "a100", {"batch": [1, 2]}, metrics=["latency_s"]),
        make_plan("resnet18", "a100", {"batch": [1, 2]}, options={"warm": True}),
        make_plan("resnet18", pm.hardware("a100").vary({"power.busy": 300.0}), {"batch": [1, 2]}),
    ]
    assert len({base.fingerprint, *(p.fingerprint for p in others)}) == 7


def test_columns_are_the_plans(tmp_path: Path) -> None:
    plan = make_plan("resnet18", "a100", {"batch": [1], "memories.main.bandwidth": [1e12]})
    assert list(plan.columns) == [
        "workload",
        "device",
        "runtime",
        "precision",
        "batch",
        "memories.main.bandwidth",
        *METRICS,
    ]
    assert plan.columns["memories.main.bandwidth"] == "bandwidth"
