"""Networks whose optima an integer programme or another search has proved."""

import json
from pathlib import Path

import pytest

from benchmarks.operator_lists import problem_of
from perfmodel.optimise.deadline import Deadline
from perfmodel.schedule.exact import beam, search
from perfmodel.schedule.greedy import greedy
from perfmodel.schedule.script import replay

pytestmark = pytest.mark.data

_KIB = 1024

#: Files, and capacities of theirs that take long (see `benchmarks/schedules.py`).
_GRAPHS = ("nas14", "nas7", "nas7_random_sizes_2", "resnet18", "transformer_8_heads")


@pytest.mark.parametrize("name", _GRAPHS)
def test_every_listed_optimum_is_found_and_proved(name: str, data: Path) -> None:
    listed = json.loads((data / "ilp" / "graphs" / f"{name}.json").read_text())
    problem = problem_of(listed)
    for known in listed["best_known"]:
        assert known["proved_optimal"]
        capacity = known["capacity"] * _KIB
        found = search(problem, capacity, Deadline())
        assert found.proved
        assert found.solution is not None
        assert replay(problem, found.solution, capacity).cost_bytes == found.value
        assert found.value == known["spill_plus_reload"] * _KIB
        wide = beam(problem, capacity, 5, Deadline())
        assert found.value <= wide.value <= greedy(problem, capacity).value


def test_random_wiring_has_a_bound_at_once(data: Path) -> None:
    listed = json.loads((data / "ilp" / "graphs" / "randwire3x32.json").read_text())
    problem = problem_of(listed)
    # Enough for the bound of the operator that fills the memory, and not for the search.
    found = search(problem, 576 * _KIB, Deadline(1.0))
    assert found.solution is not None
    assert replay(problem, found.solution, 576 * _KIB).cost_bytes == found.value
    assert found.bound <= 1216 * _KIB <= found.value
