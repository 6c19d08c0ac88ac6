"""The page of ``perfmodel explore`` in a headless Chromium: it moves, and stays on this machine."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.units import show

#: A job in the background of a shell ignores interrupts, and hands that down.
HEARS_INTERRUPTS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from perfmodel.cli import main
sys.exit(main(sys.argv[1:]))
"""
DECODE = {"phase": "decode", "batch": 1, "context": 2048}


@pytest.fixture(scope="module")
def address(browser: Any) -> Iterator[str]:
    """Serve the page in a process of its own, as a user does."""
    if importlib.util.find_spec("dash") is None:
        pytest.skip("dash is not installed (extra ui)")
    words = ["explore", "llama_3_8b", "jetson_agx_orin", "--precision", "w4a16", "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, "-c", HEARS_INTERRUPTS, *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert process.stderr
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    assert found, line
    yield found[0]
    process.send_signal(signal.SIGINT)
    try:
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    # Ctrl-C is how it ends; nothing was printed on stdout and no trace on stderr.
    assert (process.returncode, out, err.strip()) == (0, "", "")


def drawn(tab: Any) -> None:
    for name in ("roofline", "front"):
        tab.wait(f"document.querySelector('#{name} .gtitle') !== null")


def says(tab: Any, figure: str, alt: str) -> None:
    """Wait until a figure's words are these."""
    tab.wait(f"document.getElementById('{figure}-words').textContent === {json.dumps(alt)}")


def type_into(tab: Any, name: str, text: str) -> None:
    tab.run(f"document.getElementById({name!r}).focus()")
    tab.run(f"document.getElementById({name!r}).select()")
    tab.call("Input.insertText", text=text)


def choose(tab: Any, name: str, option: str) -> None:
    """Choose an option of a dropdown by the keyboard: open, type, take the first."""
    for key, code in (("Enter", 13),):
        tab.run(f"document.getElementById({name!r}).focus()")
        press(tab, key, code)
    tab.wait("document.querySelector('.dash-dropdown-search') !== null")
    tab.run("document.querySelector('.dash-dropdown-search').focus()")
    tab.call("Input.insertText", text=option)
    tab.wait(
        f"[...document.querySelectorAll('.dash-dropdown-option')].some("
        f"o => o.textContent.trim() === {option!r})"
    )
    tab.run(
        f"[...document.querySelectorAll('.dash-dropdown-option')].find("
        f"o => o.textContent.trim() === {option!r}).click()"
    )


def press(tab: Any, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        text = {"text": "\r"} if key == "Enter" else {}
        tab.call(
            "Input.dispatchKeyEvent",
            type=kind,
            key=key,
            code=key,
            windowsVirtualKeyCode=code,
            **text,
        )


def shows(tab: Any, text: str) -> None:
    tab.wait(f"document.getElementById('sides').textContent.includes({json.dumps(text)})")


def test_the_page_moves_with_its_knobs(open_page: Callable[..., Any], address: str) -> None:
    tab = open_page(address)
    drawn(tab)
    workload = pm.workload("llama_3_8b", **DECODE)
    first = pm.predict(workload, "jetson_agx_orin", precision="w4a16")
    shows(tab, show(first.latency_s, "time"))
    says(tab, "roofline", first.plot.roofline().layout.meta["alt"])

    choose(tab, "device", "apple_m2_max")
    second = pm.predict(workload, "apple_m2_max", precision="w4a16")
    shows(tab, show(second.latency_s, "time"))
    says(tab, "roofline", second.plot.roofline().layout.meta["alt"])
    says(tab, "memory", second.plot.memory().layout.meta["alt"])
    title = "document.querySelector('#roofline .gtitle').textContent"
    tab.wait(f"{title}.includes('apple_m2_max')")

    # A limit that is not met is told; the calls give what is shown.
    type_into(tab, "limit-latency", "1 ms")
    shows(tab, "above the limit of 1 ms")
    assert tab.run("document.querySelector('#sides .fails') !== null")
    command = "perfmodel predict llama_3_8b apple_m2_max --precision w4a16"
    assert tab.run("document.getElementById('command').textContent") == command

    # A slider by its keys: twice the batch.
    tab.run("document.querySelector('#batch [role=slider]').focus()")
    press(tab, "ArrowRight", 39)
    twice = pm.predict(
        pm.workload("llama_3_8b", **{**DECODE, "batch": 2}), "apple_m2_max", precision="w4a16"
    )
    shows(tab, show(twice.latency_s, "time"))

    # Wrong input is a fault with its place, never a trace.
    type_into(tab, "settings", "bathc=2")
    tab.wait("document.querySelector('#faults .fails') !== null")
    said = tab.run("document.getElementById('faults').textContent")
    assert "did you mean 'batch'" in said
    assert "Traceback" not in said
    type_into(tab, "settings", "context=4096")
    tab.wait("document.querySelector('#faults .fails') === null")

    assert tab.errors == []
    assert {re.match(r"http://[^/]+/", r)[0] for r in tab.requests} == {address}  # type: ignore[index]
    # Everything that can be turned has a name.
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    knobs = [
        n
        for n in tree
        if n.get("role", {}).get("value")
        in ("combobox", "slider", "textbox", "spinbutton", "button")
    ]
    assert len(knobs) >= 10
    nameless = [n["role"]["value"] for n in knobs if not n.get("name", {}).get("value")]
    assert nameless == []


def test_a_phone_in_the_dark_has_no_sideways_page(
    open_page: Callable[..., Any], address: str
) -> None:
    tab = open_page(address, width=390, height=844, dark=True)
    drawn(tab)
    assert tab.run("document.documentElement.scrollWidth") <= 390
    paper = tab.run("document.querySelector('#roofline .js-plotly-plot')._fullLayout.paper_bgcolor")
    assert paper == "#16181b"
    assert tab.errors == []


def test_it_answers_this_host_alone(address: str) -> None:
    port = address.rstrip("/").rpartition(":")[2]
    with urllib.request.urlopen(asking(address, f"127.0.0.1:{port}")) as answer:
        assert answer.status == 200
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asking(address, f"evil.example:{port}"))
    assert refused.value.code == 403
    refused.value.close()


def asking(address: str, host: str) -> urllib.request.Request:
    return urllib.request.Request(address, headers={"Host": host})
