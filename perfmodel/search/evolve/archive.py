"""Archive of all evaluations of a search, in order, and its JSON state file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from perfmodel.atomic import write_text
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.regular_files import read_bytes
from perfmodel.search.evolve.objectives import EvaluatedChoices, EvolutionProblem, Floats, Index

#: Version of the format of state files.
SCHEMA = 1
#: Limit on the size of a state file.
_MOST_BYTES = 2**30

Choice = tuple[int, ...]


class Archive:
    """Evaluated choices and their columns, each choice once.

    Parameters
    ----------
    question
        Objectives, constraints and oracle of the search.
    stored
        Choice -> its columns, from a state file: looked up instead of evaluated.

    Attributes
    ----------
    choices, rows
        The archived choices in order, and the columns of each.
    index_of
        Choice -> its index in `choices` and `rows`.
    """

    def __init__(self, question: EvolutionProblem, stored: dict[Choice, list[float]]) -> None:
        self.question = question
        self.stored = stored
        self.choices: list[Choice] = []
        self.index_of: dict[Choice, int] = {}
        self.rows: list[list[float]] = []
        #: Number of choices evaluated by the oracle, as opposed to read from a state file.
        self.new_evaluations = 0

    def __len__(self) -> int:
        return len(self.choices)

    def __contains__(self, choice: object) -> bool:
        return choice in self.index_of

    def add(self, choices: Sequence[Choice]) -> None:
        """Add new choices; those not stored are evaluated in one batch."""
        names = self.question.columns
        new = [c for c in choices if c not in self.stored]
        if new:
            columns = self.question.ask(np.array(new, dtype=np.intp).reshape(len(new), -1))
            table = np.stack([columns[name] for name in names], axis=1).tolist()
            self.stored |= dict(zip(new, table, strict=True))
            self.new_evaluations += len(new)
        for choice in choices:
            self.index_of[choice] = len(self.choices)
            self.choices.append(choice)
            self.rows.append(self.stored[choice])

    def columns(self, rows: Iterable[int] | None = None) -> dict[str, Floats]:
        """Return column -> values of the given rows, or of all rows."""
        selection = self.rows if rows is None else [self.rows[i] for i in rows]
        names = self.question.columns
        table = np.array(selection, dtype=float).reshape(-1, len(names))
        return {name: table[:, i] for i, name in enumerate(names)}

    def judged(self, choices: Sequence[Choice] | None = None) -> EvaluatedChoices:
        """Return objectives and violations of the given archived choices, or of all."""
        rows = None if choices is None else [self.index_of[c] for c in choices]
        return self.question.judge(self.columns(rows))

    def table(self) -> Index:
        """Return all choices, ``(choices, decisions)``."""
        return np.array(self.choices, dtype=np.intp).reshape(-1, len(self.question.sizes))

    def save(self, path: str | Path, header: dict[str, Any]) -> None:
        """Write all known evaluations atomically; numbers survive the round trip exactly."""
        known = list(self.stored.items())
        text = json.dumps(
            {
                "schema_version": SCHEMA,
                **header,
                "columns": list(self.question.columns),
                "choices": [list(c) for c, _ in known],
                "rows": [[v if np.isfinite(v) else str(v) for v in row] for _, row in known],
            }
        )
        write_text(path, text + "\n")


def read_state(
    path: str | Path, question: EvolutionProblem, header: dict[str, Any]
) -> dict[Choice, list[float]]:
    """Return choice -> columns from a state file; empty if the file does not exist yet.

    Raises
    ------
    InputError
        The file is not a state file, or belongs to another search.
    """
    path = Path(path)
    if not path.exists():
        return {}
    try:
        content: Any = json.loads(read_bytes(path, _MOST_BYTES))
    except ValueError as error:
        raise input_error(
            f"cannot be read: {error}", file=str(path), expected="a state file of evolve"
        ) from None
    expected_header = {"schema_version": SCHEMA, **header, "columns": list(question.columns)}
    state = cast("dict[str, Any]", content if isinstance(content, dict) else {})
    faults = [
        Fault(f"{key} is {state.get(key)!r}", file=str(path), path=key, expected=repr(value))
        for key, value in expected_header.items()
        if state.get(key) != value
    ]
    if faults:
        raise InputError(
            faults,
            Fault(
                "is the state of another search",
                file=str(path),
                expected="the arguments it was begun with, or another file",
            ),
        )
    try:
        choices = [tuple(int(i) for i in row) for row in state["choices"]]
        rows = [[float(v) for v in row] for row in state["rows"]]
        in_space = all(
            len(c) == len(question.sizes)
            and all(0 <= i < s for i, s in zip(c, question.sizes, strict=True))
            for c in choices
        )
        if not in_space or any(len(r) != len(question.columns) for r in rows):
            raise ValueError
        return dict(zip(choices, rows, strict=True))
    except (KeyError, TypeError, ValueError):
        raise input_error(
            "choices and rows do not fit the space",
            file=str(path),
            expected="a state file of evolve",
        ) from None
