"""Pairwise ranking accuracy: share of pairs of measured rows that predictions order correctly.

The choice of a device, a network or a precision depends on which of two alternatives is faster.
Pairs are drawn from rows that differ in one of these three and agree in everything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.evaluate.case import RowOrigin
from perfmodel.evaluate.result import ValidationResult
from perfmodel.evidence import RATES, Subject

__all__ = ["PREDICTORS", "PairScore", "pair_scores"]

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Predictors: plain predictions, predictions by constants refitted without the row's device, the
#: bare roofline, operations over peak.
PREDICTORS: Final = ("predicted", "left_out", "roofline", "compute")
#: Smallest relative difference of measured times for a pair to count.
_LEAST: Final = 0.2
_PAIRS: Final = 100_000


class PairScore(NamedTuple):
    """Share of pairs of one kind that are ordered correctly.

    Attributes
    ----------
    differ_in
        ``device``, ``network`` or ``precision``.
    workload_class
        Class name of `perfmodel.evidence.classes_of`.
    pairs
        Number of pairs, with measured times that differ by more than 20 %.
    datasets
        Number of data sets, each with the same number of pairs as far as available.
    right
        Predictor (`PREDICTORS`) -> share of pairs in the correct order, and number of pairs for
        which it predicts both rows. Ties count half.
    """

    differ_in: str
    workload_class: str
    pairs: int
    datasets: int
    right: Mapping[str, tuple[float, int]]


class _TimedRow(NamedTuple):
    """A row with its network, device, settings, and measured and predicted seconds."""

    dataset: str
    workload_class: str
    device: str
    network: Hashable
    batch: float
    precision: str
    setting: Hashable
    seconds: tuple[float, ...]


#: Property in which pairs differ -> key of the properties that they share besides the class.
_ALIKE: Final[Mapping[str, Callable[[_TimedRow], Hashable]]] = {
    "device": lambda row: (row.network, row.precision),
    "network": lambda row: (row.dataset, row.device, row.setting, row.precision, row.batch),
    "precision": lambda row: (row.dataset, row.device, row.setting, row.network),
}


def pair_scores(
    results: Iterable[ValidationResult], *, pairs: int = _PAIRS, seed: int = 0
) -> list[PairScore]:
    """Return the pairwise ranking accuracy of predictions by kind of pair and class.

    Parameters
    ----------
    results
        Results of `perfmodel.evaluate.validate`; with ``left_out``, predictions by constants
        refitted without a row's device are also scored.
    pairs
        Maximum number of pairs drawn for each kind and class of workloads.
    seed
        Seed of the random draws.

    Returns
    -------
    list of PairScore
        Scores ordered by kind of pair, then by class.
    """
    rows = [row for result in results for row in _timed_rows(result)]
    seconds = np.array([row.seconds for row in rows]).reshape(len(rows), 1 + len(PREDICTORS))
    rng = np.random.default_rng(seed)
    out: list[PairScore] = []
    for differ_in, alike in _ALIKE.items():
        classes: dict[str, dict[Hashable, list[int]]] = defaultdict(lambda: defaultdict(list))
        for i, row in enumerate(rows):
            classes[row.workload_class][alike(row)].append(i)
        numbers: dict[Hashable, int] = {}
        names = np.array([numbers.setdefault(getattr(r, differ_in), len(numbers)) for r in rows])
        for name, groups in sorted(classes.items()):
            strata: dict[str, list[Index]] = defaultdict(list)
            for members in groups.values():
                if len({getattr(rows[i], differ_in) for i in members}) > 1:
                    strata[rows[members[0]].dataset].append(np.array(members))
            drawn = [pair for pair in _drawn(strata, names, seconds[:, 0], pairs, rng) if len(pair)]
            if drawn:
                score = _right(seconds, np.concatenate(drawn))
                count = sum(map(len, drawn))
                out.append(PairScore(differ_in, name, count, len(drawn), score))
    return out


def _timed_rows(result: ValidationResult) -> Iterator[_TimedRow]:
    """Yield the rows of a result with a time or a rate, converted to seconds."""
    refitted: dict[tuple[Subject, float], list[float]] = defaultdict(list)
    for trial in result.left_out.values():
        for row in trial.get("nested", trial)["predictions"]:
            refitted[row["subject"], row["measured"]].append(row["predicted"])
    for row in result.predictions:
        origin: RowOrigin | None = row.get("origin")
        if origin is None or origin.subject.quantity != "time":
            continue
        case, question = origin.case, origin.question
        without = refitted.get((origin.subject, row["measured"]))
        values = [
            row["measured"],
            row["predicted"],
            without.pop(0) if without else None,
            row.get("roofline"),
            row.get("compute"),
        ]
        seconds = tuple(np.nan if value is None else float(value) for value in values)
        if question.metric in RATES:
            seconds = tuple(1.0 / value if value else np.nan for value in seconds)
        sizes: Mapping[str, Any] = (question.load or question.workload).parameters
        network = (*sorted((name, float(value)) for name, value in sizes.items()), *_model(origin))
        yield _TimedRow(
            result.name,
            origin.subject.workload_class,
            origin.subject.device,
            (question.metric, *network),
            float(sizes.get("batch", 1.0)),
            str(case.precision),
            (question.target, case.device, origin.runtime, case.warm),
            seconds,
        )


def _model(origin: RowOrigin) -> tuple[Hashable, ...]:
    """Return a key that identifies the network, apart from its free dimensions."""
    load, workload = origin.question.load, origin.question.workload
    if load is not None:
        return (str(load.model), *map(str, load.choices.items()))
    # Graphs are cached by structure and kept alive by the rows, so ids identify them.
    return (workload.name, id(workload.graph()))


def _drawn(
    strata: Mapping[str, Sequence[Index]],
    names: Index,
    measured: Floats,
    pairs: int,
    rng: np.random.Generator,
) -> Iterator[Index]:
    """Yield the pairs of each data set, at most its equal share of the requested number."""
    counts = {name: sum(_pairs_of(group) for group in strata[name]) for name in strata}
    left, wanted = len(counts), pairs
    for name in sorted(counts, key=lambda name: counts[name]):
        share = wanted // left
        if counts[name] <= 4 * share:
            groups = strata[name]
            every = [group[np.stack(np.triu_indices(len(group), 1), axis=1)] for group in groups]
            pool = _decisions(np.concatenate(every), names, measured)
            pool = pool[rng.permutation(len(pool))[:share]]
        else:
            pool = _sampled(strata[name], share, names, measured, rng)
        left, wanted = left - 1, wanted - len(pool)
        yield pool


def _pairs_of(group: Index) -> int:
    return len(group) * (len(group) - 1) // 2


def _sampled(
    groups: Sequence[Index], share: int, names: Index, measured: Floats, rng: np.random.Generator
) -> Index:
    """Return pairs drawn uniformly at random from all pairs within groups."""
    sizes = np.array([len(group) for group in groups])
    starts, members = np.cumsum(sizes) - sizes, np.concatenate(groups)
    weights = sizes * (sizes - 1.0)
    pool = np.empty((0, 2), dtype=np.int64)
    for _ in range(16):
        group = rng.choice(len(groups), 2 * share, p=weights / weights.sum())
        first = rng.integers(0, sizes[group])
        second = (first + rng.integers(1, sizes[group])) % sizes[group]
        drawn = np.stack([members[starts[group] + first], members[starts[group] + second]], axis=1)
        pool = np.concatenate([pool, _decisions(drawn, names, measured)])
        if len(pool) >= share:
            break
    return pool[:share]


def _decisions(drawn: Index, names: Index, measured: Floats) -> Index:
    """Return the pairs with different names and sufficiently different measured times."""
    a, b = drawn.T
    times = np.stack([measured[a], measured[b]])
    distinct = times.max(axis=0) > (1.0 + _LEAST) * times.min(axis=0)
    return drawn[distinct & (names[a] != names[b])]


def _right(seconds: Floats, drawn: Index) -> dict[str, tuple[float, int]]:
    a, b = seconds[drawn[:, 0]], seconds[drawn[:, 1]]
    slower = a[:, 0] > b[:, 0]
    out: dict[str, tuple[float, int]] = {}
    for column, name in enumerate(PREDICTORS, start=1):
        known = np.isfinite(a[:, column]) & np.isfinite(b[:, column])
        if known.any():
            same = a[known, column] == b[known, column]
            agrees = (a[known, column] > b[known, column]) == slower[known]
            out[name] = float(np.where(same, 0.5, agrees).mean()), int(known.sum())
    return out
