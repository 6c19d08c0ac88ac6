"""States of activations from tables equal those of the sequence of kernels that a choice has."""

from __future__ import annotations

import numpy as np
import pytest

from perfmodel.cost.residency import residency_needs
from perfmodel.search.oracle import activation_states
from perfmodel.search.oracle.activation_states import ActivationStates, KernelSteps, Table
from perfmodel.search.oracle.kernel_pricing import Floats, NotTabledError, States
from perfmodel.workload.lifetimes import lifetimes_of

OPTIONS = (2, 3, 2, 3, 2, 3)
STATES = States((40.0, 90.0, 150.0))


def network(seed: int) -> tuple[list[Table], list[KernelSteps]]:
    """Return a chain with skips, in which some kernels are followed by a conversion.

    Activation ``i`` is written by kernel ``i - 1``. Those after the chain's are between a kernel
    and its conversion, and have bytes only where there is one.
    """
    rng = np.random.default_rng(seed)
    count = 9
    reads = [
        {k, *rng.integers(max(0, k - 4), k + 1, rng.integers(0, 2)).tolist()} for k in range(count)
    ]
    sizes: list[Table] = []
    for _ in range(count + 1):
        decision = int(rng.integers(0, len(OPTIONS)))
        sizes.append(((decision,), rng.integers(1, 60, OPTIONS[decision]).astype(float)))
    kernels: list[KernelSteps] = []
    for k in range(count):
        own = tuple(sorted(reads[k]))
        decisions = tuple(sorted(map(int, rng.choice(len(OPTIONS), 2, replace=False))))
        shape = tuple(OPTIONS[d] for d in decisions)
        if k % 2:
            between = len(sizes)
            variant = rng.integers(0, 2, shape).astype(float)
            sizes.append((decisions, 30.0 * variant))
            steps = (((*own, k + 1),), ((*own, between), (between, k + 1)))
        else:
            variant, steps = np.zeros(shape), (((*own, k + 1),),)
        kernels.append(KernelSteps((decisions, variant), steps))
    return sizes, kernels


def arranged(
    sizes: list[Table], kernels: list[KernelSteps], choice: list[int]
) -> tuple[dict[int, int], float]:
    """Return the states of the activations of one choice's sequence of kernels, and the peak."""

    def entry(table: Table) -> float:
        decisions, values = table
        return float(values[tuple(choice[d] for d in decisions)])

    steps = [step for k in kernels for step in k.steps[int(entry(k.variant))]]
    own = sorted({i for step in steps for i in step})
    ends = [[t for t, step in enumerate(steps) if i in step] for i in own]
    intervals = [
        (0 if i == 0 else at[0], len(steps) - 1 if i == 9 else at[-1])
        for i, at in zip(own, ends, strict=True)
    ]
    lives = lifetimes_of(list(map(str, own)), [""] * len(own), intervals)
    need = residency_needs(lives, np.array([[entry(sizes[i])] for i in own]))
    live = [
        sum(entry(sizes[i]) for i, (a, b) in zip(own, intervals, strict=True) if a <= t <= b)
        for t in range(len(steps))
    ]
    return dict(zip(own, STATES.of(need[:, 0]).tolist(), strict=True)), max(live)


@pytest.mark.parametrize("seed", range(8))
def test_tables_equal_sequences(seed: int) -> None:
    sizes, kernels = network(seed)
    states = ActivationStates(sizes, kernels, [0], [9], OPTIONS, STATES)
    rng = np.random.default_rng(seed)
    choices = np.stack([rng.integers(0, n, 40) for n in OPTIONS], axis=1)
    for choice in choices.tolist():
        expected, peak = arranged(sizes, kernels, choice)
        looked_up: dict[int, Floats] = {}
        for i, table in enumerate(states.tables):
            assert table is not None
            decisions, values = table
            looked_up[i] = values[tuple(choice[d] for d in decisions)]
            np.testing.assert_array_equal(looked_up[i], states.evaluated(i, np.array([choice]))[0])
        assert {i: looked_up[i][0] for i in expected} == expected
        assert max(each[1] for each in looked_up.values()) == peak


def test_large_tables_are_left_to_each_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation_states, "_MAX_COMBINATIONS", 6)
    sizes, kernels = network(1)
    tables = ActivationStates(sizes, kernels, [0], [9], OPTIONS, STATES).tables
    assert None in tables


def test_activations_that_no_decision_affects_have_one_entry() -> None:
    sizes: list[Table] = [((), np.array(30.0)), ((), np.array(30.0)), ((), np.array(60.0))]
    plain: Table = ((), np.array(0.0))
    kernels = [KernelSteps(plain, (((0, 1),),)), KernelSteps(plain, (((1, 2),),))]
    tables = ActivationStates(sizes, kernels, [0], [2], (2,), STATES).tables
    # The first two together take 60 bytes, the last two 90.
    expected = [((), [0.0, 60.0]), ((), [1.0, 60.0]), ((), [1.0, 90.0])]
    for table, (decisions, values) in zip(tables, expected, strict=True):
        assert table is not None
        assert table[0] == decisions
        np.testing.assert_array_equal(table[1], values)


def test_an_activation_that_some_sequence_does_not_access_is_refused() -> None:
    sizes: list[Table] = [((), np.array(8.0))] * 3
    variant = ((0,), np.array([0.0, 1.0]))
    kernels = [
        KernelSteps(variant, (((0, 1),), ((0,),))),
        KernelSteps(((), np.array(0.0)), (((1, 2),),)),
    ]
    with pytest.raises(NotTabledError, match="which kernels access"):
        ActivationStates(sizes, kernels, [0], [2], (2,), STATES)
