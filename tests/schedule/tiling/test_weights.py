"""Weights past the scratchpad, in it while their operator runs, or in it all the time."""

from __future__ import annotations

from typing import Any

import pytest

import perfmodel as pm
from perfmodel.formats import as_precision
from perfmodel.schedule.peak import minimum_peak
from perfmodel.schedule.problem_from_graph import ScheduledGraph, Weights, scheduling_problem
from perfmodel.workload.fuse import FusionRules

MODELS = ("mlperf_tiny_ic", "mobilenet_v2", "embbert")


def given(name: str, weights: Weights) -> ScheduledGraph:
    return scheduling_problem(
        pm.workload(name), as_precision("w8a8"), FusionRules(), weights=weights
    )


@pytest.mark.parametrize("name", MODELS)
def test_scratch_adds_the_weights_of_the_step_that_runs_and_no_other(name: str) -> None:
    streamed, scratch, resident = (given(name, w) for w in ("streamed", "scratch", "resident"))  # type: ignore[arg-type]
    added: list[int] = [
        b - a
        for a, b in zip(
            streamed.problem.working_set_bytes, scratch.problem.working_set_bytes, strict=True
        )
    ]
    assert added == [s.scratch_bytes for s in scratch.problem.steps]
    assert sum(added) >= streamed.weight_bytes * (name != "embbert")
    assert resident.problem.working_set_bytes == streamed.problem.working_set_bytes
    operators: dict[str, Any] = {op.name: op for _, op in scratch.graph.walk()}
    tensors = scratch.graph.tensors
    for held, names in zip(added, scratch.members, strict=True):
        stored = {n for m in names for n in operators[m].reads if tensors[n].role == "weight"}
        assert bool(held) == bool(stored)
    # Streamed or in scratch, they cross once: what a step fetches itself is the same.
    for one, other in zip(streamed.problem.steps, scratch.problem.steps, strict=True):
        assert one.stream_bytes == other.stream_bytes


@pytest.mark.parametrize("name", MODELS)
def test_the_least_peak_lies_between_none_and_all_of_the_weights(name: str) -> None:
    streamed, scratch = given(name, "streamed"), given(name, "scratch")
    low, high = minimum_peak(streamed.problem), minimum_peak(scratch.problem)
    assert low.proved
    assert high.proved
    largest = max(s.scratch_bytes for s in scratch.problem.steps)
    assert low.value <= high.value <= low.value + largest
    assert high.value <= low.value + streamed.weight_bytes
