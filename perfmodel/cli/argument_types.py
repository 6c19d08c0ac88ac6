"""Command-line form of the parameters of public functions, by their annotations.

`typed_form` maps the text of an annotation to the type that the parser reads and to the function
that converts the value read; `parameter_help` takes help texts from a numpydoc docstring. Both are
used by `perfmodel.cli.generated_command`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from cyclopts import Parameter

from perfmodel.cli.option_texts import option_of
from perfmodel.cli.typed_values import Count, Whole, listed, pairs, scalars
from perfmodel.errors import Fault
from perfmodel.settings import FaultList


class TypedForm(NamedTuple):
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
    """Read the settings of one point, ``NAME=VALUE`` each."""
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
    """Read comma-separated names."""
    del name, faults
    return listed(text)


def _numbers(text: str, name: str, faults: FaultList) -> Any:
    """Return the numbers of a list or range; a single one if the text has none."""
    from perfmodel.axes import parse_axis

    option, dimension = option_of(name), "bytes" if name.endswith("_bytes") else ""
    axis = faults.trying(parse_axis, name, text, dimension, option)
    if axis is None:
        return np.ones(1)
    if not axis.is_number or axis.interval is not None:
        faults.append(
            Fault(
                f"'{text}' is not a list of numbers",
                file=option,
                expected="numbers, such as 512,2048",
            )
        )
        return np.ones(1)
    return np.asarray(axis.values, dtype=float)


#: Prefix of an annotation, without the alternative None -> form.
FORMS: Final[tuple[tuple[str, TypedForm], ...]] = (
    ("bool", TypedForm(bool)),
    ("int", TypedForm(Whole)),
    ("Count", TypedForm(Count)),
    ("float", TypedForm(float)),
    ("Value", TypedForm(str, _numbers)),
    ("Mapping[str, Any]", TypedForm(list[str], _settings)),
    ("Mapping", TypedForm(list[str], read_pairs)),
    ("str | Iterable[str]", TypedForm(list[str])),
    ("str | Iterable[str | PlacementLevel]", TypedForm(list[str])),
    ("Iterable[str]", TypedForm(str, _names)),
    ("DeviceLike | Iterable[DeviceLike]", TypedForm(list[str])),
    ("str | Path | Iterable[str | Path]", TypedForm(list[str])),
    ("list[int]", TypedForm(Annotated[list[Whole], Parameter(consume_multiple=(0, 1))])),
    ("WorkloadLike | Iterable[WorkloadLike]", TypedForm(list[str])),
    ("Iterable[Iterable[str] | str]", TypedForm(list[str])),
)
_PATH: Final = re.compile(r"\bPath\b")
#: Types that are given by name, optionally by path.
_NAMED: Final = re.compile(r"Runtime|Device")


def typed_form(annotation: str) -> TypedForm:
    """Return the command-line form of a parameter, by the text of its annotation."""
    plain = annotation.removesuffix(" | None")
    for beginning, form in FORMS:
        if plain == beginning or (beginning[0] in "MV" and plain.startswith(beginning)):
            return form
    if _PATH.search(plain) and not _NAMED.search(plain):
        return TypedForm(Path)
    return TypedForm(str)


def as_grid(values: dict[str, Any]) -> None:
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
