"""Every figure that the product gave is the figure that it gives: one test a section.

``python -m tests.golden`` writes the figures; CONTRIBUTING.md says when that needs a reason.
"""

from __future__ import annotations

import pytest

from tests.golden import store
from tests.golden.compare import changes, grouped
from tests.golden.sections import SECTIONS

MOST = 40
"""Changes that a failing test prints."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(s.name, marks=[pytest.mark.data, pytest.mark.exhaustive] if s.measured else [])
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
