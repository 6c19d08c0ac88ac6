"""Reader of a complete search problem from a YAML or JSON file, with strict validation.

.. code-block:: yaml

    workload: mobilenet_v2
    device: gemmini_16x16
    precision: w8a8
    choices:
      weight_bits: {"*": [2, 4, 8], "kind:depthwise": [4, 8]}
    constraints: [latency_s <= 5 ms, peak_memory_bytes <= 2 MiB]
    accuracy: {kind: table, path: losses.csv}
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, create_model

from perfmodel.errors import Fault, InputError
from perfmodel.frozen_model import FrozenModel
from perfmodel.pydantic_faults import Flaw
from perfmodel.search.accuracy_sources import AccuracySource
from perfmodel.search.search_problem import SearchMethod, SearchProblem
from perfmodel.search.space.space_construction import Share
from perfmodel.settings import REMARKS
from perfmodel.source_positions import MarkedNode, Marks
from perfmodel.source_positions import Path as Place
from perfmodel.specfile import read, validate

_SUFFIXES: Final = (".yaml", ".yml", ".json")


class _ProblemSchema(FrozenModel):
    """Base of the schema: strict types and finite numbers."""

    model_config = ConfigDict(allow_inf_nan=False, strict=True)


class _ProblemHead(_ProblemSchema):
    """Keys of a file that differ from the parameters of `search`, or are additional."""

    schema_version: Literal[1] = 1
    """Version of the schema."""
    title: str = ""
    """Subject of the search."""
    note: str | None = None
    """Remarks for a reader."""
    accuracy: AccuracySource | None = None
    """Source of the loss, with its calibration."""
    time_limit_s: float | None = Field(default=60.0, gt=0, le=1e6)
    """Seconds for a proof; no limit if null."""
    evaluations: int = Field(default=4000, ge=1, le=10**9)
    """Number of evaluations of evolution."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    """Seed of evolution and of random draws."""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield the faults of settings and options, which may have any plain type."""
        for name, value in _mapping(data.get("set")).items():
            if not isinstance(value, _PLAIN):
                yield Flaw(("set", name), f"{_what(value)} sets nothing", "one value")
        for word, options in _mapping(data.get("choices")).items():
            if not isinstance(options, Mapping):
                yield from _option_flaws(("choices", word), options)
                continue
            patterns = _mapping(options)
            if not patterns:
                yield Flaw(("choices", word), "no layers", "layers: options")
            for pattern, listed in patterns.items():
                yield from _option_flaws(("choices", word, pattern), listed)


#: Annotation of a parameter of `search` -> type in a file; str for any other annotation.
_TYPES: Final = {
    "Mapping[str, Any]": dict[str, Any],
    "str | Iterable[str]": list[str],
    "bool": bool,
    "Share": Share,
    "SearchMethod": SearchMethod,
}
#: Former keys, accepted for one minor version.
_FORMER: Final = {"seconds": "time_limit_s", "settings": "set"}


@cache
def problem_form() -> type[BaseModel]:
    """Return the schema of a file: the parameters of `search` as plain texts and numbers."""
    from perfmodel.search.public_functions import search

    fields: dict[str, Any] = {}
    for name, each in signature(search).parameters.items():
        if name in _ProblemHead.model_fields or name == "calibration":
            continue
        kind = _TYPES.get(str(each.annotation).removesuffix(" | None"), str)
        required = name in ("workload", "device")
        optional = each.default is None and not required
        fields[name] = (kind | None if optional else kind, ... if required else each.default)
    return create_model("ProblemForm", __base__=_ProblemHead, **fields)


#: Types of settings and options.
_PLAIN: Final = (bool, int, float, str)


def _mapping(data: Any) -> dict[str, Any]:
    """Return a mapping as a dict; empty for other types, which are reported elsewhere."""
    return dict(cast("Mapping[str, Any]", data)) if isinstance(data, Mapping) else {}


def _option_flaws(place: Place, options: Any) -> Iterator[Flaw]:
    listed = cast("list[Any]", options if isinstance(options, list) else [options])
    if not listed:
        yield Flaw(place, "no options", "one at least")
    for i, option in enumerate(listed):
        if not isinstance(option, _PLAIN):
            yield Flaw(
                (*place, i) if isinstance(options, list) else place,
                f"{_what(option)} is not an option",
                "a number or a text",
            )


def _what(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "nothing" if value is None else "a list"


def load(path: object, beside: Iterable[str] = ()) -> SearchProblem:
    """Read a problem from a file, to be run by `SearchProblem.search`.

    Parameters
    ----------
    path
        Text or `pathlib.Path` of a YAML or JSON file; the suffix ``.json`` selects JSON. Paths in
        the file are relative to its folder.
    beside
        Names of arguments given in addition to the file, each of which is a fault.

    Returns
    -------
    SearchProblem
        Its names are not resolved yet; `SearchProblem.search` does this and locates faults.

    Raises
    ------
    InputError
        For all schema faults at once, each with line, column and the expected value.
    """
    faults = [
        Fault("stands in the file of the problem", path=name, expected="a workload and a device")
        for name in sorted(beside)
    ]
    if not isinstance(path, str | Path) or Path(path).suffix not in _SUFFIXES:
        faults.append(
            Fault(
                "no device",
                path="device",
                expected="a device, or the path of a .yaml file that declares the problem",
            )
        )
        raise InputError(faults)
    file = Path(path)
    try:
        return _read(file, faults)
    except InputError as error:
        raise InputError([*faults, *error.faults]) from None


def _read(file: Path, faults: list[Fault]) -> SearchProblem:
    data, marks = read(file)
    fields = _mapping(data)
    nodes = marks.root.children
    for former, name in _FORMER.items():
        if former in fields and name not in fields:
            _former(f"{file}: '{former}' is called '{name}' now")
            fields[name], nodes[name] = fields.pop(former), nodes.pop(former)
    form = validate(problem_form(), fields, marks, str(file))
    if faults:
        raise InputError()
    names = signature(SearchProblem).parameters.keys() & problem_form().model_fields.keys()
    stated: dict[str, Any] = {name: getattr(form, name) for name in names}
    source: AccuracySource | None = stated["accuracy"]
    stated["accuracy"] = source and source.beside(file)
    for name in ("workload", "device"):
        stated[name] = _subject(file, stated[name])
    stated |= {"set": stated["set"] or {}, "constraints": tuple(stated["constraints"])}
    return SearchProblem(**stated, place=_FaultLocator(marks, str(file)))


def _former(text: str) -> None:
    """Report a former name: in the command line's remarks, or as a deprecation warning."""
    remarks = REMARKS.get()
    if remarks is None:
        warnings.warn(text, DeprecationWarning, stacklevel=2)
    else:
        remarks.append(text)


def _subject(file: Path, name: str) -> str:
    """Return a library name unchanged, or a path relative to the folder of the file."""
    path = file.parent / name
    return str(path) if Path(name).suffix and path.is_file() else name


class _FaultLocator:
    """Adds the line and column of a file to faults."""

    def __init__(self, marks: Marks, file: str) -> None:
        self.marks, self.file = marks, file

    def __call__(self, fault: Fault) -> Fault:
        place, complete = _place(self.marks.root, fault.path)
        line, column = self.marks.at(
            place, key=complete and _OF_KEYS.search(fault.message) is not None
        )
        return replace(fault, file=self.file, line=line, column=column)


#: Faults that refer to a key rather than its value.
_OF_KEYS: Final = re.compile(
    "is not a choice|has no setting|no such fact|fits no layer|unknown key"
)


def _place(root: MarkedNode, path: str) -> tuple[Place, bool]:
    """Return the longest place that a path names, and whether it names the full path.

    Keys may contain dots (``layer1.*``, ``memories.main.bandwidth``), so each key is matched
    against the front of the remaining path.
    """
    place: list[str | int] = []
    node, remaining = root, path
    while remaining:
        key = next(
            (
                k
                for k in sorted(node.children, key=len, reverse=True)
                if remaining == k or remaining.startswith((f"{k}.", f"{k}["))
            ),
            None,
        )
        if key is not None:
            node, remaining = node.children[key], remaining[len(key) :].removeprefix(".")
            place.append(key)
            continue
        number, _, after = remaining.removeprefix("[").partition("]")
        if remaining.startswith("[") and number.isdecimal() and int(number) < len(node.entries):
            node, remaining = node.entries[int(number)], after.removeprefix(".")
            place.append(int(number))
            continue
        break
    return tuple(place), not remaining
