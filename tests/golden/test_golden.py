"""Every figure that the product gave is the figure that it gives: one test a section.

``python -m tests.golden`` writes the figures; CONTRIBUTING.md says when that needs a reason.
"""

from __future__ import annotations

import math

import pytest

from tests.golden import store
from tests.golden.compare import changes, grouped
from tests.golden.sections import SECTIONS

MOST = 40
"""Changes that a failing test prints."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            s.name,
            marks=[
                *([pytest.mark.data] if s.measured else []),
                *([pytest.mark.exhaustive] if s.measured or s.exhaustive else []),
            ],
        )
        for s in SECTIONS.values()
    ],
)
def test_no_figure_changed(name: str) -> None:
    section = SECTIONS[name]
    found = changes(section, store.read(name), section.now())
    assert not found, f"{len(found)} figures differ:\n" + "\n".join(grouped(found, MOST))


def test_every_file_belongs_to_a_section() -> None:
    files = {path.name for path in store.FOLDER.iterdir()}
    assert files == {store.path_of(name).name for name in SECTIONS}
    assert sum(path.stat().st_size for path in store.FOLDER.iterdir()) < 1_000_000


def test_committed_figures_are_numbers() -> None:
    """What was once a test of each device: every latency is one."""
    for name in ("predictions_images", "predictions_language", "predictions_small", "claims"):
        figures = store.read(name)
        for key, value in figures.items():
            column = key.rpartition("/")[2]
            if column in ("latency_s", "predicted"):
                assert isinstance(value, float), key
                assert math.isfinite(value), key
            if column == "latency_s":
                assert value > 0, key
