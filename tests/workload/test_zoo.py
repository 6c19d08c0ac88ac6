"""Networks of the vendors' model zoos: the counts that the vendors state, and shapes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import InputError
from perfmodel.specfile import read
from perfmodel.workload.families import family_files
from perfmodel.workload.library import find
from tests.offenders import each

#: Rows whose count is more than 2 % off, and why.
OTHER_COUNTS = {
    "mobilenet_v3": "no variant of the paper has 2 G operations",
    "clip_vit_l_14_336_image_encoder": "the row repeats the count at 224 pixels",
    "clip_vit_l_14_text_encoder": "with the projection of every token",
    "clip_vit_l_14_laion2b_text_encoder": "with the projection of every token",
    "yolov8s_seg": "Ultralytics counts transposed convolutions by their outputs",
    "yolov8m_seg": "Ultralytics counts transposed convolutions by their outputs",
    "ssd_mobilenet_v2": "the table's is SSDLite",
    "yolov3": "with a pyramid of pools (68.8 M parameters)",
    "yolov5s": "release 3.1: yolov5s_r3",
    "yolov5m": "release 3.1: yolov5m_r3",
    "deit_tiny": "2.4 % above the products of the paper's layers",
    "deit_small": "2.2 % above the products of the paper's layers",
    "vit_tiny": "below the products of the paper's layers and below the same layers' DeiT row",
    "vit_small": "below the products of the paper's layers and below the same layers' DeiT row",
    "inception_v1": "3 G, rounded",
    "fastvit_sa12": "11.99 M parameters: its branches are not merged",
}


def _rows(data: Path) -> list[dict[str, str]]:
    with (data / "measured" / "hailo_model_zoo.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.data
def test_operations_are_those_that_hailo_states(data: Path) -> None:
    """Two operations a multiply-accumulate; names of the table that are names of the library."""
    seen: dict[str, float] = {}
    for row in _rows(data):
        name = row["model"].rstrip("⭐").lower().replace(".", "_")
        if name in seen or row["model"] in OTHER_COUNTS or name in OTHER_COUNTS:
            continue
        try:
            net = find(name)
        except InputError:
            continue
        size = row["input"].split("x")
        if (
            {"height", "width"} <= net.parameters.keys()
            and len(size) == 3
            and "," not in row["input"]
        ):
            if net.origin.endswith("r3d_18.yaml"):
                continue
            net = net.bind({"height": int(size[0]), "width": int(size[1])})
        seen[name] = 2 * float(net.macs) / 1e9 / float(row["ops_g"]) - 1
    wrong = {k: round(v, 3) for k, v in seen.items() if abs(v) > 0.02}
    assert len(seen) > 80
    assert wrong == {}


def _detectors() -> dict[str, dict[str, Any]]:
    data, _ = read(family_files()["yolo"])
    return data["tables"]["detectors"]


@each("name", lambda: list(_detectors()))
def test_rows_of_a_detector_read_rows_before_them(name: str) -> None:
    detector = _detectors()[name]
    for i, row in enumerate(detector["rows"]):
        assert all((j if j >= 0 else i + j) < i for j in row.get("from", [-1])), row
    assert max(detector["reads"]) < len(detector["rows"])


@pytest.mark.parametrize("name", ["resnet_v1_50", "resnet_v2_50", "resnet50_caffe", "resnet50d"])
def test_resnets_take_batches_and_sizes(name: str) -> None:
    one, four = find(name, {"batch": 1}), find(name, {"batch": 4})
    assert four.macs == pytest.approx(4 * one.macs)
    assert four.weights == one.weights


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"block": "basic", "norm_first": True}, "norm_first"),
        ({"block": "basic", "strided": "entry"}, "strided"),
    ],
)
def test_fields_that_exclude_each_other(settings: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        find("resnet18", settings)  # type: ignore[arg-type]
    assert said in {f.path for f in caught.value.faults}


def test_a_detector_without_such_a_task_or_table() -> None:
    with pytest.raises(InputError, match="gives no 'pose'"):
        find("yolox_s", {"task": "pose"})
    with pytest.raises(InputError, match="did you mean 'yolov9t'"):
        find("yolov8n", {"table": "yolov99"})


def test_fewer_groups_than_channels() -> None:
    with pytest.raises(InputError, match="no whole number of groups"):
        find("regnetx_800mf", {"group_width": 10})
