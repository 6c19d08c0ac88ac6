"""A search ends at its time limit with what it knows, whatever the method.

The clock is one that goes on by a tick whenever it is looked at, so that time runs out at a place
that is the same in every run, and what is costed after that can be counted.
"""

from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.optimise import deadline
from perfmodel.search import public_functions
from perfmodel.search.oracle import Oracle, configuration_costs, oracle_costs
from perfmodel.search.oracle.kernel_pricing import NotTabledError
from perfmodel.search.oracle.oracle_costs import Predicted
from perfmodel.search.oracle.part_pricing import PartPricing

CHOICES = {"weight_bits": {"*": [2, 3, 4, 5, 6, 8]}, "activation_bits": {"*": [4, 8]}}
FEW = {"weight_bits": {"*": [4, 8]}}
SOME = {"weight_bits": {"*": [2, 4, 5, 6, 8]}}
DEVICE = "jetson_agx_orin"


class Clock:
    """Ticks when it is looked at, and counts what is costed once `end` has passed."""

    def __init__(self) -> None:
        self.now, self.end = 0, np.inf
        self.tables = self.members = self.batches = 0

    def monotonic(self) -> float:
        self.now += 1
        return float(self.now)

    @property
    def late(self) -> bool:
        return self.now >= self.end


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(deadline, "time", made)
    monkeypatch.setattr(public_functions, "monotonic", lambda: 0.0)
    tables, batch = PartPricing.tables, Oracle.batch
    sums, one = configuration_costs.ConfigurationCosts._sums, Predicted.one

    def part_tables(self: PartPricing) -> Any:
        made.tables += made.late
        return tables(self)

    def added_up(self: Any, choices: Any) -> Any:
        made.members += choices[..., 0].size * made.late
        return sums(self, choices)

    def predicted(self: Any, choice: Any) -> Any:
        made.members += made.late
        made.now += 5
        return one(self, choice)

    def asked(self: Any, *args: Any, **options: Any) -> Any:
        made.batches += made.late
        return batch(self, *args, **options)

    monkeypatch.setattr(Oracle, "batch", asked)
    monkeypatch.setattr(PartPricing, "tables", part_tables)
    monkeypatch.setattr(configuration_costs.ConfigurationCosts, "_sums", added_up)
    monkeypatch.setattr(Predicted, "one", predicted)
    return made


def searched(clock: Clock, ticks: int, **options: Any) -> Any:
    clock.now = clock.tables = clock.members = clock.batches = 0
    clock.end = 0.95 * ticks
    given = {"precision": "w8a8", "time_limit_s": ticks, **options}
    return pm.search("tiny_cnn", DEVICE, **given)


BY_METHOD = {
    "evolve": {"method": "evolve", "choices": CHOICES, "objective": "peak_memory_bytes"},
    "every member, looked up": {"method": "exhaustive", "choices": SOME},
    "every member, added up": {"method": "exhaustive", "choices": CHOICES},
    "every member, predicted": {"method": "exhaustive", "choices": FEW},
    "evolve, predicted": {"method": "evolve", "choices": CHOICES},
    "exact": {"method": "exact", "choices": CHOICES},
    "exact, infeasible": {
        "method": "exact",
        "choices": CHOICES,
        "constraints": ["latency_s <= 1 ns"],
    },
    "several combinations of hardware": {
        "choices": {**FEW, "memories.dram.bandwidth": ["100 GB/s", "150 GB/s", "200 GB/s"]},
    },
}


@pytest.mark.parametrize("method", BY_METHOD)
def test_little_is_costed_after_the_limit_and_the_answer_is_sound(
    clock: Clock, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "predicted" in method:

        def refused(*args: Any) -> Any:
            raise NotTabledError("on purpose")

        monkeypatch.setattr(oracle_costs, "_tables", refused)
    options = {"constraints": ["weight_bytes <= 1 MB"], **BY_METHOD[method]}
    decided = 0
    for ticks in (1, 5, 20, 40, 80, 160, 320):
        found = searched(clock, ticks, **options)
        assert clock.tables == 0, ticks
        # Looks at a sample, and at what was best under each combination of hardware.
        assert clock.members <= 6, ticks
        assert clock.batches <= 8, ticks
        if found.best is None:
            assert found.decided == found.proved
            assert found.proved == (method == "exact, infeasible" and found.bound == np.inf)
            continue
        decided += 1
        best = found.best
        assert best.metrics["weight_bytes"] <= 1e6
        assert best.metrics["feasible"] == 1.0
        assert found.bound <= best.value
        told = pm.predict(found.workload, DEVICE, precision="w8a8")
        if method != "several combinations of hardware":
            assert best.metrics["weight_bytes"] == pytest.approx(told.weight_bytes)
    assert decided or method == "exact, infeasible"


@pytest.mark.parametrize("choices", [SOME, CHOICES], ids=["looked up", "added up"])
def test_all_members_are_no_longer_all_where_time_runs_out(clock: Clock, choices: Any) -> None:
    cut = 0
    for ticks in range(20, 140, 20):
        found = searched(clock, ticks, method="exhaustive", choices=choices)
        if found.best is None or found.proved:
            continue
        cut += 1
        assert found.work["evaluations"] > 0
        assert found.bound == -np.inf
        assert "when time ran out" in found.model
    assert cut


def test_time_says_how_far_evolution_comes_and_nothing_else(clock: Clock) -> None:
    """What is found in some evaluations is the same whether time ended them or their number."""
    options = {"method": "evolve", "choices": CHOICES, "objective": "latency_s"}
    short = searched(clock, 200, **options)
    assert 0 < short.work["evaluations"] < 4000
    same = searched(clock, 10**6, evaluations=short.work["evaluations"], **options)
    assert same.work == short.work
    assert same.best == short.best


def test_a_front_has_time_of_its_own(clock: Clock) -> None:
    found = searched(
        clock, 2000, method="exhaustive", choices=FEW, constraints=["weight_bytes <= 1 MB"]
    )
    clock.now = 10**6
    assert found.best is not None
    assert len(found.front)
