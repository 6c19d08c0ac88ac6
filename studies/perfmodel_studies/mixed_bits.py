"""Bits per layer, chosen exactly: what each pair of bits costs each layer, and the best choice.

Rows of kinds whose terms are all row-local cost the same whatever the other layers do, so that one
prediction a pair of bits fills the tables. Each layer reads its input at its own bits, as HAQ (Wang
et al., CVPR 2019) and APQ (Wang et al., CVPR 2020) count it; the first and the last layer stay at
eight, as theirs do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import perfmodel as pm
from perfmodel.kinds.rates import MATRIX_KINDS

__all__ = ["BitCosts", "BitWidthAssignment", "bit_costs", "choose_bits", "relative_noise"]

Floats = npt.NDArray[np.float64]
#: Bits of weights and of inputs.
Pair = tuple[int, int]
EIGHT: Pair = (8, 8)


class BitCosts(NamedTuple):
    """What each layer costs at each pair of bits.

    Attributes
    ----------
    layers
        Names of the layers that choose, ``n`` of them.
    pairs
        Bits of weights and inputs to choose from, ``m`` of them, eight and eight among them.
    seconds, joules
        Of a layer, ``(n, m)``.
    macs
        Multiply-accumulates of a layer, ``(n,)``.
    other_seconds, other_joules, other_macs
        Of all that does not choose, at eight bits.
    """

    layers: tuple[str, ...]
    pairs: tuple[Pair, ...]
    seconds: Floats
    joules: Floats
    macs: Floats
    other_seconds: float
    other_joules: float
    other_macs: float

    def at(self, choice: Sequence[int]) -> BitWidthAssignment:
        """Return a choice of places in `pairs`, and what it costs."""
        each = np.arange(len(self.layers))
        places = np.asarray(choice, dtype=np.intp)
        bits = tuple(self.pairs[int(i)] for i in places)
        operations = sum(float(m) * w * a for m, (w, a) in zip(self.macs, bits, strict=True))
        return BitWidthAssignment(
            bits,
            self.other_seconds + float(self.seconds[each, places].sum()),
            self.other_joules + float(self.joules[each, places].sum()),
            operations + self.other_macs * EIGHT[0] * EIGHT[1],
        )

    def uniform(self, pair: Pair) -> BitWidthAssignment:
        """Return what one pair of bits for every layer that chooses costs."""
        return self.at([self.pairs.index(pair)] * len(self.layers))


class BitWidthAssignment(NamedTuple):
    """Bits of weights and inputs per layer.

    Attributes
    ----------
    bits
        Of each layer that chooses.
    seconds, joules
        Of the whole network.
    bit_operations
        Products x bits of weights x bits of inputs, over the whole network.
    """

    bits: tuple[Pair, ...]
    seconds: float
    joules: float
    bit_operations: float


def bit_costs(
    network: str, device: str, pairs: Sequence[Pair], parameters: Mapping[str, Any] | None = None
) -> BitCosts:
    """Return the tables of a network on a device.

    Parameters
    ----------
    network, device
        Names of the library; the kind of the device's engine has row-local terms alone.
    pairs
        Bits of weights and inputs to choose from.
    parameters
        Phase and free dimensions.
    """
    named = pm.workload(network, **dict(parameters or {}))
    graph = named.graph().unroll(named.parameters)
    workload = pm.Workload(network, lambda _: graph, named.parameters)
    machine = pm.hardware(device).machine()
    columns: list[tuple[Floats, Floats]] = []
    every = tuple(dict.fromkeys((*pairs, EIGHT)))
    names = [operator.name for _, operator in graph.walk() if operator.nests][1:-1]
    places: npt.NDArray[np.intp] = np.zeros(0, dtype=np.intp)
    macs = np.zeros(0)
    for w, a in every:
        prediction = pm.predict(workload, machine, precision=f"w=int{w},a=int{a}")
        table, facts = prediction.table, machine.facts
        seconds = np.asarray(table["row_s"], dtype=float)
        joules = seconds * float(facts["power.idle"])
        for name in table.columns:
            if name.endswith(" energy_j"):
                joules = joules + np.asarray(table[name], dtype=float)
        for level in prediction.traffic_bytes:
            each = float(facts[f"memories.{level}.energy_per_byte"])
            joules = joules + each * np.asarray(table[f"{level}_bytes"], dtype=float)
        columns.append((seconds, joules))
        matrix = [i for i, kind in enumerate(table["kind"]) if str(kind) in MATRIX_KINDS]
        places = np.array(matrix[1:-1], dtype=np.intp)
        macs = np.asarray(table["macs"], dtype=float)
    eight_s, eight_j = columns[every.index(EIGHT)]
    return BitCosts(
        tuple(names),
        every,
        np.stack([s[places] for s, _ in columns], axis=1),
        np.stack([j[places] for _, j in columns], axis=1),
        macs[places],
        float(eight_s.sum() - eight_s[places].sum()),
        float(eight_j.sum() - eight_j[places].sum()),
        float(macs.sum() - macs[places].sum()),
    )


def relative_noise(costs: BitCosts) -> Floats:
    """Return the loss of each layer and pair ``(n, m)``: ``4**-w + 4**-a``, alike for all layers.

    Noise over signal of a product whose operands are rounded to `w` and `a` bits, up to a factor
    that all share (a bit halves the step of a quantiser). It stands in for measured sensitivities:
    no layer matters more than another.
    """
    each = [4.0**-w + 4.0**-a for w, a in costs.pairs]
    return np.tile(np.array(each), (len(costs.layers), 1))


def choose_bits(
    costs: BitCosts,
    *,
    loss: Floats | None = None,
    most_loss: float = np.inf,
    most_bit_operations: float = np.inf,
    least: Literal["seconds", "joules", "loss"] = "seconds",
    alike: Sequence[tuple[int, int]] = (),
) -> BitWidthAssignment:
    """Return the bits that cost the least within a loss and a number of bit operations, proved.

    Parameters
    ----------
    costs
        Tables of the network.
    loss
        Of each layer and pair, ``(n, m)``; they add.
    most_loss, most_bit_operations
        Limits; bit operations are of the whole network.
    least
        What is to be small.
    alike
        Layers that take the same bits, two by two.

    Raises
    ------
    ValueError
        No choice keeps the limits.
    """
    from perfmodel.search.exact import ChoiceProblem, Limit, Sum, Term, solve

    losses = np.zeros(costs.seconds.shape) if loss is None else loss
    objective = {"seconds": costs.seconds, "joules": costs.joules, "loss": losses}[least]
    bits = np.array([w * a for w, a in costs.pairs], dtype=float)
    other_bit_macs = costs.other_macs * EIGHT[0] * EIGHT[1]
    tables = {
        "loss": (losses, 0.0, most_loss),
        "bit operations": (costs.macs[:, None] * bits, other_bit_macs, most_bit_operations),
    }
    limits = tuple(
        Limit(name, (Sum.of([*values], constant),), bound)
        for name, (values, constant, bound) in tables.items()
        if np.isfinite(bound)
    )
    # Solvers stop at an absolute gap: a microsecond is no small number then.
    scaled = objective * (1e3 / objective.sum())
    same = np.where(np.eye(len(costs.pairs), dtype=bool), 0.0, np.inf)
    terms = (*Sum.of([*scaled]).terms, *(Term((i, j), same) for i, j in alike))
    problem = ChoiceProblem(
        tuple(len(row) for row in objective), Sum(0.0, terms), limits, costs.layers
    )
    answer = solve(problem)
    if answer.solution is None or not answer.proved:
        raise ValueError(f"no proved choice of bits: {answer.status}")
    return costs.at(answer.solution)
