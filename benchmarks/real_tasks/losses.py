"""How far answers are from the float network's: losses that need no labels.

Of the output the squared error or the divergence, of a recogniser also the CTC loss of the text
that the float network reads. A step of CTC may move without any change of the text, which the first
two count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.real_tasks.lines import best_path, edits
from benchmarks.real_tasks.networks import Array
from benchmarks.real_tasks.tails import Tails

_LEAST = 1e-12


class Divergence:
    """Kullback-Leibler divergence from the float output, nats a position (a file, or a step)."""

    name, unit = "divergence", "nats a position"

    def __init__(self, float_outputs: Iterable[Array]) -> None:
        self._share = _positions(float_outputs).astype(float)
        self._log = np.log(np.maximum(self._share, _LEAST))

    def of(self, outputs: Iterable[Array]) -> float:
        """Return the mean over positions; outputs are probabilities, (..., classes) each."""
        log = np.log(np.maximum(_positions(outputs), _LEAST))
        return float(np.vdot(self._share, self._log - log)) / len(self._share)


class OutputError:
    """Squared change of the output before its softmax, relative to its square, mean over positions.

    Every position counts alike, so few inputs measure it well; a step of CTC that moves by one does
    not outweigh all others, as it does in a divergence.
    """

    name, unit = "output error", "of the output's square"

    def __init__(self, float_outputs: Iterable[Array]) -> None:
        self._float = _logits(float_outputs)
        self._square = np.square(self._float).sum(1)

    def of(self, outputs: Iterable[Array]) -> float:
        """Return the error; outputs are probabilities, (..., classes) each."""
        change = np.square(_logits(outputs) - self._float).sum(1)
        return float((change / self._square).mean())


def _logits(outputs: Iterable[Array]) -> Array:
    """The softmax's input up to a constant a position, which has no effect: less its mean."""
    made = np.log(np.maximum(_positions(outputs), np.finfo(np.float32).tiny))
    return made - made.mean(1, keepdims=True)


def _positions(outputs: Iterable[Array]) -> Array:
    return np.concatenate([made.reshape(-1, made.shape[-1]) for made in outputs])


class CtcExcess:
    """CTC loss of the text that the float network reads, less the float network's own.

    Graves et al., "Connectionist Temporal Classification", 2006, equations 6 to 8, as logarithms.
    Class 0 is the blank. In nats a character of the float text.
    """

    name, unit = "CTC loss", "nats a character"

    def __init__(self, float_outputs: Iterable[Array]) -> None:
        outputs = list(float_outputs)
        texts = [best_path(made[0]) for made in outputs]
        self._characters = sum(len(t) for t in texts)
        self._states = [2 * len(t) + 1 for t in texts]
        self._labels = np.zeros((len(texts), max(self._states)), np.int64)
        for row, text in zip(self._labels, texts, strict=True):
            row[1 : 2 * len(text) : 2] = text
        # Between two unlike characters the blank may be left out.
        self._skips = np.zeros(self._labels.shape, bool)
        self._skips[:, 2:] = (self._labels[:, 2:] > 0) & (
            self._labels[:, 2:] != self._labels[:, :-2]
        )
        self._own = 0.0
        self._own = self.of(outputs)

    def of(self, outputs: Iterable[Array]) -> float:
        """Return the excess; outputs are probabilities, (1, steps, classes) each."""
        logs = [
            np.log(np.maximum(made[0][:, row], _LEAST)).astype(float)
            for made, row in zip(outputs, self._labels, strict=True)
        ]
        steps = np.array([len(log) for log in logs])
        score = np.full((len(logs), int(steps.max()), self._labels.shape[1]), 0.0)
        for k, log in enumerate(logs):
            score[k, : len(log)] = log
        now = np.full(self._labels.shape, -np.inf)
        now[:, :2] = score[:, 0, :2]
        for t in range(1, score.shape[1]):
            one = np.pad(now, ((0, 0), (1, 0)), constant_values=-np.inf)[:, :-1]
            two = np.pad(now, ((0, 0), (2, 0)), constant_values=-np.inf)[:, :-2]
            two = np.where(self._skips, two, -np.inf)
            new = np.logaddexp(np.logaddexp(now, one), two) + score[:, t]
            now = np.where((t < steps)[:, None], new, now)
        ends = [
            np.logaddexp(row[n - 1], row[n - 2]) if n > 1 else row[0]
            for row, n in zip(now, self._states, strict=True)
        ]
        return -float(np.sum(ends)) / self._characters - self._own


class Renamed:
    """How many inputs have another likeliest class than the float network gives them."""

    name, unit = "first type changed", "of the files"

    def __init__(self, float_outputs: Iterable[Array]) -> None:
        self._first = _positions(float_outputs).argmax(1)

    def of(self, outputs: Iterable[Array]) -> float:
        """Return the share; outputs are probabilities, (1, classes) each."""
        return float((_positions(outputs).argmax(1) != self._first).mean())


class Misread:
    """Edits between the text that is read and the float network's, a character of the latter."""

    name, unit = "characters changed", "of the characters"

    def __init__(self, float_outputs: Iterable[Array]) -> None:
        self._texts = [best_path(made[0]) for made in float_outputs]

    def of(self, outputs: Iterable[Array]) -> float:
        """Return the share; outputs are probabilities, (1, steps, classes) each."""
        read = [best_path(made[0]) for made in outputs]
        wrong = sum(edits(a, b) for a, b in zip(self._texts, read, strict=True))
        return wrong / sum(len(text) for text in self._texts)


Kind = type[Divergence] | type[OutputError] | type[CtcExcess] | type[Renamed] | type[Misread]


class Losses:
    """Losses as functions of operands: a run of the network on the calibration inputs.

    Attributes
    ----------
    kinds
        Which, in the order of what `of` returns.
    runs
        How often the network was run.
    """

    def __init__(self, tails: Tails, kinds: Sequence[Kind]) -> None:
        self._tails = tails
        outputs = list(tails.run({}))
        self.kinds = [kind(outputs) for kind in kinds]
        self.runs = 1

    def of(self, operands: dict[str, Array]) -> Array:
        """Return the losses, (kinds,), of the network with these operands; 0 of the float one."""
        self.runs += 1
        outputs = list(self._tails.run(operands))
        return np.array([kind.of(outputs) for kind in self.kinds])
