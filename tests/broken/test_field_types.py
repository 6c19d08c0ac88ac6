"""Fields of specs with values of another type: a fault with its place, never anything else."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

import perfmodel as pm
from perfmodel.errors import InputError, PerfmodelError

ROOT = Path(__file__).parents[2]

#: Values that stand in place of any other.
OTHERS: list[Any] = [
    [],
    {},
    None,
    [[1]],
    {"a": 1},
    ["main"],
    10**400,
    -1,
    0,
    True,
    "x",
    1e308,
    [None],
    {"value": [1]},
    "",
    2**63,
    -0.0,
    1e-320,
    "1e400 GB/s",
    [1, 2, 3],
]


def _places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    for key in data if isinstance(data, dict) else range(len(data) if type(data) is list else 0):
        yield from _places(data[key], (*place, key))


def test_a_role_that_is_a_list_is_named_by_its_place(tmp_path: Path) -> None:
    data = yaml.safe_load((ROOT / "hardware_specs/devices/a100.yaml").read_text(encoding="utf-8"))
    data["memories"][-1]["roles"] = [["main"]]
    path = tmp_path / "d.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        pm.hardware(path)
    fault = next(f for f in refused.value.faults if "roles" in f.path)
    assert fault.line > 1
    assert "list" in fault.message


@pytest.mark.parametrize("folder", ["hardware_specs/devices", "workloads"])
def test_any_field_of_any_type_is_predicted_or_refused(folder: str, tmp_path: Path) -> None:
    dice = random.Random(20)
    files = sorted((ROOT / folder).rglob("*.yaml"))
    for file in dice.sample(files, 12):
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        places = list(_places(data))
        for _ in range(8):
            changed = copy.deepcopy(data)
            *lead, last = dice.choice(places)
            inner = changed
            for key in lead:
                inner = inner[key]
            inner[last] = dice.choice(OTHERS)
            path = tmp_path / file.name
            path.write_text(yaml.safe_dump(changed), encoding="utf-8")
            pair = ("mobilenet_v2", path) if "devices" in folder else (path, "a100")
            with suppress(PerfmodelError):  # anything else fails the test
                str(pm.predict(*pair))


@pytest.mark.parametrize(("name", "field"), [("shufflenet_v2", "widths"), ("levit_256", "widths")])
def test_a_width_that_leaves_nothing_is_bad_input(name: str, field: str, tmp_path: Path) -> None:
    data = yaml.safe_load((ROOT / f"workloads/{name}.yaml").read_text(encoding="utf-8"))
    data["structure"][field][0] = 1
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(InputError, match="0"):
        pm.predict(path, "a100")
