"""Published claims, predicted: one row a claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Final

from perfmodel.ask import hardware, predict, workload
from perfmodel.catalog import module_of, not_installed, packages
from perfmodel.errors import Fault, InputError, input_error, no_such
from perfmodel.evaluate.published import Ask, PublishedClaim, PublishedSystem, Verdict
from perfmodel.evaluate.reproduction import Reproduction, Reproductions
from perfmodel.settings import gathered
from perfmodel.specfile import read, validate

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
        system.system, claim.claim, claim.title, claim.published, value, claim.unit, error,
        claim.basis, claim.constants, claim.tolerance, verdict, text, claim.note or "",
        claim.between,
    )  # fmt: skip


def _error(value: float, published: float) -> float:
    return value / published - 1 if published else value


def _asked(ask: Ask) -> tuple[float, tuple[float, float, str] | None]:
    """Return a prediction, and its ends at 90 % with what they rest on where it is a latency."""
    machine = hardware(ask.device).machine(ask.runtime).vary(ask.facts)
    found = predict(workload(ask.workload, **ask.parameters), machine, precision=ask.precision,
                    runtime=ask.runtime)  # fmt: skip
    value = float(getattr(found, ask.metric))
    if ask.metric != "latency_s":
        return value, None
    low, _, high, _, basis = found.interval(ask.metric)
    return value, (float(low), float(high), basis)
