"""What was asked so far: choices and their columns, in order; written to a state file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from perfmodel.atomic import write_text
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.regular import contents
from perfmodel.search.evolve.question import EvolutionProblem, Floats, Index, Judged

SCHEMA = 1
_MOST_BYTES = 2**30

Choice = tuple[int, ...]


class Archive:
    """Choices that were asked about, each once.

    Parameters
    ----------
    stored
        Choice -> its columns, from a state file: looked up instead of asked.
    """

    def __init__(self, question: EvolutionProblem, stored: dict[Choice, list[float]]) -> None:
        self.question = question
        self.stored = stored
        self.choices: list[Choice] = []
        self.place: dict[Choice, int] = {}
        self.rows: list[list[float]] = []
        #: Choices whose numbers came from the oracle rather than from a state file.
        self.asked = 0

    def __len__(self) -> int:
        return len(self.choices)

    def __contains__(self, choice: object) -> bool:
        return choice in self.place

    def add(self, choices: Sequence[Choice]) -> None:
        """Take up new choices; those not stored are asked about in one batch."""
        names = self.question.columns
        new = [c for c in choices if c not in self.stored]
        if new:
            found = self.question.ask(np.array(new, dtype=np.intp).reshape(len(new), -1))
            table = np.stack([found[name] for name in names], axis=1).tolist()
            self.stored |= dict(zip(new, table, strict=True))
            self.asked += len(new)
        for choice in choices:
            self.place[choice] = len(self.choices)
            self.choices.append(choice)
            self.rows.append(self.stored[choice])

    def columns(self, rows: Iterable[int] | None = None) -> dict[str, Floats]:
        """Return column -> numbers of some rows, or of all."""
        chosen = self.rows if rows is None else [self.rows[i] for i in rows]
        names = self.question.columns
        table = np.array(chosen, dtype=float).reshape(-1, len(names))
        return {name: table[:, i] for i, name in enumerate(names)}

    def judged(self, choices: Sequence[Choice] | None = None) -> Judged:
        """Return objectives and violations of choices that were asked about, or of all."""
        rows = None if choices is None else [self.place[c] for c in choices]
        return self.question.judge(self.columns(rows))

    def table(self) -> Index:
        """Return all choices, ``(choices, decisions)``."""
        return np.array(self.choices, dtype=np.intp).reshape(-1, len(self.question.sizes))

    def save(self, path: str | Path, header: dict[str, Any]) -> None:
        """Write what is known, whole or not at all; numbers read back as they are."""
        held = list(self.stored.items())
        text = json.dumps(
            {
                "schema_version": SCHEMA,
                **header,
                "columns": list(self.question.columns),
                "choices": [list(c) for c, _ in held],
                "rows": [[v if np.isfinite(v) else str(v) for v in row] for _, row in held],
            }
        )
        write_text(path, text + "\n")


def read_state(
    path: str | Path, question: EvolutionProblem, header: dict[str, Any]
) -> dict[Choice, list[float]]:
    """Return choice -> columns of a state file; nothing where there is none yet.

    Raises
    ------
    InputError
        It is no state file, or one of another question.
    """
    path = Path(path)
    if not path.exists():
        return {}
    try:
        held: Any = json.loads(contents(path, _MOST_BYTES))
    except ValueError as error:
        raise input_error(
            f"cannot be read: {error}", file=str(path), expected="a state file of evolve"
        ) from None
    wanted = {"schema_version": SCHEMA, **header, "columns": list(question.columns)}
    if not isinstance(held, dict):
        held = {}
    found = cast("dict[str, Any]", held)
    faults = [
        Fault(f"{key} is {found.get(key)!r}", file=str(path), path=key, expected=repr(value))
        for key, value in wanted.items()
        if found.get(key) != value
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
        choices = [tuple(int(i) for i in row) for row in found["choices"]]
        rows = [[float(v) for v in row] for row in found["rows"]]
        good = all(
            len(c) == len(question.sizes)
            and all(0 <= i < s for i, s in zip(c, question.sizes, strict=True))
            for c in choices
        ) and all(len(r) == len(question.columns) for r in rows)
        if not good:
            raise ValueError
        return dict(zip(choices, rows, strict=True))
    except (KeyError, TypeError, ValueError):
        raise input_error(
            "choices and rows do not fit the space",
            file=str(path),
            expected="a state file of evolve",
        ) from None
