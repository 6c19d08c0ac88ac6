"""A whole search declared in a YAML or JSON file, read strictly.

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
from perfmodel.frozen import FrozenModel
from perfmodel.marks import MarkedNode, Marks
from perfmodel.marks import Path as Place
from perfmodel.pydantic_faults import Flaw
from perfmodel.search.declared import SearchProblem
from perfmodel.search.run import SearchMethod
from perfmodel.search.sources import AccuracySource, SourceKind
from perfmodel.search.space.choices import Share
from perfmodel.settings import REMARKS
from perfmodel.specfile import read, validate

_SUFFIXES: Final = (".yaml", ".yml", ".json")


class _ProblemSchema(FrozenModel):
    model_config = ConfigDict(allow_inf_nan=False, strict=True)


class AccuracyForm(_ProblemSchema):
    """Where the loss comes from."""

    kind: SourceKind
    """sqnr: noise of real weights; table: sensitivities, or accuracies of architectures; hawq:
    traces of Hessians."""
    path: str | None = None
    """File, from the folder of this one; `sqnr` takes that of the workload by default."""
    calibration: str | None = None
    """Of sqnr: file of activations."""
    model: str | None = None
    """Of hawq: which of the file's models."""
    layers: list[str] | None = None
    """Of hawq: names of a JSON file's layers, in order."""
    weights: str | None = None
    """Of hawq: file of weights."""
    accuracy: str = "accuracy"
    """Of a table of architectures: column of accuracies."""
    architecture: str = ""
    """Of a table of architectures: column of architectures."""


class _ProblemHead(_ProblemSchema):
    """What a file says otherwise than the parameters of `search`, or beside them."""

    schema_version: Literal[1] = 1
    """Version of this form."""
    title: str = ""
    """What the search is about."""
    note: str | None = None
    """What a reader must know."""
    accuracy: AccuracyForm | None = None
    """Where the loss comes from, with its calibration."""
    time_limit_s: float | None = Field(default=60.0, gt=0, le=1e6)
    """Seconds for a proof; no limit where null."""
    evaluations: int = Field(default=4000, ge=1, le=10**9)
    """Of evolution."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    """Of evolution and of what is drawn."""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield what is wrong with settings and options, which may be of any plain type."""
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


#: Annotation of a parameter of `search` -> what a file may say; a text where it is none of these.
_TYPES: Final = {
    "Mapping[str, Any]": dict[str, Any],
    "str | Iterable[str]": list[str],
    "bool": bool,
    "Share": Share,
    "SearchMethod": SearchMethod,
}
#: Former keys, for one minor version.
_FORMER: Final = {"seconds": "time_limit_s", "settings": "set"}


@cache
def problem_form() -> type[BaseModel]:
    """Return the form of a file: what `search` takes, as far as plain texts and numbers say it."""
    from perfmodel.search.face import search

    fields: dict[str, Any] = {}
    for name, each in signature(search).parameters.items():
        if name in _ProblemHead.model_fields or name == "calibration":
            continue
        kind = _TYPES.get(str(each.annotation).removesuffix(" | None"), str)
        required = name in ("workload", "device")
        optional = each.default is None and not required
        fields[name] = (kind | None if optional else kind, ... if required else each.default)
    return create_model("ProblemForm", __base__=_ProblemHead, **fields)


#: Types of a setting and of an option.
_PLAIN: Final = (bool, int, float, str)


def _mapping(data: Any) -> dict[str, Any]:
    """Return a mapping as one; nothing of what is none, which is a fault of its own."""
    return dict(cast("Mapping[str, Any]", data)) if isinstance(data, Mapping) else {}


def _option_flaws(place: Place, options: Any) -> Iterator[Flaw]:
    listed = cast("list[Any]", options if isinstance(options, list) else [options])
    if not listed:
        yield Flaw(place, "no options", "one at least")
    for i, option in enumerate(listed):
        if not isinstance(option, _PLAIN):
            yield Flaw(
                (*place, i) if isinstance(options, list) else place,
                f"{_what(option)} is no option",
                "a number or a text",
            )


def _what(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    return "nothing" if value is None else "a list"


def load(path: object, beside: Iterable[str] = ()) -> SearchProblem:
    """Read a problem; `SearchProblem.search` runs it.

    Parameters
    ----------
    path
        Text or `pathlib.Path` of a YAML file, or of a JSON file where the name ends in ``.json``.
        Paths inside are taken from its folder.
    beside
        Names of what was given beside the file, each of which is a fault.

    Returns
    -------
    SearchProblem
        Names in it are not looked up yet: `SearchProblem.search` does, and places its faults.

    Raises
    ------
    InputError
        Every fault of form at once, each with line, column and what was expected.
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
    source: AccuracyForm | None = stated["accuracy"]
    if source is not None:
        given: dict[str, Any] = dict(source)
        given |= {n: _beside(file, given[n]) for n in ("path", "calibration", "weights")}
        given["layers"] = None if source.layers is None else tuple(source.layers)
        stated["accuracy"] = AccuracySource(**given)
    for name in ("workload", "device"):
        stated[name] = _subject(file, stated[name])
    stated |= {"set": stated["set"] or {}, "constraints": tuple(stated["constraints"])}
    return SearchProblem(**stated, place=_FaultLocator(marks, str(file)))


def _former(text: str) -> None:
    """Say that a name is of an earlier version: in the command line's remarks, or as a warning."""
    remarks = REMARKS.get()
    if remarks is None:
        warnings.warn(text, DeprecationWarning, stacklevel=2)
    else:
        remarks.append(text)


def _beside(file: Path, given: str | None) -> Path | None:
    return None if given is None else file.parent / given


def _subject(file: Path, given: str) -> str:
    """Return a name as it is, and a path seen from the folder of the file."""
    path = file.parent / given
    return str(path) if Path(given).suffix and path.is_file() else given


class _FaultLocator:
    """Puts faults where the file says what they are about."""

    def __init__(self, marks: Marks, file: str) -> None:
        self.marks, self.file = marks, file

    def __call__(self, fault: Fault) -> Fault:
        place, whole = _place(self.marks.root, fault.path)
        line, column = self.marks.at(
            place, key=whole and _OF_KEYS.search(fault.message) is not None
        )
        return replace(fault, file=self.file, line=line, column=column)


#: Faults that are about a key rather than its value.
_OF_KEYS: Final = re.compile("is no choice|has no setting|no such fact|fits no layer|unknown key")


def _place(root: MarkedNode, path: str) -> tuple[Place, bool]:
    """Return the longest place that a path names, and whether it names all of it.

    Keys may hold dots themselves (``layer1.*``, ``memories.main.bandwidth``), so each is read off
    the front of what is left of the path.
    """
    place: list[str | int] = []
    node, rest = root, path
    while rest:
        key = next(
            (
                k
                for k in sorted(node.children, key=len, reverse=True)
                if rest == k or rest.startswith((f"{k}.", f"{k}["))
            ),
            None,
        )
        if key is not None:
            node, rest = node.children[key], rest[len(key) :].removeprefix(".")
            place.append(key)
            continue
        number, _, after = rest.removeprefix("[").partition("]")
        if rest.startswith("[") and number.isdecimal() and int(number) < len(node.entries):
            node, rest = node.entries[int(number)], after.removeprefix(".")
            place.append(int(number))
            continue
        break
    return tuple(place), not rest
