"""The page over HTTP: what its browser cannot have sent is refused, and old structures go."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from perfmodel.explore import answer as module
from perfmodel.explore.answer import answer
from perfmodel.explore.choices import Choices
from perfmodel.explore.selection import ExplorerSelection
from perfmodel.workload.graph import Graph

dash = pytest.importorskip("dash")

from perfmodel.explore.page import application  # noqa: E402
from perfmodel.explore.request_body import FILLS, MOST_BYTES, SENDS, SLIDERS  # noqa: E402

CHOICES = Choices()
UPDATE = "/_dash-update-component"


@pytest.fixture(scope="module")
def client() -> Any:
    return application(ExplorerSelection("resnet18", "a100"), CHOICES).server.test_client()


def body(**changed: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(SENDS, "")
    values |= {"workload": "resnet18", "device": "a100", "batch": 3, "length": 11} | changed
    ids = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in FILLS]
    return {
        "output": f"..{'...'.join(FILLS)}..",
        "outputs": ids,
        "changedPropIds": ["batch.value"],
        "inputs": [{"id": name, "property": "value", "value": values[name]} for name in SENDS],
    }


def send(client: Any, what: Any) -> Any:
    text = what if isinstance(what, str | bytes) else json.dumps(what)
    return client.post(UPDATE, data=text, content_type="application/json")


def test_what_the_page_sends_is_what_it_declares(client: Any) -> None:
    declared = client.get("/_dash-dependencies").get_json()
    (filling,) = [d for d in declared if d["output"] == body()["output"]]
    assert [i["id"] for i in filling["inputs"]] == list(SENDS)
    done = send(client, body())
    assert done.status_code == 200
    assert "a100" in done.get_data(as_text=True)
    # Cleared choices are null, and a name that is typed wrong is told in the page.
    assert send(client, body(beside=None, settings=None)).status_code == 200
    typed = send(client, body(settings="heigth=3"))
    assert typed.status_code == 200
    assert "heigth" in typed.get_data(as_text=True)


BAD = [
    float("nan"),
    float("inf"),
    -float("inf"),
    1e9,
    -1,
    2.5,
    1e308,
    10**400,
    "x",
    "",
    True,
    [1],
    {"a": 1},
]


@pytest.mark.parametrize("name", SLIDERS)
@pytest.mark.parametrize("value", BAD, ids=lambda v: repr(v)[:12])
def test_absurd_sliders_are_refused(client: Any, name: str, value: Any) -> None:
    done = send(client, body(**{name: value}))
    assert done.status_code == 400
    text = done.get_data(as_text=True)
    assert text.startswith(f"{name}: ")
    assert "exponent of two" in text


@pytest.mark.parametrize("name", [n for n in SENDS if n not in SLIDERS])
@pytest.mark.parametrize(
    "value", [5, 1.5, True, [1], {"a": 1}, "x" * 5000, "\ud800"], ids=lambda v: repr(v)[:8]
)
def test_texts_that_are_none_are_refused(client: Any, name: str, value: Any) -> None:
    done = send(client, body(**{name: value}))
    assert done.status_code == 400
    assert done.get_data(as_text=True).startswith(f"{name}: ")


@pytest.mark.parametrize("name", ["workload", "device", "beside", "runtime", "phase"])
@pytest.mark.parametrize("value", ["nothing_like_it", "/etc/passwd", "../../x.yaml", "resnet18\0"])
def test_names_beside_the_choices_are_refused(client: Any, name: str, value: str) -> None:
    assert send(client, body(**{name: value})).status_code == 400


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "5", '"x"', b"\xff\xfe", "[" * 50_000, '{"a":' * 10_000, "{}", "NaN"],
    ids=lambda v: repr(v)[:12],
)
def test_bodies_that_are_no_question_are_refused(client: Any, text: str | bytes) -> None:
    assert send(client, text).status_code == 400


def test_parts_that_lack_or_are_others_are_refused(client: Any) -> None:
    sound = body()
    for name in ("output", "outputs", "inputs"):
        assert send(client, {k: v for k, v in sound.items() if k != name}).status_code == 400
        for other in (None, 5, "x", [], {}, [[1]] * len(SENDS), [{}] * len(SENDS)):
            assert send(client, sound | {name: other}).status_code == 400
    for other in (5, "x", {}, [5], ["nothing.value"]):
        assert send(client, sound | {"changedPropIds": other}).status_code == 400
    assert send(client, sound | {"state": [1]}).status_code == 400
    shuffled = sound["inputs"][::-1]
    assert send(client, sound | {"inputs": shuffled}).status_code == 400
    assert client.post(UPDATE, data=json.dumps(sound), content_type="text/plain").status_code == 400
    assert send(client, json.dumps(sound) + " " * MOST_BYTES).status_code == 413


def test_every_fault_of_a_body_is_told_at_once(client: Any) -> None:
    text = send(client, body(batch=1e9, length="x", device=[1])).get_data(as_text=True)
    assert [line.partition(":")[0] for line in text.splitlines()] == ["device", "batch", "length"]


def test_old_structures_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs of many structures that were asked for do not pile up, and answers stay the same."""
    monkeypatch.setattr(module, "MAX_CACHED_STRUCTURES", 4)

    def asked(width: int) -> Any:
        found = answer(
            ExplorerSelection("llama_3_8b", "a100", settings=f"ffn_width={width}"), CHOICES
        )
        assert found.faults == []
        return found

    first = asked(1024)
    gc.collect()
    before = sum(isinstance(thing, Graph) for thing in gc.get_objects())
    for width in range(2048, 2048 + 12 * 256, 256):
        asked(width)
    gc.collect()
    graphs = sum(isinstance(thing, Graph) for thing in gc.get_objects())
    assert graphs - before <= 8
    assert asked(1024).devices == first.devices
