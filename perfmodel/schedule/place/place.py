"""Entry point of ``place``: weights and KV cache in the memories of a device.

The items are the tensors of the network (`items.py`), the levels the memories of the device
(`levels.py`). Placing an item costs its bytes read per run over the bandwidth of its level; the
least sum is a knapsack problem with several capacities (`knapsack.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from perfmodel.deprecation import deprecated_parameters
from perfmodel.errors import Fault, InputError, input_error, nearest, not_among
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import (
    DeviceLike,
    PredictionArguments,
    PredictionInputs,
    WorkloadLike,
    workload_of,
)
from perfmodel.schedule.place.items import By, Item, items_of
from perfmodel.schedule.place.levels import PlacementLevel, levels_of
from perfmodel.schedule.place.popularity import Popularity, popularity_of
from perfmodel.schedule.place.result import PlacementResult
from perfmodel.schedule.place.solve_placement import items_named, solve_placement
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
#: Nouns in messages for options whose name is not one.
_NOUNS: Final = {"by": "granularity"}


#: Longest context tried, in tokens (also if the cache does not grow).
_LONGEST_CONTEXT = 2**26


@deprecated_parameters(seconds="time_limit_s")
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
        latency_s: the time of reading; energy_j: the energy of reading.
    levels
        Memories to use, by name (sram,dram).
    capacities
        Capacity of a memory for weights and KV cache, in place of what its spec provides: NAME=SIZE
        (dram=6 GB).
    extra
        Memories that the device does not have: NAME=CAPACITY,BANDWIDTH (host=64 GB,25 GB/s). In
        Python also a `PlacementLevel`.
    kv_levels
        Memories that may hold the KV cache. By default all except flash, storage and disk.
    pinned
        Memory that must hold a tensor, or all tensors whose names start with NAME: NAME=LEVEL.
    cached
        Memory whose free capacity serves as an LRU cache for the experts, which are stored in the
        outermost memory. By default experts are placed permanently, like all other tensors.
    popularity
        How unevenly routers choose experts: the exponent of a Zipf distribution, geometric:RATE, or
        a weight for each expert (3,1,1,1).
    by
        tensor or layer: the unit that is placed as a whole.
    method
        exact (an integer programme, with a proof, or with a bound if it is stopped), lp (the linear
        relaxation, rounded) or greedy (largest saving per byte first).
    solver
        Solver of integer programmes: highs, or any other that PuLP finds on this machine (cbc,
        gurobi, scip). A solver that is stopped by the time limit proves nothing.
    time_limit_s
        Time limit of the exact method in seconds. In Python, None means no limit.

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
    return PlacementArguments(**vars()).answer()


@dataclass(frozen=True, kw_only=True)
class PlacementArguments(PredictionArguments):
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
        option_faults = self._option_faults()
        faults += option_faults
        deadline = Deadline(None if option_faults else self.time_limit_s)
        extra = read_levels(self.extra, faults)
        popularity = faults.trying(popularity_of, self.popularity)
        predicted = faults.trying(predict_single, self, "places")
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
        return solve_placement(unplaced, prices, self.pinned or {}, self.cached, deadline)

    def at_context(self, context: int) -> PlacementResult:
        """Return the result for another context length."""
        options: dict[str, Any] = vars(self) | {
            "workload": workload_of(self.workload, {"context": context})
        }
        return place(**options)

    def _option_faults(self) -> list[Fault]:
        """Return the faults of options that are words or numbers."""
        faults = [
            fault
            for name, words in _WORDS.items()
            for word in [getattr(self, name)]
            for fault in not_among(f"unknown {_NOUNS.get(name, name)} '{word}'", word, words, name)
        ]
        limit = self.time_limit_s
        if limit is not None and not limit >= 0:
            expected = "seconds from 0"
            faults.append(
                Fault(f"{limit} is not a valid time limit", "time_limit_s", expected=expected)
            )
        return faults

    def _name_faults(self, items: Sequence[Item] | None, levels: Sequence[str]) -> list[Fault]:
        """Return faults of names that match no item or level."""
        faults: list[Fault] = []

        def check_level(level: str, path: str) -> None:
            faults.extend(not_among(f"no level is named '{level}'", level, levels, path))

        for prefix, level in (self.pinned or {}).items():
            if items is not None and not items_named(items, prefix):
                suggestion = nearest(prefix, [item.name for item in items])
                faults.append(
                    Fault(f"nothing is named '{prefix}'", "pinned", suggestion=suggestion)
                )
            check_level(level, f"pinned.{prefix}")
        if self.cached is not None:
            check_level(self.cached, "cached")
        return faults


def predict_single(question: PredictionArguments, verb: str) -> tuple[PredictionInputs, Prediction]:
    """Return the inputs and the prediction of a single configuration, for the function `verb`.

    Raises
    ------
    InputError
        As for `predict`; dimensions are arrays.
    """
    subject = question.resolved()
    prediction = predict(**subject._asdict())
    if prediction.shape:
        raise input_error(f"{verb} one point, not many", expected="numbers instead of arrays")
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
            faults.append(
                Fault(f"'{item}' does not describe a memory", path=path, expected=expected)
            )
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
    while high < _LONGEST_CONTEXT and at(high).feasible:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at(middle).feasible else (low, middle)
    return low


def _prices(levels: Sequence[PlacementLevel], objective: str) -> list[float]:
    """Return seconds or joules per byte from each level."""
    if objective == "latency_s":
        return [1.0 / level.bandwidth_bytes_per_s for level in levels]
    without_energy = [level.name for level in levels if level.energy_j_per_byte is None]
    if without_energy:
        raise input_error(
            f"no energy per byte is known of {', '.join(without_energy)}, or of a cache on its way",
            "objective",
            expected="memories with energy_per_byte, or latency_s",
        )
    return [level.energy_j_per_byte or 0.0 for level in levels]
