"""Nested cross-validation of refits: which constants are free, and how strong their priors are.

A plain refit leaves out a group of rows (a device, say) and fits the listed constants to the
others. Which constants are listed, and how strongly each is shrunk towards its prior, was decided
with all rows in view, so that the error is optimistic. Here both choices are repeated without the
group (Varma and Simon, BMC Bioinformatics 7:91, 2006;
`perfmodel.calibrate.nested_cross_validation`).

The prior of a constant is centred at the value of its *family*: what related specs state that were
not fitted on the rows of the data set. For a runtime these are the runtimes that it inherits from,
related classes of kernels, and the generic runtime; for a fact of a device, the devices of the
other groups. *Optional* constants are facts that were fitted on the same rows but are not listed.

`nested_trial` is called by ``perfmodel validate --nested``.
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
from perfmodel.evaluate.refit import (
    PredictedRows,
    Refit,
    case_on_machine,
    probe_values,
    trial_report,
)
from perfmodel.evaluate.validation_case import ValidationCase

#: Largest factor by which an additional (unlisted) constant may change in either direction.
_LARGEST_CHANGE: Final = 30.0


@dataclass(frozen=True, slots=True)
class NestedRefit:
    """A refit with all constants fitted on its rows, each with the value of its family as prior.

    Attributes
    ----------
    constants
        Listed constants, then unlisted ones that were fitted on the same rows.
    forward
        Constants -> predictions of all rows.
    without_family
        Fitted facts that remain fixed, since no other spec states them.
    """

    constants: PulledConstants
    forward: Forward
    without_family: Collection[str] = ()


def nested_trial(refit: Refit, name: str) -> dict[str, Any]:
    """Refit with each group left out, choosing constants and prior weight without it.

    Parameters
    ----------
    refit
        Refit of a data set.
    name
        Name of the data set.

    Returns
    -------
    dict
        Result of `perfmodel.evaluate.refit.trial`, with ``choices`` (group -> ``pull``, ``joins``,
        ``error``: see `perfmodel.calibrate.PullChoice`), ``joining`` (unlisted constants), and
        ``without_family`` (fitted facts that no other spec states).
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
    return trial_report(refit, result) | {
        "choices": {group: asdict(choice) for group, choice in result.choices.items()},
        "joining": [c.name for c in nested.constants.constants[len(refit.constants) :]],
        "without_family": sorted(nested.without_family),
    }


def nested_refit(refit: Refit, name: str) -> NestedRefit:
    """Return the constants and priors of a nested trial; arguments as for `nested_trial`.

    For a refit with a custom forward function only the listed constants are known, with their own
    priors, if any.
    """
    if not isinstance(refit.forward, PredictedRows):
        listed = [_prior_at_start(constant) for constant in refit.constants]
        return NestedRefit(_with_priors(listed, []), refit.forward)
    rows = _FittedFacts(refit, refit.forward, name)
    listed = [rows.with_family_prior(constant) for constant in refit.constants]
    optional = rows.optional_constants(of_devices=refit.transfers)
    constants = _with_priors(listed, optional)
    # Constants without effect on any row remain fixed.
    evaluate = points_of(rows.forward(constants.constants), constants.constants)
    low, centre, high = constants.logs
    steps = ResidualsAndSlopes(lambda x: np.log(evaluate(np.exp(x))), low, high)
    slopes = steps.slopes(centre).T[len(listed) :]
    optional = [c for c, slope in zip(optional, slopes, strict=True) if np.any(slope)]
    constants = _with_priors(listed, optional)
    return NestedRefit(constants, rows.forward(constants.constants), rows.without_family)


def _with_priors(
    listed: Sequence[tuple[Constant, bool]], optional: Sequence[Constant]
) -> PulledConstants:
    """Return listed and optional constants, with the mask of those that have a prior."""
    pulled = np.array([pulled for _, pulled in listed] + [True] * len(optional))
    return PulledConstants([*(c for c, _ in listed), *optional], pulled, len(optional))


def _prior_at_start(constant: Constant) -> tuple[Constant, bool]:
    """Return a constant without a family, and whether it has a prior."""
    return replace(constant, start=constant.centre), constant.prior > 0.0


class _DeviceRows(NamedTuple):
    """Rows of one device under one runtime that depend on constants in the same way.

    Attributes
    ----------
    machine
        The device under the runtime, without varied facts.
    paths
        Fact -> constant that sets it.
    varied
        Facts that the rows state or that constants set.
    group
        Group of the rows in cross-validation.
    """

    machine: Machine
    paths: Mapping[str, str]
    varied: frozenset[str]
    group: str


class _FittedFacts:
    """Facts that were fitted on the rows of a refit: listed constants, and optional ones."""

    def __init__(self, refit: Refit, forward: PredictedRows, name: str) -> None:
        self._rows, self._by_refit, self._listed = forward.rows, forward.apply, refit.constants
        machines: dict[tuple[int, int], Machine] = {}
        place = probe_values(refit.constants)
        names = {number: name for name, number in place.items()}
        device_rows: dict[tuple[Any, ...], _DeviceRows] = {}
        for (case, quantity), group in zip(forward.rows, refit.groups, strict=True):
            case, machine = case_on_machine(case, quantity)
            key = _key(machine)
            if key not in machines:
                machines[key] = machine.device.machine(machine.runtime)
            facts = {machine.resolve(p): v for p, v in forward.apply(case, place).items()}
            paths = {path: names[value] for path, value in facts.items() if value in names}
            varied = frozenset({*machine.varied, *facts})
            device_rows[key, group, varied, *paths.items()] = _DeviceRows(
                machines[key], paths, varied, group
            )
        self._device_rows = list(device_rows.values())
        self._family_values = FamilyValues(
            ((each.machine, path) for each in self._device_rows for path in each.paths), name
        )
        self._optional_by_machine: dict[tuple[int, int], dict[str, str]] = {}
        self.without_family: set[str] = set()

    def with_family_prior(self, constant: Constant) -> tuple[Constant, bool]:
        """Return a listed constant with the prior of its family, and whether it has a prior."""
        places = {
            (each.machine.runtime.name, path): each.machine
            for each in self._device_rows
            for path, name in each.paths.items()
            if name == constant.name and path.startswith("runtime.")
        }
        value = _geometric_mean(
            self._family_mean([machine], path) for (_, path), machine in places.items()
        )
        if value is None:
            return _prior_at_start(constant)
        return replace(constant, towards=value), True

    def optional_constants(self, *, of_devices: bool) -> list[Constant]:
        """Return the unlisted constants that were fitted on these rows.

        Runtimes that state the same number share one fit, and therefore one constant. The family of
        a device fact is the devices of other groups.

        Parameters
        ----------
        of_devices
            Whether to include facts of devices.
        """
        places: dict[tuple[str, float, str], list[_DeviceRows]] = {}
        for each in self._device_rows:
            for path in self._fitted_facts(each):
                of_runtime = path.startswith("runtime.")
                if of_runtime or of_devices:
                    owner = "" if of_runtime else each.machine.device.name
                    places.setdefault((path, each.machine[path], owner), []).append(each)
        out: list[Constant] = []
        for (path, _, owner), device_rows in places.items():
            machine = device_rows[0].machine
            name = f"{path} of {owner or machine.runtime.name}"
            machines = {each.machine.runtime.name: each.machine for each in device_rows}.values()
            centre = (
                self._mean_of_other_groups(device_rows[0], path)
                if owner
                else self._family_mean(machines, path)
            )
            span = machine.span(path)
            if centre is None or span.integral:
                self.without_family.add(name)
                continue
            low, high = (
                max(span.low, centre / _LARGEST_CHANGE),
                min(span.high, centre * _LARGEST_CHANGE),
            )
            out.append(Constant(name, centre, low, high))
            for each in device_rows:
                self._optional_by_machine.setdefault(_key(each.machine), {})[path] = name
        return out

    def _family_mean(self, machines: Iterable[Machine], path: str) -> float | None:
        """Return the geometric mean of the family's value over some machines."""
        return _geometric_mean(
            self._family_values.family_value(machine, path) for machine in machines
        )

    def _mean_of_other_groups(self, each: _DeviceRows, path: str) -> float | None:
        """Return the geometric mean of a device fact over other groups, excluding equal values."""
        machine = each.machine
        role = path.replace(f"engines.{machine.engine}.", "engines.main.")
        role = role.replace(f"memories.{machine.main_memory}.", "memories.main.")
        others = {
            other_rows.machine.device.name: other_rows.machine
            for other_rows in self._device_rows
            if other_rows.group != each.group
        }
        values = [other.get(role) for other in others.values()]
        return _geometric_mean(
            v for v in values if isinstance(v, float) and 0.0 < v != machine[path]
        )

    def _fitted_facts(self, each: _DeviceRows) -> Iterator[str]:
        """Yield the facts of a device that were fitted on the rows and that no constant sets."""
        for path, value in each.machine.facts.items():
            is_stated = path not in each.varied and isinstance(value, float) and value > 0.0
            if is_stated and self._family_values.is_fitted_on_rows(each.machine, path):
                yield path

    def forward(self, constants: Sequence[Constant]) -> PredictedRows:
        """Return predictions of the rows as a function of listed and unlisted constants."""

        def apply(case: ValidationCase, values: Mapping[str, Any]) -> Mapping[str, Any]:
            machine = case.machine
            assert isinstance(machine, Machine)
            facts = self._by_refit(case, {c.name: values[c.name] for c in self._listed})
            occupied = {machine.resolve(path) for path in facts} | machine.varied.keys()
            optional = self._optional_by_machine.get(_key(machine), {}).items()
            more = {p: values[n] for p, n in optional if n in values and p not in occupied}
            return {**more, **facts}

        return PredictedRows(self._rows, constants, apply)


def _key(machine: Machine) -> tuple[int, int]:
    """Return a key of the device and runtime of a machine, without its varied facts."""
    return id(machine.device), id(machine.runtime)


def _geometric_mean(values: Iterable[float | None]) -> float | None:
    """Return the geometric mean of the values that are not None; ``None`` if all are."""
    logs = [math.log(value) for value in values if value is not None]
    return math.exp(math.fsum(logs) / len(logs)) if logs else None


#: Class of kernels -> related class with similar constants.
_RELATED_CLASS: Final = {
    "grouped": "conv",
    "moe": "gemm",
    "batched_gemm": "attention",
    "attention_prefill": "attention",
    "attention_decode": "attention",
}
#: Constant of a kernel -> corresponding path of a class in runtimes without kernel constants.
_RUNTIME_PATH_OF: Final = {
    "peak_share": "efficiency.{}",
    "bandwidth_share": "efficiency.bandwidth",
    "launch": "per_operator",
    "host_floor": "per_operator",
}


class FamilyValues:
    """Values of constants in related specs that were not fitted on the rows of a refit.

    Parameters
    ----------
    listed
        Machines of the rows, and paths of the listed constants of the refit.
    name
        Name of the data set. A constant counts as fitted on its rows if it cites a document that a
        listed constant cites, or one that names the data set.
    """

    def __init__(self, listed: Iterable[tuple[Machine, str]], name: str) -> None:
        self._name = re.compile(rf"\b{re.escape(name)}\b")
        self._machines: dict[tuple[int, str], Machine | None] = {}
        self._documents = {_fitted_on(machine, path)[0] for machine, path in listed} - {""}

    def is_fitted_on_rows(self, machine: Machine, path: str) -> bool:
        """Return whether a fact was fitted on the rows of the refit."""
        document, words = _fitted_on(machine, path)
        return document in self._documents or self._name.search(words) is not None

    def family_value(self, machine: Machine, path: str) -> float | None:
        """Return a runtime's fact from the nearest related spec not fitted on the rows.

        In order: the runtimes that it inherits from, related kernel classes, the generic runtime;
        else the geometric mean over all runtimes for such devices.

        Returns
        -------
        float or None
            Value in SI units; ``None`` if no relative states it.
        """
        for other, place in self._related_facts(machine, path):
            value = self._stated_value(other, place)
            if value is not None:
                return value
        names = (n for n in runtime_names() if runtime(n).suits(machine.device))
        return _geometric_mean(
            self._stated_value(self._machine_under(machine, n), path) for n in names
        )

    def _related_facts(self, machine: Machine, path: str) -> Iterator[tuple[Machine | None, str]]:
        """Yield machine and path of related facts, nearest first; see `family_value`."""
        for name in machine.runtime.lineage:
            yield self._machine_under(machine, name), path
        section, _, constant = path.removeprefix("runtime.").partition(".")
        kernels = section == "kernels"
        words, _, last = constant.rpartition(".") if kernels else (constant, "", "")
        classes = _related_classes(words)
        for name in classes:
            yield machine, ".".join(["runtime", section, name, *([last] if kernels else [])])
        generic = self._machine_under(machine, "generic")
        yield generic, path
        for name in (words, *classes):
            if kernels and last in _RUNTIME_PATH_OF:
                yield generic, "runtime." + _RUNTIME_PATH_OF[last].format(name)
            yield generic, f"runtime.{section}.{name}"

    def _machine_under(self, machine: Machine, name: str) -> Machine | None:
        """Return the device under another runtime; ``None`` if that cannot drive it."""
        key = (id(machine.device), name)
        if key not in self._machines:
            try:
                self._machines[key] = machine.device.machine(name)
            except InputError:
                self._machines[key] = None
        return self._machines[key]

    def _stated_value(self, machine: Machine | None, path: str) -> float | None:
        """Return a fact that a runtime states and that was not fitted on the rows, else None."""
        if machine is None or "bound" in machine.runtime.tags:
            return None
        origin, value = machine.provenance.get(path), machine.get(path)
        if origin is None or origin.writer == "default" or self.is_fitted_on_rows(machine, path):
            return None
        return float(value) if isinstance(value, float) and value > 0.0 else None


def _fitted_on(machine: Machine, path: str) -> tuple[str, str]:
    """Return the document of a fitted fact and its description; empty texts if not fitted."""
    origin = machine.provenance.get(path)
    if origin is None or (origin.confidence != "fitted" and origin.fitted_on is None):
        return "", ""
    spec = machine.runtime if path.startswith("runtime.") else machine.device
    source = spec.sources.get(origin.source or "")
    if source is None:
        return origin.source or "", origin.fitted_on or ""
    return source.url or source.title, f"{source.title} {origin.fitted_on}"


def _related_classes(words: str) -> list[str]:
    """Return the classes related to one (such as ``conv.tf32``), nearest first."""
    out: list[str] = []
    while "." in words:
        words = words.rpartition(".")[0]
        out.append(words)
    return [*out, _RELATED_CLASS[words]] if words in _RELATED_CLASS else out
