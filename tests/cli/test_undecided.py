"""What is not decided is neither a success nor a proof: exit code 3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import perfmodel as pm
from perfmodel.cli import DONE, INFEASIBLE, UNDECIDED
from perfmodel.schedule.curve import Curve
from perfmodel.schedule.place.knapsack import assign_items
from perfmodel.search.exact import ChoiceProblem, Sum, Term, solve
from perfmodel.table import Result

Run = Callable[..., Any]


def test_three_ends() -> None:
    class Ended(Result):
        def __init__(self, fits: bool, known: bool = True) -> None:
            self.fits, self.known = fits, known

        @property
        def feasible(self) -> bool:
            return self.fits

        @property
        def decided(self) -> bool:
            return self.known

    assert Ended(True).exit_code == Ended(True, False).exit_code == DONE == 0
    assert Ended(False).exit_code == INFEASIBLE == 1
    assert Ended(False, False).exit_code == UNDECIDED == 3


def test_a_schedule_without_addresses_tells_nothing_of_other_schedules() -> None:
    """That no step fits is a proof; that one script has no addresses is none."""
    small = pm.schedule("tiny_cnn", capacity="1 KiB")
    assert (small.feasible, small.decided) == (False, True)
    assert small.infeasible is not None
    fits = pm.schedule("tiny_cnn", capacity="1 MiB")
    assert fits.decided
    why = small.infeasible
    unpacked = replace(fits, infeasible=why)
    assert not unpacked.decided
    open_answer = replace(why.answer, bound=0.0)
    best_known = replace(small, infeasible=replace(why, answer=open_answer))
    assert not best_known.decided
    assert Curve((fits,)).decided
    assert not Curve((unpacked, fits)).decided
    assert Curve((small, unpacked, fits)).decided


def test_a_placement_that_no_rule_found_is_not_proved_away() -> None:
    """Sizes 3, 3, 2, 2, 2 fill two levels of 6; rules that miss it do not say there is none."""
    sizes, copies = np.array([3.0, 2.0, 2.0, 3.0, 2.0]), np.ones(5, dtype=np.int64)
    costs = np.array([[1.0, 2.0]] * 5)
    room = np.array([6.0, 6.0])
    assert assign_items(sizes, copies, costs, room).solution is not None
    for method in ("greedy", "lp"):
        done = assign_items(sizes, copies, costs, room, method=method)
        assert done.solution is not None or not done.proved
    none = assign_items(sizes, copies, costs, np.array([6.0, 5.0]))
    assert (none.solution is None, none.proved) == (True, True)


def test_a_schedule_that_is_proved_away_exits_1(run: Run) -> None:
    assert run("schedule", "tiny_cnn", "--capacity", "1 KiB").code == 1
    assert run("schedule", "tiny_cnn", "--capacity", "1 KiB,1 MiB").code == 1
    assert run("schedule", "tiny_cnn", "--capacity", "1 MiB").code == 0


WORDS = (
    "search",
    "tiny_cnn",
    "jetson_agx_orin",
    "--precision",
    "w8a8",
    "--choice",
    "weight_bits=2,4,8",
)


def test_a_search_without_time_finds_nothing_and_proves_nothing(run: Run) -> None:
    """Its limit is over before the costs of one kernel are known."""
    late = run(*WORDS, "--constraint", "weight_bytes <= 9 kB", "--time-limit", "1e-9", "--json")
    assert late.code == 3
    assert (late.data["proved"], late.data["infeasible"]) == (False, None)
    assert any("time ran out" in note for note in late.data["notes"])
    said = run(*WORDS, "--constraint", "weight_bytes <= 9 kB", "--time-limit", "1e-9").out
    assert "not known" in said
    assert "nothing satisfies" not in said
    assert run(*WORDS, "--constraint", "weight_bytes <= 9 kB", "--json").code == 0
    assert run(*WORDS, "--constraint", "weight_bytes <= 1 kB", "--json").code == 1


def test_a_problem_that_is_not_even_reduced_is_open() -> None:
    problem = ChoiceProblem((2, 2), Sum(0.0, (Term((0,), np.array([1.0, 2.0])),)))
    assert solve(problem, seconds=0.0).status == "unknown"
    assert solve(problem).status == "optimal"
