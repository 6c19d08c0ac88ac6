"""Broken files of Keras and torch.export: every one a fault, never a traceback, never a file."""

from __future__ import annotations

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from tests.draws import draws

DATA = Path(__file__).parent.parent / "data"
HOSTILE: list[Any] = [
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    float("nan"),
    "",
    "x" * 3000,
    [],
    {},
    [[[]]],
    {"class_name": "Dense"},
    ["a", 0, 0],
    [None] * 9,
    "\u0000",
]


def _places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a document."""
    found = [place] if place else []
    items: list[Any] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        found += _places(inner, (*place, key))
    return found


def _mutated(document: Any, chance: random.Random, places: list[tuple[Any, ...]]) -> Any:
    """Return a copy with one to three values replaced, deleted, doubled or swapped."""
    made = copy.deepcopy(document)
    for _ in range(chance.randint(1, 3)):
        *path, last = chance.choice(places)
        holder = made
        try:
            for key in path:
                holder = holder[key]
            what = chance.randrange(4)
            if what == 0:
                del holder[last]
            elif what == 1 and isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
            else:
                holder[last] = copy.deepcopy(chance.choice(HOSTILE))
        except (KeyError, IndexError, TypeError):
            continue  # an earlier mutation took it away
    return made


def _survives(path: Path) -> bool:
    """Read a file; True where it is a workload, False where it is a fault."""
    before = sorted(path.parent.iterdir())
    faults: tuple[Any, ...] = ()
    try:
        float(pm.workload(path).macs)
    except InputError as error:
        faults = error.faults or ("an error without a fault",)
    assert sorted(path.parent.iterdir()) == before
    assert "an error without a fault" not in faults
    return not faults


@pytest.mark.parametrize("name", ["siamese_2", "sequence_3", "mixed_qkeras", "assorted_3"])
def test_mutated_keras(name: str, tmp_path: Path) -> None:
    document = json.loads((DATA / "keras" / f"{name}.json").read_text())
    places = _places(document)
    path = tmp_path / "net.json"
    outcomes: list[bool] = []
    for seed in range(draws(40)):
        path.write_text(json.dumps(_mutated(document, random.Random(f"{name}{seed}"), places)))
        outcomes.append(_survives(path))
    assert False in outcomes
    assert True in outcomes


def _graph(name: str) -> tuple[str, Any]:
    with zipfile.ZipFile(DATA / "torch_export" / f"{name}.pt2") as archive:
        (member,) = archive.namelist()
        return member, json.loads(archive.read(member))


def _packed(path: Path, member: str, content: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, content)


@pytest.mark.parametrize("name", ["recurrent", "bert_tiny", "resnet18_core"])
def test_mutated_graphs_of_torch(name: str, tmp_path: Path) -> None:
    member, document = _graph(name)
    places = _places(document)
    path = tmp_path / "net.pt2"
    outcomes: list[bool] = []
    for seed in range(draws(16)):
        changed = _mutated(document, random.Random(f"{name}{seed}"), places)
        _packed(path, member, json.dumps(changed))
        outcomes.append(_survives(path))
    assert False in outcomes


@pytest.mark.parametrize(
    ("source", "suffix"),
    [("keras/MobileNet_2.keras", ".keras"), ("torch_export/recurrent.pt2", ".pt2")],
)
def test_damaged_archives(source: str, suffix: str, tmp_path: Path) -> None:
    content = (DATA / source).read_bytes()
    path = tmp_path / f"net{suffix}"
    chance = random.Random(0)
    outcomes: list[bool] = []
    for _ in range(draws(60)):
        broken = bytearray(content[: chance.randrange(1, len(content) + 1)])
        for _ in range(chance.randint(0, 6)):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        path.write_bytes(bytes(broken))
        outcomes.append(_survives(path))
    assert False in outcomes


def _bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (40 * 2**20))
    return buffer.getvalue()


def _deep() -> str:
    return '{"class_name": "Sequential", "config": ' + "[" * 50_000 + "]" * 50_000 + "}"


def _nested() -> str:
    """A model that calls one twice, which calls one twice ... 30 levels down."""
    inner: Any = {"class_name": "Dense", "config": {"name": "d", "units": 4}}
    for level in range(14):
        layers: list[Any] = [
            {
                "class_name": "InputLayer",
                "name": "i",
                "config": {"name": "i", "batch_input_shape": [None, 4]},
                "inbound_nodes": [],
            },
            {**inner, "name": f"m{level}", "inbound_nodes": [[["i", 0, 0, {}]]]},
        ]
        layers[1]["config"] = {**layers[1]["config"], "name": f"m{level}"}
        layers[1]["inbound_nodes"] += [[[f"m{level}", n, 0, {}]] for n in range(30)]
        inner = {
            "class_name": "Functional",
            "config": {
                "name": f"m{level}",
                "layers": layers,
                "input_layers": [["i", 0, 0]],
                "output_layers": [[f"m{level}", 30, 0]],
            },
        }
    return json.dumps(inner)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.keras", _bomb, "larger than 16 MiB"),
        ("a.keras", lambda: b"PK\x03\x04", "not a readable archive"),
        ("a.pt2", lambda: b"", "not a readable archive"),
        ("a.json", _deep, "nested deeper"),
        ("a.json", lambda: '{"class_name": "Sequential"', "ends too early"),
        ("config.json", lambda: '{"class_name": "Mine", "config": {"units": 3}}', "list of layers"),
        ("a.json", _nested, "more layers than a network has"),
    ],
)
def test_what_is_made_to_hurt(
    name: str, content: Callable[[], str | bytes], said: str, tmp_path: Path
) -> None:
    made = content()
    path = tmp_path / name
    path.write_bytes(made if isinstance(made, bytes) else made.encode())
    with pytest.raises(InputError, match=said):
        pm.workload(path)


def test_a_cycle_and_a_layer_that_is_not_there(tmp_path: Path) -> None:
    document = json.loads((DATA / "keras" / "lambda_3.json").read_text())
    layers = document["config"]["layers"]
    reference = layers[1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"]
    reference[0] = layers[2]["config"]["name"]
    path = tmp_path / "net.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="depends on itself"):
        pm.workload(path)
    reference[0] = "densee"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"reads 'densee'.*did you mean 'dense"):
        pm.workload(path)


def test_a_program_that_reads_what_nothing_makes(tmp_path: Path) -> None:
    member, document = _graph("recurrent")
    document["graph_module"]["graph"]["nodes"][-1]["inputs"][0]["arg"]["as_tensor"]["name"] = "no"
    _packed(tmp_path / "net.pt2", member, json.dumps(document))
    with pytest.raises(InputError, match="reads 'no'"):
        pm.workload(tmp_path / "net.pt2")
    del document["graph_module"]["signature"]
    _packed(tmp_path / "net.pt2", member, json.dumps(document))
    with pytest.raises(InputError, match="lacks 'signature'"):
        pm.workload(tmp_path / "net.pt2")
