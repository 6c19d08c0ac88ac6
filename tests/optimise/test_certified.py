"""An answer with its certificate: what is proved follows from value and bound alone."""

import math

import pytest

from perfmodel.optimise.certified import Certified, nothing


@pytest.mark.parametrize(
    ("solution", "value", "bound", "status", "gap"),
    [
        ("a", 12.0, 12.0, "optimal", 0.0),
        ("a", 12.0, 10.0, "feasible", 0.2),
        ("a", 12.0, 0.0, "feasible", math.inf),
        ("a", 12.0, -math.inf, "feasible", math.inf),
        ("a", 0.0, 0.0, "optimal", 0.0),
        (None, math.inf, math.inf, "infeasible", 0.0),
        (None, math.inf, 5.0, "unknown", math.inf),
    ],
)
def test_what_is_known(
    solution: str | None, value: float, bound: float, status: str, gap: float
) -> None:
    answer = Certified(solution, value, bound)
    assert (answer.status, answer.proved) == (status, status in ("optimal", "infeasible"))
    assert answer.gap == pytest.approx(gap)


def test_a_bound_within_round_off_is_the_value() -> None:
    assert Certified("a", 12.0, 12.0 + 1e-7).bound == 12.0


def test_a_bound_above_a_solution_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a bound of 13\.0 above a value of 12\.0"):
        Certified("a", 12.0, 13.0)


def test_the_better_of_two_has_all_that_both_proved() -> None:
    cheap = Certified("a", 10.0, 4.0, "one", {"nodes": 3})
    dear = Certified("b", 12.0, 9.0, "other", {"states": 5})
    both = dear.or_better(cheap)
    assert (both.solution, both.value, both.bound, both.method) == ("a", 10.0, 9.0, "one")
    assert both.work == {"nodes": 3, "states": 5}
    assert nothing().or_better(dear) == Certified("b", 12.0, 9.0, "other", {"states": 5})
