"""The words of a search: units, prices, what would open it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from perfmodel.search.constraints import Constraint, parse_constraints
from perfmodel.search.exact import ChoiceInfeasibility, Opening
from perfmodel.search.search_result import EvaluatedConfiguration, LimitUse, SearchResult
from perfmodel.search.search_text import option_text, price_text, quantity, relief_lines


@dataclass(frozen=True)
class _Decision:
    name: str
    options: tuple[Any, ...]
    layers: tuple[str, ...] = ()
    role: str = "weights"

    def label(self, option: int) -> str:
        return str(self.options[option])


@dataclass(frozen=True)
class _Space:
    name: str
    decisions: tuple[_Decision, ...]


SPACE = _Space(
    "net",
    (
        _Decision("a.weights", ("int4", "int8"), ("a",)),
        _Decision("b.weights", ("int4", "int8"), ("b",)),
        _Decision("memories.main.bandwidth", (25e9, 204.8e9), role="fact"),
    ),
)


def limit(text: str) -> Constraint:
    (found,) = parse_constraints(text, [text.split()[0]])
    return found


def result(objective: str, value: float, limits: tuple[LimitUse, ...], **more: Any) -> SearchResult:
    best = EvaluatedConfiguration(
        (0, 0, 1),
        {"a.weights": "int4", "b.weights": "int4", "memories.main.bandwidth": 204.8e9},
        {objective: abs(value), "latency_s": 4e-3},
        value,
    )
    made = SearchResult(
        best,
        value,
        value,
        "milp",
        space=SPACE,
        device="board",
        objective=objective,
        unit="",
        source="table x.csv",
        model="sums over kernels",
        limits=limits,
    )
    return replace(made, **more)


def text_of(r: SearchResult) -> str:
    """Return what is printed of a result, with two spaces between a label and what stands there."""
    return re.sub(r"(?<=\S) {2,}(?=\S)", "  ", str(r))


def test_prices_are_of_amounts_that_a_reader_may_give() -> None:
    peak = limit("peak_memory_bytes <= 512 KiB")
    r = result("sensitivity", 1.0, (LimitUse(peak, 500 * 1024.0, 2.0 / 1024),))
    assert price_text(r, peak, 2.0 / 1024) == "each KiB less costs 2 sensitivity"
    assert price_text(r, limit("latency_s <= 5 ms"), 300.0) == "each ms less costs 0.3 sensitivity"
    assert (
        price_text(r, limit("latency_s <= 2 ms"), 300.0) == "each us less costs 0.0003 sensitivity"
    )
    assert price_text(r, limit("peak_memory_bytes <= 2.5 MiB"), 1e-6).startswith("each KiB less")
    # Of a pure number and of a rate, a hundredth.
    assert price_text(r, limit("bit_operations <= 2e9"), 1e-9) == "1 % less costs 0.02 sensitivity"
    assert price_text(r, limit("frames_per_s >= 30"), 0.1) == "1 % more costs 0.03 sensitivity"
    # The objective has its unit too.
    fast = result("latency_s", 4e-3, ())
    assert price_text(fast, peak, 1e-6 / 1024) == "each KiB less costs 1 us"


def test_no_number_without_its_unit() -> None:
    use = LimitUse(limit("latency_s <= 5 ms"), 4e-3, 0.0)
    text = text_of(result("sensitivity", 0.25, (use,)))
    assert "  sensitivity  0.25  (table x.csv)" in text
    assert "  latency_s  4 ms of at most 5 ms; costs nothing" in text
    assert "  memories.main.bandwidth  204.8 GB/s" in text
    assert "  proof  proved under the model: sums over kernels" in text
    assert "  a ... b  w int4  (2 layers)" in text
    assert "204800000000" not in text
    assert option_text("batch", 8) == "8"
    assert quantity("frames_per_s", 29.5) == "29.5/s"
    assert quantity("peak_memory_bytes", 3 * 2**19) == "1.5 MiB"


def test_rates_are_read_as_they_are() -> None:
    use = LimitUse(limit("weight_bytes <= 8 MiB"), 7.5 * 2**20)
    text = text_of(result("frames_per_s", -120.0, (use,), source=""))
    assert "  frames_per_s  120/s" in text
    assert "-120" not in text
    assert result("frames_per_s", -120.0, ()).to_dict()["best"]["value"] == 120.0
    lines = relief_lines(result("frames_per_s", -120.0, ()), {"weight_bytes <= 8 MiB": -150.0})
    assert lines[1] == "  weight_bytes <= 8 MiB  frames_per_s 150/s instead of 120/s (+25 %)"


def test_relief_in_a_line_each() -> None:
    r = result("sensitivity", 2.0, ())
    lines = relief_lines(r, {"a <= 1": 1.5, "b <= 22": 2.0, "c <= 3": math.inf, "d <= 4": None})
    assert lines[0].startswith("what 10 % more of each limit")
    assert lines[1] == "  a <= 1   sensitivity 1.5 instead of 2 (-25 %)"
    assert lines[2] == "  b <= 22  nothing"
    assert lines[3] == lines[4].replace("d <= 4", "c <= 3")
    assert "still nothing satisfies" in lines[3]
    none = replace(r, solution=None, value=math.inf)
    assert "opens it: sensitivity 1.5" in relief_lines(none, {"a <= 1": 1.5})[1]


def test_what_would_open_it() -> None:
    openings = (
        Opening("latency_s <= 5 ms", 5e-3, 6.2e-3, True),
        Opening("frames_per_s >= 30", 30.0, 20.0, True),
        Opening("weight_bytes <= 1 MiB", 2**20, None, True),
        Opening("dram holds the network", 2.0**20, 1.5 * 2**20, False),
    )
    why = ChoiceInfeasibility(("latency_s <= 5 ms", "weight_bytes <= 1 MiB"), openings, True)
    r = replace(
        result("sensitivity", 1.0, ()),
        solution=None,
        value=math.inf,
        bound=math.inf,
        infeasible=why,
    )
    lines = text_of(r).splitlines()
    assert lines[1] == "  best  nothing satisfies the constraints"
    assert lines[2].startswith("  proof  proved under the model: ")
    assert lines[3] == "  cannot be together  latency_s <= 5 ms; weight_bytes <= 1 MiB"
    assert lines[4] == "  would open it  latency_s <= 6.2 ms alone"
    assert lines[5] == "  would open it  frames_per_s >= 20/s alone"
    assert lines[6] == "  would open it  dram holds the network: 1.5 MiB instead of 1 MiB"
    assert len(lines) == 7


@pytest.mark.parametrize(
    ("text", "least", "said"),
    [
        ("weight_bytes <= 1 MiB", 5.60949 * 2**20, "weight_bytes <= 5.61 MiB alone"),
        ("latency_s <= 5 ms", 6.20001e-3, "latency_s <= 6.201 ms alone"),
        ("macs >= 1e9", 123456789.0, "macs >= 1.234e+08 alone"),
    ],
)
def test_a_bound_that_would_open_it_does(text: str, least: float, said: str) -> None:
    opening = Opening(text, limit(text).bound, least, True)
    r = replace(
        result("sensitivity", 1.0, ()),
        solution=None,
        value=math.inf,
        bound=math.inf,
        infeasible=ChoiceInfeasibility((), (opening,), True),
    )
    assert f"  would open it  {said}" in text_of(r).splitlines()


@pytest.mark.parametrize(
    ("proved", "bound", "said"),
    [
        (True, 1.0, "proved under the model: m"),
        (False, 0.9, "within 10 % of a bound; m"),
        (False, -math.inf, "no bound; m"),
    ],
)
def test_a_proof_always_says_of_what(proved: bool, bound: float, said: str) -> None:
    r = result("sensitivity", 1.0, (), bound=bound, model="m (table x.csv)")
    assert r.proved == proved
    assert f"  proof  {said}" in text_of(r).splitlines()
