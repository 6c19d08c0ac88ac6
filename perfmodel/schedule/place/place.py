"""Entry point of ``place``: weights and KV cache in the memories of a device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from perfmodel.errors import Fault, InputError, input_error, nearest, not_among
from perfmodel.formats import Precision
from perfmodel.former import former_parameters
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import (
    DeviceLike,
    PredictionInputs,
    PredictionQuestion,
    WorkloadLike,
    workload_of,
)
from perfmodel.schedule.place.items import By, Item, items_of
from perfmodel.schedule.place.levels import PlacementLevel, levels_of
from perfmodel.schedule.place.placed import items_named, placed
from perfmodel.schedule.place.popularity import Popularity, popularity_of
from perfmodel.schedule.place.result import PlacementResult
from perfmodel.settings import FaultList, gathered
from perfmodel.workload.workload import Workload

Method: TypeAlias = Literal["exact", "lp", "greedy"]
Objective: TypeAlias = Literal["latency_s", "energy_j"]

#: Accepted values of the options that are words.
_WORDS: Final = {
    "method": ("exact", "lp", "greedy"),
    "objective": ("latency_s", "energy_j"),
    "by": ("tensor", "layer"),
}


@former_parameters(seconds="time_limit_s")
@with_solver
def place(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    objective: Objective = "latency_s",
    levels: Iterable[str] | None = None,
    capacities: Mapping[str, str | float] | None = None,
    extra: str | Iterable[str | PlacementLevel] = (),
    kv_levels: Iterable[str] | None = None,
    pinned: Mapping[str, str] | None = None,
    cached: str | None = None,
    popularity: Popularity | None = None,
    by: By = "tensor",
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
    method: Method = "exact",
    solver: str = "highs",
    time_limit_s: float | None = 10.0,
) -> PlacementResult:
    """Place weights and KV cache in the memories of a device.

    Each tensor of each layer (of a mixture of experts each expert) lies in one memory. Reading it
    from there costs its bytes times the reads of a run over the bandwidth; the sum over all is
    least. A faster memory is worth most to the bytes that are read most often.

    Parameters
    ----------
    workload, device, set, precision, runtime, engine
        As for `predict`.
    objective
        latency_s: seconds of reading; or energy_j: joules of it.
    levels
        Memories to use, by name (sram,dram).
    capacities
        What weights and KV cache may take of a memory, in place of what its spec leaves: NAME=SIZE
        (dram=6 GB).
    extra
        Memories beside the device's: NAME=CAPACITY,BANDWIDTH (host=64 GB,25 GB/s). In Python also
        a `PlacementLevel`.
    kv_levels
        Memories that may hold the KV cache. By default all but flash, storage and disk.
    pinned
        Where a tensor, or all whose names begin so, must lie: NAME=LEVEL.
    cached
        Memory whose room beside what lies there for good is an LRU cache of the experts, which
        live in the outermost memory. By default experts are pinned like everything else.
    popularity
        How unevenly routers choose: exponent of a Zipf law, geometric:RATE, or a weight for each
        expert (3,1,1,1).
    by
        tensor or layer: what is placed as one piece.
    method
        exact (an integer programme, with a proof, or a bound where it is stopped), lp (the linear
        relaxation, rounded) or greedy (densest first).
    solver
        Solver of integer programmes: highs, or any that PuLP finds here (cbc, gurobi, scip). One
        that is stopped proves nothing by itself.
    time_limit_s
        Seconds that exact may take. In Python None is no limit.

    Returns
    -------
    PlacementResult
        What does not fit is a result, with what it needs and what would help.

    Raises
    ------
    InputError
        Every fault at once: unknown names, arrays of parameters, an objective that the device does
        not price.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.place("llama_3_8b", "rtx_4090", precision="w4a16").proved
    True
    """
    return PlacementQuestion(**vars()).answer()


@dataclass(frozen=True, kw_only=True)
class PlacementQuestion(PredictionQuestion):
    """Parameters of `place`."""

    objective: Objective
    levels: Iterable[str] | None
    capacities: Mapping[str, str | float] | None
    extra: str | Iterable[str | PlacementLevel]
    kv_levels: Iterable[str] | None
    pinned: Mapping[str, str] | None
    cached: str | None
    popularity: Popularity | None
    by: By
    method: Method
    solver: str
    time_limit_s: float | None

    def answer(self) -> PlacementResult:
        """Return the result of `place`, with the same errors."""
        faults = gathered()
        wrong = self._option_faults()
        faults += wrong
        deadline = Deadline(None if wrong else self.time_limit_s)
        extra = read_levels(self.extra, faults)
        popularity = faults.trying(popularity_of, self.popularity)
        predicted = faults.trying(predicted_one, self, "places")
        if predicted is None:
            raise InputError(faults)
        subject, prediction = predicted
        names = None if self.levels is None else list(self.levels)
        kv_names = None if self.kv_levels is None else list(self.kv_levels)
        usable = faults.trying(levels_of, prediction, names, self.capacities, extra, kv_names)
        items = faults.trying(items_of, prediction, by=self.by, popularity=popularity)
        # If the selected levels are invalid, names are checked against all levels.
        known = levels_of(prediction, extra=extra) if usable is None else usable
        faults += self._name_faults(items, [level.name for level in known])
        prices = None
        if usable is not None and self.objective in _WORDS["objective"]:
            prices = faults.trying(_prices, usable, self.objective)
        faults.settle()
        assert usable is not None
        assert items is not None
        assert prices is not None
        if not usable or not items:
            missing = "memory to place them in" if items else "weight or KV cache"
            raise input_error(f"there is no {missing}", file=subject.workload.origin)
        resolved = replace(
            self,
            workload=subject.workload,
            device=subject.device,
            levels=names,
            extra=extra,
            kv_levels=kv_names,
            popularity=popularity,
            set=None,
            precision=subject.precision,
            runtime=subject.runtime,
            engine=subject.engine,
        )
        unplaced = PlacementResult(
            None,
            np.inf,
            np.inf,
            self.method,
            prediction=prediction,
            levels=usable,
            items=items,
            objective=self.objective,
            _again=resolved.at_context,
        )
        return placed(unplaced, prices, self.pinned or {}, self.cached, deadline)

    def at_context(self, context: int) -> PlacementResult:
        """Return the result for another context length."""
        options: dict[str, Any] = vars(self) | {
            "workload": workload_of(self.workload, {"context": context})
        }
        return place(**options)

    def _option_faults(self) -> list[Fault]:
        faults = [
            fault
            for name, words in _WORDS.items()
            for word in [getattr(self, name)]
            for fault in not_among(f"there is no '{word}'", word, words, name)
        ]
        limit = self.time_limit_s
        if limit is not None and not limit >= 0:
            expected = "seconds from 0"
            faults.append(Fault(f"{limit} is no time limit", "time_limit_s", expected=expected))
        return faults

    def _name_faults(self, items: Sequence[Item] | None, levels: Sequence[str]) -> list[Fault]:
        """Return faults of names that match no item or level."""
        faults: list[Fault] = []

        def check_level(level: str, path: str) -> None:
            faults.extend(not_among(f"no level is named '{level}'", level, levels, path))

        for stem, level in (self.pinned or {}).items():
            if items is not None and not items_named(items, stem):
                suggestion = nearest(stem, [item.name for item in items])
                faults.append(Fault(f"nothing is named '{stem}'", "pinned", suggestion=suggestion))
            check_level(level, f"pinned.{stem}")
        if self.cached is not None:
            check_level(self.cached, "cached")
        return faults


def predicted_one(question: PredictionQuestion, verb: str) -> tuple[PredictionInputs, Prediction]:
    """Return the inputs and the prediction of a single configuration, for the function `verb`.

    Raises
    ------
    InputError
        As for `predict`; dimensions are arrays.
    """
    subject = question.resolved()
    prediction = predict(**subject._asdict())
    if prediction.shape:
        raise input_error(f"{verb} one point, not many", expected="numbers, no arrays")
    return subject, prediction


def read_levels(
    extra: str | Iterable[str | PlacementLevel], faults: FaultList, path: str = "extra"
) -> tuple[PlacementLevel, ...]:
    """Return memories that are not part of a device, from texts ``NAME=CAPACITY,BANDWIDTH``.

    An invalid one still becomes a level, so that its name is known.
    """
    levels: dict[str, PlacementLevel] = {}
    for item in [extra] if isinstance(extra, str) else extra:
        if isinstance(item, PlacementLevel):
            levels[item.name] = item
            continue
        name, _, text = (part.strip() for part in item.partition("="))
        size, comma, rate = (part.strip() for part in text.partition(","))
        if name:
            levels[name] = PlacementLevel(name, 1.0, 1.0)
        if not name or not comma:
            expected = "NAME=CAPACITY,BANDWIDTH"
            faults.append(Fault(f"'{item}' is no memory", path=path, expected=expected))
            continue
        try:
            levels[name] = PlacementLevel.of(name, size, rate)
        except InputError as error:
            faults += [replace(fault, path=f"{path}.{fault.path}") for fault in error.faults]
    return tuple(levels.values())


def longest_context(workload: Workload, at: Callable[[int], PlacementResult]) -> int:
    """Return the longest context whose placement is feasible, by bisection.

    Raises
    ------
    InputError
        The workload has no context.
    """
    if "context" not in workload.parameters:
        raise input_error(
            f"'{workload.name}' has no context", "context", expected="a language model that decodes"
        )
    if not at(1).feasible:
        return 0
    low, high = 1, 2
    while high < _LONGEST and at(high).feasible:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).feasible else (low, middle)
    return low


#: Maximum number of tokens tried (also if the cache does not grow).
_LONGEST = 2**26


def _prices(levels: Sequence[PlacementLevel], objective: str) -> list[float]:
    """Return seconds or joules per byte from each level."""
    if objective == "latency_s":
        return [1.0 / level.bandwidth_bytes_per_s for level in levels]
    silent = [level.name for level in levels if level.energy_j_per_byte is None]
    if silent:
        raise input_error(
            f"no energy per byte is known of {', '.join(silent)}",
            "objective",
            expected="levels whose device states it, or latency_s",
        )
    return [level.energy_j_per_byte or 0.0 for level in levels]
