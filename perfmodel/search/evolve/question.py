"""What is asked of choices: objectives and constraints over columns of numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from perfmodel.columns import dimension_of, more_is_better
from perfmodel.errors import Fault, InputError, no_such
from perfmodel.expressions import Expression, parse_expression
from perfmodel.settings import FaultList

Floats: TypeAlias = npt.NDArray[np.float64]
Index: TypeAlias = npt.NDArray[np.intp]

#: Column that tells whether a member fits the device: 1 or 0.
FEASIBLE = "feasible"

#: Violation of what cannot be told by how much (a NaN, a member that does not fit).
_FULL = 1.0


class Objective(NamedTuple):
    """A column and which way it is better."""

    name: str
    maximize: bool


class Judged(NamedTuple):
    """Choices under objectives and constraints.

    Attributes
    ----------
    objectives
        ``(choices, objectives)``, all to be minimised; 0 where one is no finite number.
    violations
        ``(choices, constraints + 1)``: at most 0 where a constraint holds, else by how much it is
        exceeded relative to the larger side. The last one is 0 where a member fits the device and
        its objectives are finite.
    good
        ``(choices,)``: all of them hold.
    """

    objectives: Floats
    violations: Floats
    good: npt.NDArray[np.bool_]

    @property
    def excess(self) -> Floats:
        """Sum of what is exceeded, ``(choices,)``; 0 where nothing is."""
        return np.maximum(self.violations, 0.0).sum(axis=1)


class EvolutionProblem:
    """Objectives and constraints over what an oracle and further functions tell of choices.

    Parameters
    ----------
    oracle
        Something with ``batch(choices) -> column -> (choices,)``, such as an `Oracle`, or a
        function of that kind. Choices are integers ``(choices, decisions)``.
    space
        What has `decisions`.
    objectives
        Columns, or ``(column, "min")`` and ``(column, "max")``; a column alone is maximised where
        `perfmodel.columns.more_is_better` says so.
    constraints
        Conditions such as ``latency_s <= 5 ms``. Members that do not fit the device are refused
        without being asked for.
    extra
        Further columns: name -> function of choices ``(n, decisions)`` that returns ``(n,)``.

    Raises
    ------
    InputError
        Every unknown column and bad condition at once.
    """

    def __init__(
        self,
        oracle: Any,
        space: Any,
        objectives: Sequence[str | tuple[str, str]],
        constraints: Sequence[str] = (),
        extra: Mapping[str, Callable[[Index], Any]] | None = None,
    ) -> None:
        self.oracle, self.space = oracle, space
        self.extra = dict(extra or {})
        self.sizes = tuple(len(d.options) for d in space.decisions)
        self._ask: Callable[[Index], Mapping[str, Any]] = getattr(oracle, "batch", oracle)
        metrics = getattr(oracle, "metrics", None)
        if metrics is None:
            # A function tells its columns only when it is asked.
            metrics = list(self._ask(np.zeros((1, len(self.sizes)), dtype=np.intp)))
        told = [name for name in metrics if name != FEASIBLE]
        self.columns: tuple[str, ...] = (*told, *(n for n in self.extra if n not in told), FEASIBLE)
        faults = FaultList(
            Fault("is a metric of the oracle already", path=f"extra.{n}", expected="a new name")
            for n in self.extra
            if n in told or n == FEASIBLE
        )
        self.objectives = self._objectives(objectives, faults)
        self.constraints = self._constraints(constraints, faults)
        faults.settle()

    def ask(self, choices: Index) -> dict[str, Floats]:
        """Return column -> ``(choices,)``; one call of the oracle and of each function.

        Raises
        ------
        InputError
            A function returns another number of numbers.
        """
        n = len(choices)
        found = dict(self._ask(choices))
        found |= {name: function(choices) for name, function in self.extra.items()}
        faults: list[Fault] = []
        out: dict[str, Floats] = {}
        for name in self.columns:
            column = np.asarray(found.get(name, 1.0 if name == FEASIBLE else np.nan), dtype=float)
            if column.shape not in ((), (n,)):
                faults.append(
                    Fault(
                        f"{column.shape} numbers for {n} choices",
                        path=name,
                        expected=f"shape ({n},)",
                    )
                )
            else:
                out[name] = np.broadcast_to(column, (n,)).astype(float)
        if faults:
            raise InputError(faults)
        return out

    def judge(self, columns: Mapping[str, Floats]) -> Judged:
        """Return objectives and violations of choices whose columns are known."""
        values = np.stack([columns[o.name] for o in self.objectives], axis=1)
        signs = np.array([-1.0 if o.maximize else 1.0 for o in self.objectives])
        finite: Any = np.isfinite(values).all(axis=1)
        fits: Any = np.nan_to_num(columns[FEASIBLE]) > 0
        violations = [
            np.clip(
                np.nan_to_num(-np.asarray(c.margin(columns), dtype=float), posinf=_FULL),
                -_FULL,
                _FULL,
            )
            for c in self.constraints
        ]
        violations.append(np.where(finite & fits, 0.0, _FULL))
        good: Any = finite & fits
        for condition in self.constraints:
            good = good & np.asarray(condition(columns), dtype=bool)
        table = np.stack([np.broadcast_to(v, finite.shape) for v in violations], axis=1)
        return Judged(np.where(finite[:, None], values * signs, 0.0), table, good)

    @property
    def fingerprint(self) -> str:
        """Hash of what decides the numbers; a function counts by its name only."""
        text = repr(
            (
                getattr(self.oracle, "content_hash", _name(self.oracle)),
                self.space.name,
                [(d.name, len(d.options)) for d in self.space.decisions],
                self.objectives,
                [c.text for c in self.constraints],
                [(n, _name(f)) for n, f in self.extra.items()],
            )
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _objectives(self, given: Any, faults: list[Fault]) -> tuple[Objective, ...]:
        known = [name for name in self.columns if name != FEASIBLE]
        listed: list[Any] = [given] if isinstance(given, str) else [*given]
        found: list[Objective] = []
        for i, item in enumerate(listed):
            if isinstance(item, str):
                name, way = item, "max" if more_is_better(item) else "min"
            elif isinstance(item, Sequence) and len(cast("Sequence[Any]", item)) == 2:
                name, way = (str(part) for part in cast("Sequence[Any]", item))
            else:
                faults.append(
                    Fault(
                        f"{item!r} is no objective",
                        path=f"objectives[{i}]",
                        expected='a column, or (column, "min" or "max")',
                    )
                )
                continue
            if way not in ("min", "max"):
                faults.append(
                    Fault(
                        f"{way!r} is no direction", path=f"objectives[{i}]", expected="min or max"
                    )
                )
            if name not in known:
                faults.append(
                    no_such(f"there is no column '{name}'", name, known, f"objectives[{i}]")
                )
            found.append(Objective(name, way == "max"))
        if not listed:
            faults.append(
                Fault(
                    "no objective", path="objectives", expected="one or more of " + ", ".join(known)
                )
            )
        names = [o.name for o in found]
        faults += [
            Fault(f"'{n}' stands twice", path="objectives", expected="each column once")
            for n in dict.fromkeys(names)
            if names.count(n) > 1
        ]
        return tuple(found)

    def _constraints(self, texts: Sequence[Any], faults: FaultList) -> tuple[Expression, ...]:
        dimensions = {name: dimension_of(name) for name in self.columns}
        conditions: list[Expression] = []
        for i, text in enumerate([texts] if isinstance(texts, str) else texts):
            path = f"constraints[{i}]"
            condition = faults.trying_at(path, parse_expression, str(text))
            if condition is not None:
                flaws = condition.condition_faults(self.columns, dimensions)
                faults += [replace(flaw, path=path) for flaw in flaws]
                conditions.append(condition)
        return tuple(conditions)


def labels(space: Any) -> list[list[Any]]:
    """Return one list of labels a decision: its options, or texts where those are no plain values.

    Options that would look the same are told apart by their index.
    """
    found: list[list[Any]] = []
    for decision in space.decisions:
        plain = all(isinstance(o, str | int | float | bool) for o in decision.options)
        made: list[Any] = list(decision.options) if plain else [str(o) for o in decision.options]
        if len({repr(m) for m in made}) < len(made) or len(set(made)) < len(made):
            made = [f"{i}: {text}" for i, text in enumerate(made)]
        found.append(made)
    return found


def _name(given: Any) -> str:
    return str(getattr(given, "__qualname__", type(given).__qualname__))
