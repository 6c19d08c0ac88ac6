"""What quantising one part costs: noise of its weights, the loss measured, the loss by Hessian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.real_tasks.compensate import Compensated
from benchmarks.real_tasks.losses import Losses
from benchmarks.real_tasks.networks import Array, Network
from perfmodel.formats import format_named
from perfmodel.search.accuracy.accuracy_model import Configuration
from perfmodel.search.accuracy.additivity_test import AdditivityReport, additivity
from perfmodel.search.accuracy.layer_option import LayerOption
from perfmodel.search.accuracy.simulated_quantisation import fake_quantise

#: Options of every part: bits of its weights, symmetric integers, a scale an output channel.
BITS = (2, 3, 4, 5, 6, 7, 8)
#: Terms of two parts: (i, j) -> (options of i, options of j).
Pairs = Mapping[tuple[int, int], Array]


class Quantised:
    """The rows of every part at every width.

    Rounded to nearest by `fake_quantise`, or with moments of the layers' inputs as in `compensate`.
    `noise` and `to_signal` (squared error, and relative to the squared weights) are of rounding to
    nearest, which needs no data.
    """

    def __init__(self, network: Network, moments: Sequence[Array | None] | None = None) -> None:
        self.network = network
        nearest = [
            [fake_quantise(network.rows(part), format_named(f"int{bits}"), axis=0) for bits in BITS]
            for part in network.parts
        ]
        floats = [network.rows(part).astype(float) for part in network.parts]
        self.noise = np.array(
            [
                [float(np.square(made - rows).sum()) for made in row]
                for rows, row in zip(floats, nearest, strict=True)
            ]
        )
        power = [float(np.square(rows).sum()) for rows in floats]
        self.to_signal = self.noise / np.array(power)[:, None]
        self._rows = nearest
        if moments is not None:
            rounding = [Compensated(moment) for moment in moments]
            self._rows = [
                [rounding[part.layer](network.rows(part), bits, part.start) for bits in BITS]
                for part in network.parts
            ]

    def operands(
        self, choice: Sequence[int], only: Sequence[int] | None = None
    ) -> dict[str, Array]:
        """Return the operands under a choice (an option a part), of all parts or of some."""
        parts = range(len(choice)) if only is None else only
        return self.network.changed(
            {self.network.parts[i]: self._rows[i][choice[i]] for i in parts}
        )


def measured(quantised: Quantised, losses: Losses) -> Array:
    """Return the losses with one part quantised, the others float, (kinds, parts, options)."""
    parts = len(quantised.network.parts)
    found = [
        [losses.of(quantised.operands([o] * parts, [i])) for o in range(len(BITS))]
        for i in range(parts)
    ]
    return np.moveaxis(np.array(found), 2, 0)


def falling(table: Array) -> Array:
    """Return losses that are not negative and do not rise with bits: the largest from a width up.

    A few inputs measure small losses with errors of their size, and a search takes what is too low.
    """
    return np.maximum.accumulate(np.maximum(table, 0.0)[:, ::-1], axis=1)[:, ::-1]


def adds_up(quantised: Quantised, losses: Losses, table: Array, least: int) -> AdditivityReport:
    """Compare the first loss of joint choices, `least` to 8 bits or float, with sums of a table."""
    names = [part.name for part in quantised.network.parts]
    first = BITS.index(least)
    widths = [LayerOption(format_named(f"int{bits}")) for bits in BITS[first:]]

    def measure(configuration: Configuration) -> float:
        choice = [
            first + widths.index(o) if o in widths else -1
            for o in (configuration[name] for name in names)
        ]
        only = [i for i, option in enumerate(choice) if option >= 0]
        if len(only) < 2:
            return sum(float(table[i, choice[i]]) for i in only)
        return float(losses.of(quantised.operands(choice, only))[0])

    options = [[LayerOption(), *widths] for _ in names]
    return additivity(measure, names, options, joints=12)


def adjacent(quantised: Quantised, losses: Losses, table: Array, bits: int) -> Pairs:
    """Return terms of each two parts that follow one another, from one run a pair.

    What both at `bits` lose beyond the sum of each is taken relative to 2 sqrt(L_i L_j), which it
    would be for a quadratic loss and output changes in one direction, and scaled so to all other
    widths. (CLADO, Deng et al., 2023, measures every pair of parts and widths.)
    """
    parts, option = len(quantised.network.parts), BITS.index(bits)
    root = np.sqrt(np.maximum(table, 0.0))
    found: dict[tuple[int, int], Array] = {}
    for i in range(parts - 1):
        both = float(losses.of(quantised.operands([option] * parts, [i, i + 1]))[0])
        beyond = both - table[i, option] - table[i + 1, option]
        alike = beyond / max(2 * root[i, option] * root[i + 1, option], 1e-12)
        found[i, i + 1] = 2 * min(max(alike, -1.0), 1.0) * np.outer(root[i], root[i + 1])
    return found


def hessian_mean(network: Network, losses: Losses, probes: int, seed: int) -> Array:
    """Return the mean of the Hessian's diagonal of each loss, (kinds, parts), without gradients.

    Hutchinson: for v of random signs, E[v' H v] is the trace. Output error and divergence from the
    network's own output are least, 0, at the float weights, so H is their Gauss-Newton matrix and
    the loss at w + e v is e^2 v' H v / 2 to second order: one run a probe, with e at 2 % of the
    weights' root mean square. HAWQ-V2 (Dong et al., 2020) takes the same mean by Hutchinson from
    second derivatives of the training loss.
    """
    draw = np.random.default_rng(seed)
    means: list[Array] = []
    for part in network.parts:
        rows = network.rows(part)
        step = 0.02 * float(np.sqrt(np.square(rows, dtype=float).mean()))
        found = np.zeros(len(losses.kinds))
        for _ in range(probes):
            moved = rows + step * draw.choice([-1.0, 1.0], rows.shape)
            found += losses.of(network.changed({part: moved}))
        means.append(2 * found / probes / step**2 / part.weights)
    return np.array(means).T
