"""Conversion of typed values to arguments of public functions, by parameter annotation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from cyclopts import Parameter

from perfmodel.axes import parse_axis
from perfmodel.cli.common import Count, Whole, listed, pairs, scalars
from perfmodel.cli.words import option_of
from perfmodel.errors import Fault
from perfmodel.settings import FaultList


class Form(NamedTuple):
    """Command-line form of a parameter.

    Attributes
    ----------
    type
        Type of the value from the parser.
    read
        Value of the parser, parameter, faults -> argument of the function; None if it is the value
        itself.
    """

    type: Any
    read: Callable[[Any, str, FaultList], Any] | None = None


def _settings(items: Iterable[str], name: str, faults: FaultList) -> Any:
    del name  # always `set`
    return scalars(items, faults)


def read_pairs(items: Iterable[str], name: str, faults: FaultList) -> Any:
    """Read ``NAME=VALUE`` with unrestricted values."""
    return pairs(items, faults, option_of(name))


def read_text(text: str, name: str, faults: FaultList) -> Any:
    """Return a text unchanged."""
    del name, faults
    return text


def _names(text: str, name: str, faults: FaultList) -> Any:
    del name, faults
    return listed(text)


def _numbers(text: str, name: str, faults: FaultList) -> Any:
    """Return the numbers of a list or range; a single one if the text has none."""
    option, dimension = option_of(name), "bytes" if name.endswith("_bytes") else ""
    axis = faults.trying(parse_axis, name, text, dimension, option)
    if axis is None:
        return np.ones(1)
    if not axis.is_number or axis.spread is not None:
        faults.append(
            Fault(
                f"'{text}' is no list of numbers", file=option, expected="numbers, such as 512,2048"
            )
        )
        return np.ones(1)
    return np.asarray(axis.values, dtype=float)


#: Prefix of an annotation, without the alternative None -> form.
FORMS: Final[tuple[tuple[str, Form], ...]] = (
    ("bool", Form(bool)),
    ("int", Form(Whole)),
    ("Count", Form(Count)),
    ("float", Form(float)),
    ("Value", Form(str, _numbers)),
    ("Mapping[str, Any]", Form(list[str], _settings)),
    ("Mapping", Form(list[str], read_pairs)),
    ("str | Iterable[str]", Form(list[str])),
    ("str | Iterable[str | PlacementLevel]", Form(list[str])),
    ("Iterable[str]", Form(str, _names)),
    ("DeviceLike | Iterable[DeviceLike]", Form(list[str])),
    ("str | Path | Iterable[str | Path]", Form(list[str])),
    ("list[int]", Form(Annotated[list[Whole], Parameter(consume_multiple=(0, 1))])),
    ("WorkloadLike | Iterable[WorkloadLike]", Form(list[str])),
    ("Iterable[Iterable[str] | str]", Form(list[str])),
)
_PATH: Final = re.compile(r"\bPath\b")
#: Types that are given by name, optionally by path.
_NAMED: Final = re.compile(r"Runtime|Device")


def form_of(annotation: str) -> Form:
    """Return the command-line form of a parameter, by the text of its annotation."""
    plain = annotation.removesuffix(" | None")
    for beginning, form in FORMS:
        if plain == beginning or (beginning[0] in "MV" and plain.startswith(beginning)):
            return form
    if _PATH.search(plain) and not _NAMED.search(plain):
        return Form(Path)
    return Form(str)


def combined(values: dict[str, Any]) -> None:
    """Replace lists of numbers by their Cartesian product; lists of one by their number."""
    lists: dict[str, Any] = {
        name: value for name, value in values.items() if isinstance(value, np.ndarray)
    }
    if all(len(value) == 1 for value in lists.values()):
        values |= {name: value[0].item() for name, value in lists.items()}
        return
    grid: Any = np.meshgrid(*lists.values(), indexing="ij")
    values |= {name: axis.reshape(-1) for name, axis in zip(lists, grid, strict=True)}


def parameter_help(doc: str | None) -> Mapping[str, str]:
    """Return parameter -> text, from the section Parameters of a numpydoc docstring."""
    _, _, after = (doc or "").partition("Parameters\n----------\n")
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in after.partition("\n\n")[0].splitlines():
        if not line[0].isspace():
            names = [name.strip(" *") for name in line.partition(" : ")[0].split(",")]
            continue
        for name in names:
            texts[name] = f"{texts.get(name, '')} {line.strip().replace('`', '')}".strip()
    # Text on Python objects does not apply to the command line.
    return {name: text.partition(" In Python")[0] for name, text in texts.items()}
