"""Sizes that a network does not take are refused; those that it takes have no negative counts."""

from __future__ import annotations

import re

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.cli import main
from perfmodel.errors import InputError
from perfmodel.workload.builder import GraphBuilder
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.library import find, names
from perfmodel.workload.lower import FUSED, lower
from perfmodel.workload.symbols import maximum, symbol
from perfmodel.workload.workload import Workload

#: Networks that had negative work at small images, and others of every way to halve a size.
IMAGES = (
    "inception_v3",
    "inception_resnet_v2",
    "s3d",
    "alexnet",
    "vit_base_patch16_224",
    "yolov9c",
    "resnet18",
    "densenet121",
    "knn_digits",
    "unet",
)
SIZES = (1, 2, 3, 5, 8, 16, 31, 33, 64, 100)


def refused(workload: Workload) -> str:
    try:
        workload.graph()
    except InputError as error:
        return str(error)
    return ""


def negative(workload: Workload) -> bool:
    """Tell whether any count of the network is below zero, by its own formulas."""
    free = find(workload.name, {})
    table = lower(free.graph(), FUSED).bind(workload.parameters, 1, accesses=True)
    access = table.accesses
    assert access is not None
    columns = (table.count, table.macs, table.vector_ops, access.elements, access.sizes)
    return any(np.any(np.asarray(column) < 0.0) for column in columns)


def check(name: str) -> None:
    free = find(name, {})
    assert not refused(free), "its own sizes"
    for size, value in free.parameters.items():
        for number in SIZES:
            try:
                small = free.bind({size: number})
            except InputError:
                continue
            said = refused(small)
            assert said or not negative(small), (name, size, number)
            assert not said or size in said, (name, size, number)
            if said and number < value:
                least = re.search(rf"{size}={number}\b.*at least (\d+)", said)
                assert least, said
                assert not refused(free.bind({size: int(least[1])}))
                assert refused(free.bind({size: int(least[1]) - 1}))


@pytest.mark.parametrize("name", [n for n in IMAGES if n in names()])
def test_small_sizes_are_taken_or_refused(name: str) -> None:
    check(name)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", names())
def test_small_sizes_of_the_whole_library(name: str) -> None:
    if not find(name, {}).graph().schedulable_only:
        check(name)


@pytest.mark.parametrize(
    ("network", "setting", "least"),
    # torchvision states these: min_size of inception_v3, and of s3d that of its last pooling.
    [("inception_v3", {"height": 1}, 75), ("s3d", {"width": 160}, 209)],
)
def test_a_prediction_says_the_least_size(
    network: str, setting: dict[str, int], least: int
) -> None:
    (name,) = setting
    with pytest.raises(InputError) as raised:
        pm.predict(network, "a100", set=setting)
    (fault,) = raised.value.faults
    assert fault.path == name
    assert str(least) in fault.expected
    assert pm.predict(network, "a100", set={name: least}).latency_s > 0


def test_every_dimension_that_is_too_small_is_named() -> None:
    with pytest.raises(InputError) as raised:
        pm.predict("inception_v3", "a100", set={"height": 1, "width": 2})
    assert {fault.path for fault in raised.value.faults} == {"height", "width"}


def test_one_point_of_an_array_is_named() -> None:
    workload = find("inception_v3", {}).bind({"height": np.array([299.0, 96.0, 60.0, 40.0])})
    said = refused(workload)
    assert re.search(r"height=(60|40)\b", said), said
    assert "75" in said
    assert not refused(find("inception_v3", {}).bind({"height": np.array([299.0, 75.0])}))


def test_a_command_refuses_it(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("predict", "schedule"):
        assert main([command, "inception_v3", "a100", "--set", "height=1"]) == 2, command
        assert "height" in capsys.readouterr().err


def build(size: object) -> Workload:
    g = GraphBuilder("sliced")
    x = g.input("x", (symbol("batch"), 4, symbol("height"), 8))
    y = g.conv(x, 4, 3, name="conv")
    g.output(g.copy([y], (symbol("batch"), 4, size, 1), name="slice"))  # pyright: ignore[reportArgumentType]
    graph = g.build({"batch": 1, "height": 8})

    def made(semantics: ExecutionSemantics) -> object:
        return graph

    return Workload("sliced", made, {"batch": 1, "height": 8})  # pyright: ignore[reportArgumentType]


def test_what_a_file_keeps_from_below_zero_may_be_empty() -> None:
    """A slice may be empty; a convolution's result may not."""
    workload = build(maximum(0, symbol("height") - 6))
    assert not refused(workload.bind({"height": 5}))
    assert "conv" in refused(workload.bind({"height": 2}))
    assert not refused(workload.bind({"height": 3}))
    assert refused(build(symbol("height") - 6).bind({"height": 5}))


def test_more_neighbours_than_points_are_refused() -> None:
    """scikit-learn: "Expected n_neighbors <= n_samples_fit"; passes of a selection go negative."""
    with pytest.raises(InputError) as raised:
        pm.predict("knn_digits", "a100", set={"neighbours": 20000})
    assert {fault.path for fault in raised.value.faults} == {"neighbours", "references"}


def test_a_solution_is_looked_for_among_sizes_that_the_network_takes() -> None:
    """`solve` starts at the least size, however far below it the condition would point."""
    found = pm.solve("inception_v3", "a100", "height", "latency_s > 1 us")
    assert found.low == find("inception_v3", {}).least("height") == 75.0
