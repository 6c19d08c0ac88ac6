"""Published claims, predicted: one row per claim, what was published beside what is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from perfmodel.ask import hardware, predict, workload
from perfmodel.catalog import module_of, not_installed, packages
from perfmodel.errors import Fault, InputError, input_error, no_such
from perfmodel.evaluate.published import Ask, Basis, PublishedClaim, PublishedSystem, Verdict
from perfmodel.settings import gathered
from perfmodel.specfile import read, validate
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import aligned

#: Entry points of packages that hold ``NAME.yaml``, and beside it ``NAME.py`` where claims need it.
GROUP: Final = "perfmodel.claims"


def _systems() -> dict[str, tuple[Path, str]]:
    """Return system -> its file, and the module that would compute its claims."""
    return {
        path.stem: (path, f"{package.__name__}.{path.stem}")
        for package in packages(GROUP)
        for path in sorted(Path(str(package.__path__[0])).glob("*.yaml"))
    }


def names() -> list[str]:
    """Return the names of the systems whose claims are kept."""
    return sorted(_systems())


def published(system: str) -> PublishedSystem:
    """Return what a system has published.

    Raises
    ------
    InputError
        No such system, or faults of its file.
    """
    known = _systems()
    if system not in known:
        raise InputError(no_such(f"no published system is named '{system}'", system, known))
    path, _ = known[system]
    data, marks = read(path)
    found = validate(PublishedSystem, data, marks, path.name)
    if found.system != system:
        raise input_error(
            f"calls itself '{found.system}'",
            "system",
            path.name,
            expected=f"'{system}', as the file",
        )
    return found


def reproduce(systems: str | Iterable[str] | None = None) -> Reproductions:
    """Predict what published systems claim.

    Parameters
    ----------
    systems
        Systems, such as cambricon_llm or eyeriss. By default all of them.

    Returns
    -------
    Reproductions
        A tuple, one `Reproduction` a claim, in the order of the files.

    Raises
    ------
    InputError
        Every unknown name at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> len(pm.reproduce("eyeriss")) > 0
    True
    """
    faults: list[Fault] = gathered()
    if not names():
        raise InputError(not_installed("published claims"))
    asked = [systems] if isinstance(systems, str) else list(systems or names())
    found: list[PublishedSystem] = []
    for name in dict.fromkeys(asked):
        try:
            found.append(published(name))
        except InputError as error:
            faults += error.faults
    if faults:
        raise InputError(faults)
    return Reproductions(row for system in found for row in _rows(system))


def _rows(system: PublishedSystem) -> list[Reproduction]:
    computed: Mapping[str, float] = {}
    _, module = _systems()[system.system]
    if find_spec(module) is not None:
        computed = module_of(module).predicted()
    out: list[Reproduction] = []
    for claim in system.claims:
        interval: tuple[float, float, str] | None = None
        if claim.ask is not None:
            value, interval = _asked(claim.ask)
        elif claim.claim in computed:
            value = float(computed[claim.claim])
        else:
            raise input_error(
                "nothing predicts this claim",
                f"claims.{claim.claim}",
                f"{system.system}.yaml",
                expected="'ask', or a number of its module",
            )
        out.append(replace(_row(system, claim, value), interval=interval))
    return out


def _row(system: PublishedSystem, claim: PublishedClaim, value: float) -> Reproduction:
    error: float | None = None
    verdict: Verdict = "not_public"
    if claim.between is not None:
        low, high = claim.between
        edge = low if low is not None and value < low else high
        beyond = edge is not None and (value > edge or edge is low)
        error = _error(value, edge) if beyond and edge is not None else None
        verdict = "off" if beyond or not isfinite(value) else "within"
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
    return value / published - 1 if published else value


def _asked(ask: Ask) -> tuple[float, tuple[float, float, str] | None]:
    """Return a prediction, and its ends at 90 % with what they rest on where it is a latency."""
    machine = hardware(ask.device).machine(ask.runtime).vary(ask.facts)
    found = predict(
        workload(ask.workload, **ask.parameters),
        machine,
        precision=ask.precision,
        runtime=ask.runtime,
    )
    value = float(getattr(found, ask.metric))
    if ask.metric != "latency_s":
        return value, None
    low, _, high, _, basis = found.interval(ask.metric)
    return value, (float(low), float(high), basis)


@dataclass(frozen=True, slots=True)
class Reproduction:
    """One published claim, and what the model says.

    Attributes
    ----------
    system, claim, title
        Whose, which, and in words.
    published, predicted
        In `unit`; `published` is ``None`` where the number is not public.
    error
        ``predicted / published - 1``; the difference itself where 0 was published. Of a range
        from its nearest end, ``None`` within.
    basis
        ``first_principles``, ``given`` or ``fitted``.
    constants
        What entered beside geometry and physics, in words.
    tolerance
        Largest error that counts as within.
    verdict
        ``within``, ``off`` or ``not_public``.
    between
        Lowest and highest, where a range or a bound was published in place of a number.
    interval
        Of a latency that `perfmodel predict` gives: its ends at 90 %, and what they rest on.
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
    """Claims in a row; prints as an aligned table."""

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
        """How many claims are within their tolerance."""
        counts = {v: sum(r.verdict == v for r in self) for v in ("within", "off", "not_public")}
        first = [r for r in self if r.basis == "first_principles" and r.verdict != "not_public"]
        good = sum(r.verdict == "within" for r in first)
        return (
            f"{counts['within']} within, {counts['off']} off, {counts['not_public']} not public; "
            f"of {len(first)} from first principles {good} within"
        )

    def sections(self) -> list[str]:
        """Return a line for each claim."""
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
                _ends(r),
            )
            for r in self
        ]
        return ["\n".join(aligned([head, *rows], {1, 2, 4}))]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(str, cast("list[Any]", value)))
    return "" if value is None else str(value)


def _published(row: Reproduction) -> str:
    """A number, ``20 to 32``, ``<= 8.5`` or ``>= 3``."""
    if row.between is None:
        return _number(row.published)
    low, high = row.between
    if low is None or high is None:
        return f"<= {_number(high)}" if low is None else f">= {_number(low)}"
    return f"{_number(low)} to {_number(high)}"


def _ends(row: Reproduction) -> str:
    """Return the ends of the interval, and what they rest on."""
    if row.interval is None:
        return ""
    low, high, basis = row.interval
    return f"{_number(low)} to {_number(high)}, {basis}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
