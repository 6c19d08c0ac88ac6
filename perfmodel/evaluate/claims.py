"""Public function `reproduce`: published claims beside the numbers that the model predicts.

A claim is a number in a YAML file of an installed package (form: `perfmodel.evaluate.claims_form`),
with the arguments of the prediction that gives it; what no prediction gives is computed by a Python
module of the system's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from perfmodel.ask import Prediction, Workload, hardware, predict, workload
from perfmodel.catalog import module_of, not_installed, packages
from perfmodel.errors import Fault, InputError, input_error, no_such
from perfmodel.evaluate.claims_form import Ask, Basis, PublishedClaim, PublishedSystem, Verdict
from perfmodel.expressions import parse_expression
from perfmodel.settings import gathered
from perfmodel.specfile import read, validate
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import align_columns

#: Entry point group of packages with files ``NAME.yaml`` and, if claims need code, ``NAME.py``.
GROUP: Final = "perfmodel.claims"


def _systems() -> dict[str, tuple[Path, str]]:
    """Return system -> its file and the name of the optional module that computes its claims."""
    return {
        path.stem: (path, f"{package.__name__}.{path.stem}")
        for package in packages(GROUP)
        for path in sorted(Path(str(package.__path__[0])).glob("*.yaml"))
    }


def names() -> list[str]:
    """Return the names of the systems with published claims."""
    return sorted(_systems())


def published(system: str) -> PublishedSystem:
    """Return the published claims of a system.

    Raises
    ------
    InputError
        Unknown system, or faults of its file.
    """
    known = _systems()
    if system not in known:
        raise InputError(no_such(f"no published system is named '{system}'", system, known))
    path, _ = known[system]
    data, marks = read(path)
    system_claims = validate(PublishedSystem, data, marks, path.name)
    if system_claims.system != system:
        raise input_error(
            f"calls itself '{system_claims.system}'",
            "system",
            path.name,
            expected=f"'{system}', as the file",
        )
    return system_claims


def reproduce(systems: str | Iterable[str] | None = None) -> Reproductions:
    """Predict what published systems claim.

    Parameters
    ----------
    systems
        Names of systems, such as cambricon_llm or eyeriss. By default all of them.

    Returns
    -------
    Reproductions
        Tuple with one `Reproduction` per claim, in the order of the files.

    Raises
    ------
    InputError
        Lists every unknown name.

    Examples
    --------
    >>> import perfmodel as pm
    >>> len(pm.reproduce("eyeriss")) > 0
    True
    """
    faults: list[Fault] = gathered()
    if not names():
        raise InputError(not_installed("published claims"))
    requested = [systems] if isinstance(systems, str) else list(systems or names())
    documents: list[PublishedSystem] = []
    for name in dict.fromkeys(requested):
        try:
            documents.append(published(name))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return Reproductions(row for system in documents for row in _reproductions(system))


def _reproductions(system: PublishedSystem) -> list[Reproduction]:
    """Return one reproduction for each claim of a system."""
    computed: Mapping[str, float] = {}
    _, module = _systems()[system.system]
    if find_spec(module) is not None:
        computed = module_of(module).predicted()
    out: list[Reproduction] = []
    for claim in system.claims:
        interval: tuple[float, float, str] | None = None
        if claim.ask is not None:
            value, interval = _predicted_value(claim.ask)
        elif claim.claim in computed:
            value = float(computed[claim.claim])
        else:
            raise input_error(
                "nothing predicts this claim",
                f"claims.{claim.claim}",
                f"{system.system}.yaml",
                expected="'ask', or a number of its module",
            )
        out.append(replace(_reproduction(system, claim, value), interval=interval))
    return out


def _reproduction(system: PublishedSystem, claim: PublishedClaim, value: float) -> Reproduction:
    """Return a claim beside the predicted value, with its verdict."""
    error: float | None = None
    verdict: Verdict = "not_public"
    if claim.between is not None:
        low, high = claim.between
        edge = low if low is not None and value < low else high
        outside = edge is not None and (value > edge or edge is low)
        error = _error(value, edge) if outside and edge is not None else None
        verdict = "off" if outside or not isfinite(value) else "within"
    elif claim.published is not None:
        error = _error(value, claim.published)
        good = isfinite(error) and abs(error) <= claim.tolerance * (1 + 1e-12)
        verdict = "within" if good else "off"
    source = system.sources[claim.source]
    text = source.title + (f" ({source.url})" if source.url else "")
    return Reproduction(
        system.system,
        claim.claim,
        claim.title,
        claim.published,
        value,
        claim.unit,
        error,
        claim.basis,
        claim.constants,
        claim.tolerance,
        verdict,
        text,
        claim.note or "",
        claim.between,
    )


def _error(value: float, published: float) -> float:
    """Return the relative error; of a published zero the difference."""
    return value / published - 1 if published else value


def _predicted_value(ask: Ask) -> tuple[float, tuple[float, float, str] | None]:
    """Return a prediction and, of a metric with intervals, the ends of that of 90 %."""
    run = workload(ask.workload, **ask.parameters)
    if ask.device is None:
        return _value(ask.metric, run), None
    machine = hardware(ask.device).machine(ask.runtime).vary(ask.facts)
    prediction = predict(run, machine, precision=ask.precision, runtime=ask.runtime)
    value = _value(ask.metric, prediction)
    if ask.over is not None:
        return value / _predicted_value(ask.over)[0], None
    if ask.metric not in prediction.intervals:
        return value, None
    low, _, high, _, basis = prediction.interval(ask.metric)
    return value, (float(low), float(high), basis)


def _value(metric: str, answer: Prediction | Workload) -> float:
    """Return the value of an expression of attributes, resources and columns of rows."""

    def number(name: str) -> float:
        if hasattr(answer, name):
            return float(getattr(answer, name))
        if isinstance(answer, Prediction):
            if name in answer.resources:
                return float(answer.resources[name]["used"])
            if name in answer.table.columns:
                return float(np.sum(answer.table["count"] * answer.table[name]))
        raise InputError(no_such(f"nothing predicted is named '{name}'", name, dir(answer)))

    expression = parse_expression(metric)
    return float(expression({name: number(name) for name in expression.names}))


@dataclass(frozen=True, slots=True)
class Reproduction:
    """One published claim with the prediction of the model.

    Attributes
    ----------
    system, claim, title
        Name of the system, name of the claim, and its description.
    published, predicted
        Values in `unit`; `published` is ``None`` if the number is not public.
    error
        ``predicted / published - 1``, or the difference if 0 was published. For a range, the error
        from the nearest end, ``None`` inside.
    basis
        ``first_principles``, ``given`` or ``fitted``.
    constants
        Constants used in addition to geometry and physics, in words.
    tolerance
        Largest relative error for the verdict ``within``.
    verdict
        ``within``, ``off`` or ``not_public``.
    source, note
        Source of the claim, and remarks.
    between
        Lowest and highest value, if a range or a bound was published instead of a number.
    interval
        Ends of the 90 % interval of a prediction, and its basis; ``None`` for metrics without one.
    """

    system: str
    claim: str
    title: str
    published: float | None
    predicted: float
    unit: str
    error: float | None
    basis: Basis
    constants: tuple[str, ...]
    tolerance: float
    verdict: Verdict
    source: str
    note: str
    between: tuple[float | None, float | None] | None = None
    interval: tuple[float, float, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the claim, ready for JSON."""
        return {name: plain(getattr(self, name)) for name in self.__slots__}


class Reproductions(Result, tuple[Reproduction, ...]):
    """Sequence of claims; prints as an aligned table."""

    noun = "reproduction"

    def to_dict(self) -> list[dict[str, Any]]:
        """Return each claim, ready for JSON."""
        return plain(list(self))

    @cached_property
    def table(self) -> Table:
        """The claims as columns: `system`, `claim`, `published`, `predicted`, `error` and so on."""
        rows = self.to_dict()
        numbers = ("published", "predicted", "error", "tolerance")
        columns: dict[str, Any] = {}
        for name in Reproduction.__slots__:
            values = [row[name] for row in rows]
            if name in numbers:
                filled = [float("nan") if v is None else v for v in values]
                columns[name] = np.array(filled, dtype=float)
            else:
                columns[name] = np.array([*map(_text, values)], dtype=object)
        return Table(columns)

    @property
    def headline(self) -> str:
        """Number of claims within their tolerance."""
        counts = {v: sum(r.verdict == v for r in self) for v in ("within", "off", "not_public")}
        first = [r for r in self if r.basis == "first_principles" and r.verdict != "not_public"]
        good = sum(r.verdict == "within" for r in first)
        return (
            f"{counts['within']} within, {counts['off']} off, {counts['not_public']} not public; "
            f"of {len(first)} from first principles {good} within"
        )

    def sections(self) -> list[str]:
        """Return one line per claim."""
        head = ("claim", "published", "predicted", "unit", "error", "basis", "verdict", "90 % in")
        rows = [
            (
                f"{r.system}.{r.claim}",
                _published(r),
                _number(r.predicted),
                r.unit,
                "" if r.error is None else f"{100 * r.error:+.1f} %",
                r.basis,
                r.verdict,
                _interval_text(r),
            )
            for r in self
        ]
        return ["\n".join(align_columns([head, *rows], {1, 2, 4}))]


def _text(value: Any) -> str:
    """Return a value as text; lists are joined."""
    if isinstance(value, list):
        return "; ".join(map(str, cast("list[Any]", value)))
    return "" if value is None else str(value)


def _published(row: Reproduction) -> str:
    """Return the published value as text: a number, ``20 to 32``, ``<= 8.5`` or ``>= 3``."""
    if row.between is None:
        return _number(row.published)
    low, high = row.between
    if low is None or high is None:
        return f"<= {_number(high)}" if low is None else f">= {_number(low)}"
    return f"{_number(low)} to {_number(high)}"


def _interval_text(row: Reproduction) -> str:
    """Return the ends of the interval and its basis as text."""
    if row.interval is None:
        return ""
    low, high, basis = row.interval
    return f"{_number(low)} to {_number(high)}, {basis}"


def _number(value: float | None) -> str:
    """Return a number with four digits."""
    return "" if value is None else f"{value:.4g}"
