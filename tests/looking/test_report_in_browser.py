"""Reports in a headless Chromium without a network: drawn, silent, readable without scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.units import show

DRAWN = "document.documentElement.classList.contains('drawn')"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> dict[str, tuple[Path, int]]:
    """Name -> a report and how many figures it has."""
    folder = tmp_path_factory.mktemp("reports")
    problem = folder / "problem.json"
    problem.write_text(
        json.dumps(
            {
                "workload": "resnet18",
                "device": "jetson_agx_orin",
                "precision": "w8a8",
                "choices": {"weight_bits": {"layer*": [4, 8]}},
                "constraints": ["weight_bytes <= 7 MiB"],
                "accuracy": {
                    "kind": "hawq",
                    "path": str(checkout / "examples" / "hawq_resnet18.yaml"),
                },
            }
        )
    )
    schedule: Any = pm.schedule("mobilenet_v2", "gemmini_16x16", capacity="2 MiB")
    made: dict[str, tuple[Any, int]] = {
        "prediction": (pm.predict("resnet18", "jetson_agx_orin"), 5),
        "sweep": (pm.sweep("resnet18", ["a100", "jetson_agx_orin"], {"batch": [1, 8]}), 3),
        "schedule": (schedule, 2),
        "search": (pm.search(problem), 2),
    }
    for name, (found, _) in made.items():
        found.report(folder / f"{name}.html")
    return {name: (folder / f"{name}.html", figures) for name, (_, figures) in made.items()}


@pytest.mark.parametrize("name", ["prediction", "sweep", "schedule", "search"])
def test_it_opens_without_a_network(
    open_page: Callable[..., Any], pages: dict[str, tuple[Path, int]], name: str
) -> None:
    path, figures = pages[name]
    dark = name in ("sweep", "search")
    tab = open_page(path.as_uri(), offline=True, dark=dark)
    tab.wait(DRAWN)
    drawn = (
        "[...document.querySelectorAll('.plot')].map(p => p.querySelectorAll('.main-svg').length"
    )
    assert all(tab.run(f"{drawn} > 0)"))
    assert tab.run("document.querySelectorAll('.plot').length") == figures
    # Something with an extent is in each: a bar, a line, a marker.
    marks = "path.js-line, .point path, .points path, .heatmaplayer image, .barlayer path"
    assert all(
        tab.run(f"[...document.querySelectorAll('.plot')].map(p => !!p.querySelector('{marks}'))")
    )
    assert tab.errors == []
    assert tab.requests == [path.as_uri()]
    named = "[...document.querySelectorAll('[role=img]')].every(p => p.ariaLabel.length > 40)"
    assert tab.run(named)
    ground = tab.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(22, 24, 27)" if dark else "rgb(255, 255, 255)")
    # On a dark ground the figures are dark too.
    paper = tab.run("document.querySelector('.plot')._fullLayout.paper_bgcolor")
    assert paper == ("#16181b" if dark else "white")
    # On a phone the page does not scroll sideways; the figures do, in their frames.
    tab.size(390, 844)
    tab.wait("document.querySelector('.wide') !== null")
    assert tab.run("document.documentElement.scrollWidth") <= 390
    assert tab.run("document.querySelector('.plot').scrollWidth") > 390
    if name == "prediction":
        sorts_by_the_keyboard(tab)


def sorts_by_the_keyboard(tab: Any) -> None:
    head = "document.querySelector('table.sorts').tHead.rows[0].cells[2]"
    tab.run(f"{head}.firstChild.focus()")
    for _ in range(2):
        for kind in ("keyDown", "keyUp"):
            tab.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                text="\r",
                windowsVirtualKeyCode=13,
            )
    found = tab.run(
        "[...document.querySelector('table.sorts').tBodies[0].rows]"
        ".map(row => Number(row.cells[2].dataset.v))"
    )
    assert len(found) > 5
    assert found == sorted(found)
    assert tab.run(f"{head}.ariaSort") == "ascending"


def test_it_is_readable_with_scripts_off(
    open_page: Callable[..., Any], pages: dict[str, tuple[Path, int]]
) -> None:
    path, _ = pages["prediction"]
    tab = open_page(path.as_uri(), offline=True, scripts=False)
    p = pm.predict("resnet18", "jetson_agx_orin")
    text = tab.text()
    assert show(p.latency_s, "time") in text
    assert "The pictures need JavaScript" in text
    assert "main-svg" not in text
    # No empty room is kept for what is not drawn.
    root = tab.call("DOM.getDocument", depth=0)["root"]["nodeId"]
    plot = tab.call("DOM.querySelector", nodeId=root, selector="#figure-0")["nodeId"]
    assert tab.call("DOM.getBoxModel", nodeId=plot)["model"]["height"] < 40
