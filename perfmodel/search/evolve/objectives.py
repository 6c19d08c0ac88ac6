"""Objectives and constraints of an evolutionary search, over columns of numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from perfmodel.columns import dimension_of, more_is_better
from perfmodel.errors import Fault, no_such
from perfmodel.expressions import Expression, parse_expression
from perfmodel.settings import FaultList

Floats: TypeAlias = npt.NDArray[np.float64]
Index: TypeAlias = npt.NDArray[np.intp]

#: Column that is 1 if a member fits the device, else 0.
FEASIBLE = "feasible"

#: Violation where its size is unknown (a NaN, a member that does not fit).
_FULL = 1.0


class Objective(NamedTuple):
    """A column and its direction of optimisation."""

    name: str
    maximize: bool


class EvaluatedChoices(NamedTuple):
    """Objectives and constraint violations of evaluated choices.

    Attributes
    ----------
    objectives
        ``(choices, objectives)``, all to be minimised; 0 where one is not finite.
    violations
        ``(choices, constraints + 1)``: at most 0 where a constraint holds, else the excess
        relative to the larger side. The last column is 0 where a member fits the device and its
        objectives are finite.
    good
        ``(choices,)``: whether all constraints hold.
    """

    objectives: Floats
    violations: Floats
    good: npt.NDArray[np.bool_]

    @property
    def excess(self) -> Floats:
        """Sum of all violations, shape ``(choices,)``; 0 where none is violated."""
        return np.maximum(self.violations, 0.0).sum(axis=1)


class EvolutionProblem:
    """Objectives and constraints of a search, over columns of an oracle and of further functions.

    Parameters
    ----------
    oracle
        Object with ``batch(choices) -> column -> (choices,)``, for example an `Oracle`, or a
        function with that signature. Choices are integers ``(choices, decisions)``.
    space
        Space with `decisions`.
    objectives
        Columns, or ``(column, "min")`` and ``(column, "max")``; a bare column is maximised if
        `perfmodel.columns.more_is_better` says so.
    constraints
        Conditions, for example ``latency_s <= 5 ms``. Members that do not fit the device are
        always rejected.
    extra
        Further columns: name -> function of choices ``(n, decisions)`` that returns ``(n,)``.

    Raises
    ------
    InputError
        For all unknown columns and invalid conditions at once.
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
            # The columns of a function are known only from its result.
            metrics = list(self._ask(np.zeros((1, len(self.sizes)), dtype=np.intp)))
        known = [name for name in metrics if name != FEASIBLE]
        self.columns: tuple[str, ...] = (
            *known,
            *(n for n in self.extra if n not in known),
            FEASIBLE,
        )
        faults = FaultList(
            Fault("is a metric of the oracle already", path=f"extra.{n}", expected="a new name")
            for n in self.extra
            if n in known or n == FEASIBLE
        )
        self.objectives = self._objectives(objectives, faults)
        self.constraints = self._constraints(constraints, faults)
        faults.settle()

    def ask(self, choices: Index) -> dict[str, Floats]:
        """Return column -> values ``(choices,)``, with one call of the oracle and each function.

        Raises
        ------
        InputError
            A function returns the wrong number of values.
        """
        n = len(choices)
        answers = dict(self._ask(choices))
        answers |= {name: function(choices) for name, function in self.extra.items()}
        faults = FaultList()
        out: dict[str, Floats] = {}
        for name in self.columns:
            column = np.asarray(answers.get(name, 1.0 if name == FEASIBLE else np.nan), dtype=float)
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
        faults.settle()
        return out

    def judge(self, columns: Mapping[str, Floats]) -> EvaluatedChoices:
        """Return objectives and violations of choices from their columns."""
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
        return EvaluatedChoices(np.where(finite[:, None], values * signs, 0.0), table, good)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that determines the results; functions count by name only."""
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

    def _objectives(self, stated: Any, faults: list[Fault]) -> tuple[Objective, ...]:
        """Return the objectives with their directions, or append their faults."""
        known = [name for name in self.columns if name != FEASIBLE]
        listed: list[Any] = [stated] if isinstance(stated, str) else [*stated]
        objectives: list[Objective] = []
        for i, item in enumerate(listed):
            if isinstance(item, str):
                name, direction = item, "max" if more_is_better(item) else "min"
            elif isinstance(item, Sequence) and len(cast("Sequence[Any]", item)) == 2:
                name, direction = (str(part) for part in cast("Sequence[Any]", item))
            else:
                faults.append(
                    Fault(
                        f"{item!r} is not an objective",
                        path=f"objectives[{i}]",
                        expected='a column, or (column, "min" or "max")',
                    )
                )
                continue
            if direction not in ("min", "max"):
                faults.append(
                    Fault(
                        f"{direction!r} is not a direction",
                        path=f"objectives[{i}]",
                        expected="min or max",
                    )
                )
            if name not in known:
                faults.append(
                    no_such(f"there is no column '{name}'", name, known, f"objectives[{i}]")
                )
            objectives.append(Objective(name, direction == "max"))
        if not listed:
            faults.append(
                Fault(
                    "no objective", path="objectives", expected="one or more of " + ", ".join(known)
                )
            )
        names = [o.name for o in objectives]
        faults += [
            Fault(f"'{n}' is listed twice", path="objectives", expected="each column once")
            for n in dict.fromkeys(names)
            if names.count(n) > 1
        ]
        return tuple(objectives)

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
    """Return the option labels of each decision: plain values, else texts.

    Options with equal texts are distinguished by their index.
    """
    rows: list[list[Any]] = []
    for decision in space.decisions:
        plain = all(isinstance(o, str | int | float | bool) for o in decision.options)
        texts: list[Any] = list(decision.options) if plain else [str(o) for o in decision.options]
        if len({repr(m) for m in texts}) < len(texts) or len(set(texts)) < len(texts):
            texts = [f"{i}: {text}" for i, text in enumerate(texts)]
        rows.append(texts)
    return rows


def _name(source: Any) -> str:
    return str(getattr(source, "__qualname__", type(source).__qualname__))
