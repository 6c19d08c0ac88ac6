"""A browser for the tests that look at pages; without one they are skipped, and say so."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def _client() -> Any:
    path = Path(__file__).with_name("chromium.py")
    spec = importlib.util.spec_from_file_location("chromium_client", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["chromium_client"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = _client()
    path = client.program()
    if path is None:
        pytest.skip("no Chromium here: install Debian's chromium, or set CHROMIUM to a browser")
    pytest.importorskip("websocket", reason="websocket-client is not installed (extra dev)")
    try:
        made = client.Browser(path, tmp_path_factory.mktemp("profile"))
    except OSError as error:
        pytest.skip(f"Chromium does not start here: {error}")
    yield made
    made.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address in a page of its own: ``open_page(address, dark=True)``."""
    opened: list[Any] = []

    def opening(address: str, **how: Any) -> Any:
        tab = browser.tab(**how)
        opened.append(tab)
        tab.goto(address)
        return tab

    yield opening
    for tab in opened:
        tab.close()
