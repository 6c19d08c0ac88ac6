"""Refits on trial with every choice inside the loop: which constants move, and how far they may.

Constants begin at what they are worth to those who have not seen the rows they were fitted on:
the value of their family.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from perfmodel.ask import Machine, runtime, runtime_names
from perfmodel.calibrate import Constant, PulledConstants, nested_left_out
from perfmodel.calibrate.fit import Forward, ResidualsAndSlopes, points_of
from perfmodel.errors import InputError
from perfmodel.evaluate.case import ValidationCase
from perfmodel.evaluate.refit import PredictedRows, Refit, on_machine, reported, separate_places

#: A constant beside the listed ones moves at most by this factor either way.
_RANGE: Final = 30.0


@dataclass(frozen=True, slots=True)
class NestedRefit:
    """A refit with all constants that were fitted on its rows, each beside its family's value.

    Attributes
    ----------
    constants
        The listed ones, then those that were fitted on the same rows and are not listed.
    forward
        Constants -> predictions of all rows.
    without_family
        Fitted facts that stay as they are, since nothing else states them.
    """

    constants: PulledConstants
    forward: Forward
    without_family: Collection[str] = ()


def nested_trial(refit: Refit, name: str) -> dict[str, Any]:
    """Refit with each group left out, constants and pull chosen without it.

    Parameters
    ----------
    refit
        Of a data set.
    name
        Of the data set.

    Returns
    -------
    dict
        As `perfmodel.evaluate.refit.trial` returns, with ``choices`` (group -> ``pull``, ``joins``,
        ``error``: see `perfmodel.calibrate.PullChoice`), ``joining`` (constants beside the listed
        ones), and ``without_family`` (fitted facts that nothing else states).
    """
    nested = nested_refit(refit, name)
    result = nested_left_out(
        nested.forward,
        refit.measured,
        nested.constants,
        refit.groups,
        scale=refit.scale,
        weights=refit.weights,
    )
    return reported(refit, result) | {
        "choices": {group: asdict(choice) for group, choice in result.choices.items()},
        "joining": [c.name for c in nested.constants.constants[len(refit.constants) :]],
        "without_family": sorted(nested.without_family),
    }


def nested_refit(refit: Refit, name: str) -> NestedRefit:
    """Return what moves in a nested trial, and towards what; as `nested_trial` takes them.

    Of a refit with a forward function of its own only the listed constants are known; those that
    have a prior are pulled to where that pulls.
    """
    if not isinstance(refit.forward, PredictedRows):
        listed = [_from_start(constant) for constant in refit.constants]
        return NestedRefit(_pulled(listed, []), refit.forward)
    rows = _FittedFacts(refit, refit.forward, name)
    listed = [rows.with_family(constant) for constant in refit.constants]
    joining = rows.joining(of_devices=refit.transfers)
    constants = _pulled(listed, joining)
    # Constants that move no row are left as they are.
    evaluate = points_of(rows.forward(constants.constants), constants.constants)
    low, centre, high = constants.logs
    steps = ResidualsAndSlopes(lambda x: np.log(evaluate(np.exp(x))), low, high)
    slopes = steps.slopes(centre).T[len(listed) :]
    joining = [c for c, slope in zip(joining, slopes, strict=True) if np.any(slope)]
    constants = _pulled(listed, joining)
    return NestedRefit(constants, rows.forward(constants.constants), rows.without_family)


def _pulled(
    listed: Sequence[tuple[Constant, bool]], joining: Sequence[Constant]
) -> PulledConstants:
    pulled = np.array([pulled for _, pulled in listed] + [True] * len(joining))
    return PulledConstants([*(c for c, _ in listed), *joining], pulled, len(joining))


def _from_start(constant: Constant) -> tuple[Constant, bool]:
    """Return a constant without a family, which its prior may pull."""
    return replace(constant, start=constant.centre), constant.prior > 0.0


class _Use(NamedTuple):
    """Rows of one device under one runtime that constants set alike.

    Attributes
    ----------
    machine
        The device under the runtime, nothing varied.
    paths
        Fact -> the constant that it equals.
    varied
        Facts that are the rows' own, or that constants set.
    group
        That is left out with them.
    """

    machine: Machine
    paths: Mapping[str, str]
    varied: frozenset[str]
    group: str


class _FittedFacts:
    """What was fitted on the rows of a refit, listed or not."""

    def __init__(self, refit: Refit, forward: PredictedRows, name: str) -> None:
        self._rows, self._by_refit, self._listed = forward.rows, forward.apply, refit.constants
        machines: dict[tuple[int, int], Machine] = {}
        place = separate_places(refit.constants)
        names = {number: name for name, number in place.items()}
        uses: dict[tuple[Any, ...], _Use] = {}
        for (case, question), group in zip(forward.rows, refit.groups, strict=True):
            case, machine = on_machine(case, question)
            key = _key(machine)
            if key not in machines:
                machines[key] = machine.device.machine(machine.runtime)
            facts = {machine.resolve(p): v for p, v in forward.apply(case, place).items()}
            paths = {path: names[value] for path, value in facts.items() if value in names}
            varied = frozenset({*machine.varied, *facts})
            uses[key, group, varied, *paths.items()] = _Use(machines[key], paths, varied, group)
        self._uses = list(uses.values())
        self._families = Families(
            ((use.machine, path) for use in self._uses for path in use.paths), name
        )
        self._joining: dict[tuple[int, int], dict[str, str]] = {}
        self.without_family: set[str] = set()

    def with_family(self, constant: Constant) -> tuple[Constant, bool]:
        """Return a listed constant that begins at its family's value, and whether it is pulled."""
        places = {
            (use.machine.runtime.name, path): use.machine
            for use in self._uses
            for path, name in use.paths.items()
            if name == constant.name and path.startswith("runtime.")
        }
        value = _mean(self._family([machine], path) for (_, path), machine in places.items())
        if value is None:
            return _from_start(constant)
        return replace(constant, towards=value), True

    def joining(self, *, of_devices: bool) -> list[Constant]:
        """Return the constants that were fitted on these rows and are not listed.

        Runtimes that state the same number have it of one fit: it stays one constant. A fact of a
        device's own spec has the devices of other groups as its family.

        Parameters
        ----------
        of_devices
            Whether facts of devices are among them.
        """
        places: dict[tuple[str, float, str], list[_Use]] = {}
        for use in self._uses:
            for path in self._fitted_facts(use):
                of_runtime = path.startswith("runtime.")
                if of_runtime or of_devices:
                    owner = "" if of_runtime else use.machine.device.name
                    places.setdefault((path, use.machine[path], owner), []).append(use)
        out: list[Constant] = []
        for (path, _, owner), uses in places.items():
            machine = uses[0].machine
            name = f"{path} of {owner or machine.runtime.name}"
            machines = {use.machine.runtime.name: use.machine for use in uses}.values()
            centre = self._apart(uses[0], path) if owner else self._family(machines, path)
            span = machine.span(path)
            if centre is None or span.whole:
                self.without_family.add(name)
                continue
            low, high = max(span.low, centre / _RANGE), min(span.high, centre * _RANGE)
            out.append(Constant(name, centre, low, high))
            for use in uses:
                self._joining.setdefault(_key(use.machine), {})[path] = name
        return out

    def _family(self, machines: Iterable[Machine], path: str) -> float | None:
        return _mean(self._families.value(machine, path) for machine in machines)

    def _apart(self, use: _Use, path: str) -> float | None:
        """Return the mean of a device's fact over other groups, those that copy it left out."""
        machine = use.machine
        role = path.replace(f"engines.{machine.engine}.", "engines.main.")
        role = role.replace(f"memories.{machine.main_memory}.", "memories.main.")
        others = {u.machine.device.name: u.machine for u in self._uses if u.group != use.group}
        values = [other.get(role) for other in others.values()]
        return _mean(v for v in values if isinstance(v, float) and 0.0 < v != machine[path])

    def _fitted_facts(self, use: _Use) -> Iterator[str]:
        for path, value in use.machine.facts.items():
            states = path not in use.varied and isinstance(value, float) and value > 0.0
            if states and self._families.fitted_here(use.machine, path):
                yield path

    def forward(self, constants: Sequence[Constant]) -> PredictedRows:
        """Return predictions of the rows by the listed constants and others beside them."""

        def apply(case: ValidationCase, values: Mapping[str, Any]) -> Mapping[str, Any]:
            machine = case.machine
            assert isinstance(machine, Machine)
            facts = self._by_refit(case, {c.name: values[c.name] for c in self._listed})
            taken = {machine.resolve(path) for path in facts} | machine.varied.keys()
            joining = self._joining.get(_key(machine), {}).items()
            more = {p: values[n] for p, n in joining if n in values and p not in taken}
            return {**more, **facts}

        return PredictedRows(self._rows, constants, apply)


def _key(machine: Machine) -> tuple[int, int]:
    return id(machine.device), id(machine.runtime)


def _mean(values: Iterable[float | None]) -> float | None:
    """Return the geometric mean of the numbers among values; ``None`` of none."""
    logs = [math.log(value) for value in values if value is not None]
    return math.exp(math.fsum(logs) / len(logs)) if logs else None


#: Class of kernels -> the class whose constants stand for its own.
_SIBLINGS: Final = {
    "grouped": "conv",
    "moe": "gemm",
    "batched_gemm": "attention",
    "attention_prefill": "attention",
    "attention_decode": "attention",
}
#: Constant of a kernel -> where runtimes that know no kernels state the same, of a class.
_PLAIN: Final = {
    "peak_share": "efficiency.{}",
    "bandwidth_share": "efficiency.bandwidth",
    "launch": "per_operator",
    "host_floor": "per_operator",
}


class Families:
    """Values of constants from specs that were not fitted on the rows of a refit.

    Parameters
    ----------
    listed
        Machines of the rows, and paths of the constants that the refit lists.
    name
        Of the data set. A constant counts as fitted on its rows where it cites a document that a
        listed one cites too, or one that names the data set.
    """

    def __init__(self, listed: Iterable[tuple[Machine, str]], name: str) -> None:
        self._name = re.compile(rf"\b{re.escape(name)}\b")
        self._machines: dict[tuple[int, str], Machine | None] = {}
        self._documents = {_fitted_on(machine, path)[0] for machine, path in listed} - {""}

    def fitted_here(self, machine: Machine, path: str) -> bool:
        """Whether a fact was fitted on the rows of the refit."""
        document, words = _fitted_on(machine, path)
        return document in self._documents or self._name.search(words) is not None

    def value(self, machine: Machine, path: str) -> float | None:
        """Return what a runtime's fact is by the nearest of its family not fitted on the rows.

        The runtimes that it inherits from, the class of kernels that stands for its own, the
        generic runtime; else the geometric mean of all runtimes for such devices.

        Returns
        -------
        float or None
            SI; ``None`` where none of them states it.
        """
        for other, place in self._relatives(machine, path):
            value = self._stated(other, place)
            if value is not None:
                return value
        names = (n for n in runtime_names() if runtime(n).suits(machine.device))
        values = [self._stated(self._under(machine, n), path) for n in names]
        logs = [np.log(value) for value in values if value is not None]
        return float(np.exp(np.mean(logs))) if logs else None

    def _relatives(self, machine: Machine, path: str) -> Iterator[tuple[Machine | None, str]]:
        for name in machine.runtime.lineage:
            yield self._under(machine, name), path
        section, _, constant = path.removeprefix("runtime.").partition(".")
        kernels = section == "kernels"
        words, _, last = constant.rpartition(".") if kernels else (constant, "", "")
        classes = _nearest_classes(words)
        for name in classes:
            yield machine, ".".join(["runtime", section, name, *([last] if kernels else [])])
        generic = self._under(machine, "generic")
        yield generic, path
        for name in (words, *classes):
            if kernels and last in _PLAIN:
                yield generic, "runtime." + _PLAIN[last].format(name)
            yield generic, f"runtime.{section}.{name}"

    def _under(self, machine: Machine, name: str) -> Machine | None:
        """Return the device under another runtime; ``None`` where that does not drive it."""
        key = (id(machine.device), name)
        if key not in self._machines:
            try:
                self._machines[key] = machine.device.machine(name)
            except InputError:
                self._machines[key] = None
        return self._machines[key]

    def _stated(self, machine: Machine | None, path: str) -> float | None:
        """Return a fact that a runtime states and did not fit on the rows."""
        if machine is None or "bound" in machine.runtime.tags:
            return None
        origin, value = machine.provenance.get(path), machine.get(path)
        if origin is None or origin.writer == "default" or self.fitted_here(machine, path):
            return None
        return float(value) if isinstance(value, float) and value > 0.0 else None


def _fitted_on(machine: Machine, path: str) -> tuple[str, str]:
    """Return the document that a fact was fitted on, and what is said of that; else no words."""
    origin = machine.provenance.get(path)
    if origin is None or (origin.confidence != "fitted" and origin.fitted_on is None):
        return "", ""
    spec = machine.runtime if path.startswith("runtime.") else machine.device
    source = spec.sources.get(origin.source or "")
    if source is None:
        return origin.source or "", origin.fitted_on or ""
    return source.url or source.title, f"{source.title} {origin.fitted_on}"


def _nearest_classes(words: str) -> list[str]:
    """Return the classes that stand for one (``conv.tf32``), nearest first."""
    out: list[str] = []
    while "." in words:
        words = words.rpartition(".")[0]
        out.append(words)
    return [*out, _SIBLINGS[words]] if words in _SIBLINGS else out
