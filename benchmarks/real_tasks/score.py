"""Figures on test inputs and what chance leaves of them: bootstrap over files or lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.real_tasks.files import Files
from benchmarks.real_tasks.lines import Line, characters, decode, edits
from benchmarks.real_tasks.networks import Array, Network


@dataclass(frozen=True)
class Score:
    """A ratio of sums over test inputs; `others` holds further ratios by name."""

    above: Array
    below: Array
    others: dict[str, float]

    @property
    def value(self) -> float:
        """The ratio."""
        return float(self.above.sum() / self.below.sum())


class Draws:
    """Resamples of test inputs, the same for all that is compared."""

    def __init__(self, inputs: int, draws: int = 2000, seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        self._counts = chance.multinomial(inputs, np.full(inputs, 1 / inputs), size=draws)

    def ratios(self, score: Score) -> Array:
        """Return the ratio in each resample."""
        return (self._counts @ score.above) / (self._counts @ score.below)

    def interval(self, score: Score, beside: Score | None = None) -> tuple[float, float]:
        """Return the 95 % interval of a ratio, or of its difference from another's."""
        found = self.ratios(score) - (0.0 if beside is None else self.ratios(beside))
        low, high = np.quantile(found, [0.025, 0.975])
        return float(low), float(high)


def agreement(network: Network, operands: dict[str, Array], test: Files, known: Array) -> Score:
    """Return how often the first label is the float network's; beside it, the ending's."""
    session = network.session(operands)
    said = np.concatenate(
        [session.run(None, {"bytes": test.inputs[i : i + 1]})[0] for i in range(len(test.inputs))]
    )
    top, sure = said.argmax(1), known >= 0
    same = (top == test.probabilities.argmax(1)).astype(float)
    right = float((top[sure] == known[sure]).mean())
    return Score(same, np.ones(len(same)), {"right by ending": right})


def character_error(network: Network, operands: dict[str, Array], test: Sequence[Line]) -> Score:
    """Return edits a written character; beside it, lines that are read without error."""
    session, alphabet = network.session(operands), characters(network.proto)
    read = [decode(session.run(None, {"x": line.image})[0][0], alphabet) for line in test]
    wrong = np.array([edits(line.text, text) for line, text in zip(test, read, strict=True)], float)
    lengths = np.array([len(line.text) for line in test], float)
    return Score(wrong, lengths, {"lines without error": float((wrong == 0).mean())})
