"""Pairwise ranking accuracy: share of pairs of measured rows that predictions order correctly.

The choice of a device, a network, a precision or a runtime depends on which of two alternatives is
faster. Pairs are drawn from rows that differ in one of these and agree in everything else. With
measured times ``m`` and predicted times ``p`` of the rows a and b of N pairs, the accuracy is

``(concordant + ties / 2) / N``,

where a pair is concordant if ``(p_a - p_b) (m_a - m_b) > 0`` and a tie if ``p_a = p_b``. It equals
``(1 + tau) / 2`` with tau-a of Kendall (Biometrika 30, 1938) over these pairs; pairs with similar
measured times are left out, since noise may decide their order.

The number of pairs grows with the square of the rows, so that pairs are sampled: each data set
contributes the same number as far as it has them. A choice among all alternatives of a group is
scored by its regret, the measured time of the alternative with the lowest predicted time over the
lowest measured one, less 1, and by Spearman's rank correlation. `pair_scores` is called for the
trust page (`perfmodel.evaluate.trust`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.evaluate.result import ValidationResult, spearman
from perfmodel.evaluate.validation_case import RowOrigin
from perfmodel.evidence import RATES, Subject

__all__ = ["PREDICTORS", "PairScore", "pair_scores"]

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int64]

#: Predictors: plain predictions, predictions by constants refitted without the row's device, the
#: bare roofline, operations over peak.
PREDICTORS: Final = ("predicted", "left_out", "roofline", "compute")
#: Smallest relative difference of measured times for a pair to count: the order of closer times may
#: be due to the scatter of the measurements.
_MIN_DIFFERENCE: Final = 0.2
#: Pairs per score: the standard error of a share is then at most ``sqrt(0.25 / 1e5)``, 0.16 %.
_PAIRS: Final = 100_000
#: A data set with at most this multiple of its share of pairs is enumerated, others are sampled:
#: two batches of a sample have that many pairs.
_ENUMERATED: Final = 4
#: Largest number of batches drawn; fewer pairs result if hardly any has distinct measured times.
_BATCHES: Final = 16
#: Groups of comparable rows per data set of which choices are scored.
_MAX_GROUPS: Final = 500
#: Rows of a group that has a rank correlation.
_MIN_RANKED: Final = 5


class ChoiceScore(NamedTuple):
    """Choices by predictions among all alternatives of groups of comparable rows.

    Attributes
    ----------
    groups
        Number of groups.
    regret
        Mean of ``measured time of the predicted fastest / lowest measured time - 1``.
    spearman
        Mean rank correlation of the groups with at least five rows; ``None`` without one.
    """

    groups: int
    regret: float
    spearman: float | None


class PairScore(NamedTuple):
    """Share of pairs of one kind that are ordered correctly.

    Attributes
    ----------
    differ_in
        ``device``, ``network``, ``precision`` or ``runtime``.
    dataset
        Name of the data set; empty for all data sets together.
    workload_class
        Class name of `perfmodel.evidence.classes_of`.
    pairs
        Number of pairs, with measured times that differ by more than 20 %.
    datasets
        Number of data sets, each with the same number of pairs as far as available.
    accuracy
        Predictor (`PREDICTORS`) -> share of pairs in the correct order, where ties count half, and
        number of pairs of which it predicts both rows.
    choices
        Choices among all alternatives of a group; of several data sets with equal weights.
    """

    differ_in: str
    dataset: str
    workload_class: str
    pairs: int
    datasets: int
    accuracy: Mapping[str, tuple[float, int]]
    choices: ChoiceScore


class _TimedRow(NamedTuple):
    """A row with its network, device, settings, and times.

    Attributes
    ----------
    seconds
        Measured time, then the predicted times in the order of `PREDICTORS`; NaN if unknown.
    """

    dataset: str
    workload_class: str
    device: str
    network: Hashable
    batch: float
    precision: str
    runtime: str
    setting: Hashable
    seconds: tuple[float, ...]


#: Property in which pairs differ -> key of the properties that they share besides the class.
_SHARED_KEYS: Final[Mapping[str, Callable[[_TimedRow], Hashable]]] = {
    "device": lambda row: (row.network, row.precision),
    "network": lambda row: (row.dataset, row.device, row.setting, row.precision, row.batch),
    "precision": lambda row: (row.dataset, row.device, row.setting, row.network),
    "runtime": lambda row: (row.dataset, row.device, row.network, row.precision),
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
        Scores ordered by kind of pair, then by class: that of all data sets, then of each.
    """
    rows = [row for result in results for row in _timed_rows(result)]
    seconds = np.array([row.seconds for row in rows]).reshape(len(rows), 1 + len(PREDICTORS))
    rng = np.random.default_rng(seed)
    scores: list[PairScore] = []
    for differ_in in _SHARED_KEYS:
        alternatives = _alternatives(rows, differ_in)
        for workload_class, datasets in _comparable_rows(rows, differ_in, alternatives):
            drawn = _sampled_pairs(datasets, alternatives, seconds[:, 0], pairs, rng)
            samples = {name: sample for name, sample in drawn if len(sample)}
            choices = {name: _choices(datasets[name], seconds) for name in sorted(samples)}
            parts = [("", list(samples)), *((name, [name]) for name in choices)] if samples else []
            for dataset, names in parts:
                scored = np.concatenate([samples[name] for name in names])
                scores.append(
                    PairScore(
                        differ_in,
                        dataset,
                        workload_class,
                        len(scored),
                        len(names),
                        _accuracy(seconds, scored),
                        _mean_choices([choices[name] for name in names]),
                    )
                )
    return scores


def _choices(groups: Sequence[Index], seconds: Floats) -> ChoiceScore:
    """Return the score of choices by plain predictions in groups of one data set."""
    scored = groups[:: -(-len(groups) // _MAX_GROUPS)]
    regrets: list[float] = []
    ranks: list[float | None] = []
    for group in scored:
        measured, predicted = seconds[group, 0], seconds[group, 1]
        regrets.append(float(measured[np.argmin(predicted)] / measured.min()) - 1.0)
        if len(group) >= _MIN_RANKED:
            ranks.append(spearman(predicted, measured))
    return ChoiceScore(len(groups), float(np.mean(regrets)), _mean(ranks))


def _mean_choices(each: Sequence[ChoiceScore]) -> ChoiceScore:
    """Return the score of several data sets with equal weights."""
    regret = float(np.mean([one.regret for one in each]))
    return ChoiceScore(sum(one.groups for one in each), regret, _mean(one.spearman for one in each))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _alternatives(rows: Sequence[_TimedRow], differ_in: str) -> Index:
    """Return for each row the number of its device, network, precision or runtime."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(getattr(r, differ_in), len(numbers)) for r in rows])


def _comparable_rows(
    rows: Sequence[_TimedRow], differ_in: str, alternatives: Index
) -> Iterator[tuple[str, Mapping[str, Sequence[Index]]]]:
    """Yield each class of workloads with data set -> groups of rows that may be paired."""
    classes: dict[str, dict[Hashable, list[int]]] = defaultdict(lambda: defaultdict(list))
    for i, row in enumerate(rows):
        classes[row.workload_class][_SHARED_KEYS[differ_in](row)].append(i)
    for workload_class, groups in sorted(classes.items()):
        datasets: dict[str, list[Index]] = defaultdict(list)
        for group in groups.values():
            if len(set(alternatives[group])) > 1:
                datasets[rows[group[0]].dataset].append(np.array(group))
        yield workload_class, datasets


def _timed_rows(result: ValidationResult) -> Iterator[_TimedRow]:
    """Yield the rows of a result with a time or a rate, converted to seconds."""
    refitted: dict[tuple[Subject, float], list[float]] = defaultdict(list)
    for trial in result.left_out.values():
        for row in trial.get("nested", trial)["predictions"]:
            if row["way"] == "left_out":
                refitted[row["subject"], row["measured"]].append(row["predicted"])
    for row in result.predictions:
        origin: RowOrigin | None = row.get("origin")
        if origin is None or origin.subject.quantity != "time":
            continue
        case, quantity = origin.case, origin.quantity
        without = refitted.get((origin.subject, row["measured"]))
        values = [
            row["measured"],
            row["predicted"],
            without.pop(0) if without else None,
            row.get("roofline"),
            row.get("compute"),
        ]
        seconds = tuple(np.nan if value is None else float(value) for value in values)
        if quantity.metric in RATES:
            seconds = tuple(1.0 / value if value else np.nan for value in seconds)
        sizes: Mapping[str, Any] = (quantity.load or quantity.workload).parameters
        network = (*sorted((name, float(value)) for name, value in sizes.items()), *_model(origin))
        yield _TimedRow(
            result.name,
            origin.subject.workload_class,
            origin.subject.device,
            (quantity.metric, *network),
            float(sizes.get("batch", 1.0)),
            str(case.precision),
            origin.runtime,
            (quantity.target, case.device, origin.runtime, case.warm),
            seconds,
        )


def _model(origin: RowOrigin) -> tuple[Hashable, ...]:
    """Return a key that identifies the network, apart from its free dimensions."""
    load, workload = origin.quantity.load, origin.quantity.workload
    if load is not None:
        return (str(load.model), *map(str, load.choices.items()))
    # Graphs are cached by structure and kept alive by the rows, so ids identify them.
    return (workload.name, id(workload.graph()))


def _sampled_pairs(
    datasets: Mapping[str, Sequence[Index]],
    alternatives: Index,
    measured: Floats,
    pairs: int,
    rng: np.random.Generator,
) -> Iterator[tuple[str, Index]]:
    """Yield each data set's pairs, at most its equal share of the requested number.

    The smallest data sets come first, so that the pairs that they lack go to the larger ones.
    """
    counts = {
        name: sum(len(group) * (len(group) - 1) // 2 for group in groups)
        for name, groups in datasets.items()
    }
    remaining_sets, remaining_pairs = len(counts), pairs
    for name in sorted(counts, key=lambda name: counts[name]):
        share, groups = remaining_pairs // remaining_sets, datasets[name]
        if counts[name] <= _ENUMERATED * share:
            every = [group[np.stack(np.triu_indices(len(group), 1), axis=1)] for group in groups]
            sample = _decisive_pairs(np.concatenate(every), alternatives, measured)
            sample = sample[rng.permutation(len(sample))[:share]]
        else:
            sample = _random_pairs(groups, share, alternatives, measured, rng)
        remaining_sets, remaining_pairs = remaining_sets - 1, remaining_pairs - len(sample)
        yield name, sample


def _random_pairs(
    groups: Sequence[Index],
    share: int,
    alternatives: Index,
    measured: Floats,
    rng: np.random.Generator,
) -> Index:
    """Return pairs drawn with replacement, uniformly from all pairs within groups.

    A group of n rows is drawn with probability proportional to its ``n (n - 1)`` ordered pairs,
    then two different rows of it. Each batch has twice the pairs wanted, as some do not count.
    """
    sizes = np.array([len(group) for group in groups])
    starts, members = np.cumsum(sizes) - sizes, np.concatenate(groups)
    weights = sizes * (sizes - 1.0)
    sample = np.empty((0, 2), dtype=np.int64)
    for _ in range(_BATCHES):
        group = rng.choice(len(groups), 2 * share, p=weights / weights.sum())
        first = rng.integers(0, sizes[group])
        second = (first + rng.integers(1, sizes[group])) % sizes[group]
        batch = np.stack([members[starts[group] + first], members[starts[group] + second]], axis=1)
        sample = np.concatenate([sample, _decisive_pairs(batch, alternatives, measured)])
        if len(sample) >= share:
            break
    return sample[:share]


def _decisive_pairs(pairs: Index, alternatives: Index, measured: Floats) -> Index:
    """Return the pairs of different alternatives with sufficiently different measured times."""
    a, b = pairs.T
    times = np.stack([measured[a], measured[b]])
    is_distinct = times.max(axis=0) > (1.0 + _MIN_DIFFERENCE) * times.min(axis=0)
    return pairs[is_distinct & (alternatives[a] != alternatives[b])]


def _accuracy(seconds: Floats, pairs: Index) -> dict[str, tuple[float, int]]:
    """Return predictor -> ``(concordant + ties / 2) / N``, and the number N of predicted pairs."""
    a, b = seconds[pairs[:, 0]], seconds[pairs[:, 1]]
    is_slower = a[:, 0] > b[:, 0]
    accuracy: dict[str, tuple[float, int]] = {}
    for column, name in enumerate(PREDICTORS, start=1):
        known = np.isfinite(a[:, column]) & np.isfinite(b[:, column])
        if known.any():
            is_tie = a[known, column] == b[known, column]
            is_concordant = (a[known, column] > b[known, column]) == is_slower[known]
            share = float(np.where(is_tie, 0.5, is_concordant).mean())
            accuracy[name] = share, int(known.sum())
    return accuracy
