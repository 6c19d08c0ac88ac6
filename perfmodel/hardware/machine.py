"""Machine: a device under a runtime, with its facts resolved and optionally varied.

What every cost model takes: a mapping from path to number, array or JAX tracer in SI units. `vary`
returns a machine with some facts replaced, scaling those that are proportional to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from perfmodel import units
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.fact_limits import Span, far_from, pair_faults, pairs_of, range_flaw
from perfmodel.hardware.fact_views import engine_view, memory_view
from perfmodel.hardware.facts import Facts, Provenance, facts_of, text_fields
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.ownership import is_of_body, is_of_ownership
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.runtime import Runtime
from perfmodel.settings import OPERATING_POINT

if TYPE_CHECKING:
    from perfmodel.hardware.calibration_posterior import Posterior

E = TypeVar("E", bound=Engine)


class Machine:
    """Facts of a device under a runtime, as cost functions read them.

    Facts are resolved in this order: base spec, device, runtime (its own facts only), calibration
    overlay, `vary`; `provenance` names the last writer.

    Parameters
    ----------
    device : Device
    runtime : Runtime, str or None
        A name is looked up in the library; None selects the device's default. If it has variants,
        the variant for the device's default engine is used.
    overlay : mapping, optional
        Calibrated facts by path, in the form that `vary` accepts.
    posterior : Posterior, optional
        Uncertainty of the calibrated facts.

    Attributes
    ----------
    facts : Mapping of str to float, ndarray or tracer
        SI values by path (``memories.dram.bandwidth``), by names only; ``machine[path]`` also
        accepts roles. Read-only: unvaried machines share it.
    runtime_named : bool
        Whether the runtime was named; otherwise a prediction selects one for its workload.

    Raises
    ------
    InputError
    """

    __slots__ = (
        "_base",
        "_changes",
        "_scaled",
        "device",
        "facts",
        "posterior",
        "runtime",
        "runtime_named",
    )

    device: Device
    runtime: Runtime
    runtime_named: bool
    facts: Mapping[str, Any]
    posterior: Posterior | None

    def __init__(
        self,
        device: Device,
        runtime: Runtime | str | None = None,
        overlay: Mapping[str, Any] | None = None,
        posterior: Posterior | None = None,
    ) -> None:
        self.posterior = posterior
        self.runtime_named = runtime is not None or bool(overlay)
        if not isinstance(runtime, Runtime):
            from perfmodel.hardware.library import runtime as find

            runtime = find(device.default_runtime if runtime is None else runtime)
        if runtime.variants and runtime.engine is None:
            from perfmodel.hardware.library import runtime as find

            runtime = find(runtime.variant(device))
        base = facts_of(device, runtime)
        if overlay:
            base = _with_overlay(base, overlay)
        self.device, self.runtime, self.facts = device, runtime, base.values
        self._base: Facts = base
        self._changes: dict[str, Any] = {}
        self._scaled: dict[str, str] = {}

    def vary(self, changes: Mapping[str, Any]) -> Machine:
        """Return a machine with facts replaced.

        The engine's peaks scale in proportion to a varied clock or count of units, and bandwidths
        per clock to a varied clock, unless they are varied themselves. Energies and powers follow
        a varied voltage (`perfmodel.hardware.supply_voltage`). The order of calls does not matter.
        ``operating_point`` sets the facts of a mode that the device lists; facts that are varied
        beside it take precedence.

        Parameters
        ----------
        changes : mapping of path to value
            Path by entry name or role (``memories.main.bandwidth``). A plain number or an array is
            in SI units, a text includes its unit, a list becomes an array. The ranges of the spec's
            fields apply. Objects with a shape that are not numpy arrays (tracers) are stored
            unchanged.

        Returns
        -------
        Machine

        Raises
        ------
        InputError
            Lists every unknown path and every value out of range.
        """
        if not changes:
            return self
        if OPERATING_POINT in changes:
            return self._at_point(changes)
        defaults = {path: known.value for path, known in self.device.defaults.items()}
        known = {**defaults, **self.facts}
        return self._changed_to(self._changes | _check_changes(self._base, changes, known))

    def _changed_to(self, changes: dict[str, Any]) -> Machine:
        """Return the machine with exactly these facts replaced, by resolved path in SI units."""
        machine = object.__new__(Machine)
        machine.device, machine.runtime, machine._base = self.device, self.runtime, self._base
        machine.runtime_named = self.runtime_named
        machine.posterior = self.posterior
        machine._changes = changes
        machine.facts, machine._scaled = _apply_changes(self._base, machine._changes)
        return machine

    def _at_point(self, changes: Mapping[str, Any]) -> Machine:
        """Return the machine in a mode of its device, and no other, with further facts replaced."""
        point, others = changes[OPERATING_POINT], dict(changes)
        del others[OPERATING_POINT]
        known = self.device.operating_points
        if point not in known:
            listed = one_of(known) if known else "a device that lists operating points"
            message = f"{self.device.name} has no operating point '{point}'"
            raise input_error(
                message,
                path=OPERATING_POINT,
                expected=listed,
                suggestion=nearest(str(point), known),
            )
        mode, current = known[point], known.get(self.operating_point)
        left = {self.resolve(path) for path in current.facts} if current else set[str]()
        own = {path: value for path, value in self._changes.items() if path not in left}
        machine = self._changed_to(own)
        if mode.device is not None:
            from perfmodel.hardware.library import hardware

            machine = Machine(hardware(mode.device), self.runtime, posterior=self.posterior)
            machine.runtime_named = self.runtime_named
            machine = machine.vary(own)
        return machine.vary({**mode.facts, **others})

    @property
    def operating_point(self) -> str:
        """Name of the mode whose facts the machine has; empty if it is as its spec states."""
        for name, mode in self.device.operating_points.items():
            if mode.facts and all(self.resolve(path) in self._changes for path in mode.facts):
                facts = _check_changes(self._base, mode.facts, self._base.values)
                if all(np.all(self._changes[path] == value) for path, value in facts.items()):
                    return name
        return ""

    def __getitem__(self, path: str) -> Any:
        """Return the fact at a path, by name or role.

        Raises
        ------
        InputError
            The path is unknown or has no value.
        """
        value = self.get(path)
        if value is None:
            resolved = self._base.resolve(path)
            if resolved in self._base.limits:
                message = f"{self.device.name} does not state this number"
                raise input_error(message, path=path, expected="a value, set by vary")
            raise InputError(_unknown_path_fault(self._base, path))
        return value

    def get(self, path: str, default: Any = None) -> Any:
        """Return the fact at a path (by name or role), or `default` if it has no value.

        Facts of the site and body that the device does not state are those of its class
        (`Device.defaults`).
        """
        facts = self.facts
        if path in facts:
            return facts[path]
        if path.startswith(("site.", "power.")) and path in self.device.defaults:
            return self.device.defaults[path].value
        return facts.get(self._base.resolve(path), default)

    def __contains__(self, path: str) -> bool:
        return path in self.facts or self._base.resolve(path) in self.facts

    def resolve(self, path: str) -> str:
        """Return a path with roles replaced by names (``memories.main`` -> ``memories.dram``)."""
        return self._base.resolve(path)

    def dimension(self, path: str) -> str:
        """Return a fact's dimension (key of `perfmodel.units.DIMENSIONS`), ``""`` if unknown."""
        limits = self._base.limits.get(self._base.resolve(path))
        return "" if limits is None else limits.dimension

    def span(self, path: str) -> Span:
        """Return the range of a fact: that of its field, narrowed by other facts that bound it.

        Raises
        ------
        InputError
            The path is unknown.
        """
        resolved = self._base.resolve(path)
        limits = self._base.limits.get(resolved)
        if limits is None:
            raise InputError(_unknown_path_fault(self._base, path))
        low, high = limits.least, limits.most
        for below, above in pairs_of([resolved]):
            other = self.get({below: above, above: below}.get(resolved, ""))
            if other is not None and resolved == below:
                high = min(high, float(np.min(other)))
            elif other is not None:
                low = max(low, float(np.max(other)))
        return Span(low, high, limits.integral)

    def engine_as(self, model: type[E], kind: str = "", engine: str = "main") -> E:
        """Return an engine's facts as fields of a spec class: `machine.engine_as(Engine).clock`.

        Parameters
        ----------
        model
            `Engine`, or the spec class of the engine's kind.
        kind
            Name of that kind.
        engine
            Name; the engine that the runtime drives by default.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        name = self.engine if engine == "main" else engine
        words = text_fields(self.device.engine(name))
        return engine_view(model, self.facts, name, words, kind, "device")

    def memory(self, name: str) -> Memory:
        """Return the facts of a memory by name or role: `machine.memory("sram").capacity`."""
        return memory_view(Memory, self.facts, self._base.aliases.get(("memories", name), name))

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that may be varied, including those without a value."""
        return tuple(self._base.limits)

    @property
    def varied(self) -> Mapping[str, Any]:
        """Facts that `vary` has set, by path with names."""
        return dict(self._changes)

    @property
    def runs_as_stated(self) -> bool:
        """Whether `vary` has set no fact but those of use, site and body, price and volume."""
        beside = ("use.period", "power.sleep")
        return all(is_of_ownership(p) or is_of_body(p) or p in beside for p in self._changes)

    @property
    def unvaried_facts(self) -> Mapping[str, Any]:
        """Facts before `vary`, which machines that differ in varied facts only share."""
        return self._base.values

    @property
    def remarks(self) -> list[str]:
        """Remarks on facts set far from those of the spec, possibly for lack of a unit."""
        remarks: list[str] = []
        for path, value in self._changes.items():
            limits, stated = self._base.limits[path], self._stated(path)
            if not limits.takes_bare and isinstance(stated, float) and stated > 0.0:
                far = far_from(value, stated)
                if far is not None:
                    shown, spec = (units.show(v, limits.dimension) for v in (far, stated))
                    known = "the spec states" if path in self._base.values else "the default is"
                    unit = units.DIMENSIONS[limits.dimension].unit
                    remarks.append(
                        f"{path} is set to {shown}, and {known} {spec}: a number "
                        f"without a unit is in {unit}"
                    )
        return remarks

    def _stated(self, path: str) -> Any:
        """Return a fact of the spec before `vary`, or the default of the device's class."""
        if path in self._base.values:
            return self._base.values[path]
        default = self.device.defaults.get(path)
        return None if default is None else default.value

    @property
    def provenance(self) -> Mapping[str, Provenance]:
        """Last writer, source and confidence of every fact."""
        origins = dict(self._base.provenance)
        for path, cause in self._scaled.items():
            known = origins[path]
            way = "by" if path in self._base.derived else "in proportion to"
            origins[path] = Provenance(
                f"vary ({way} {cause})", known.source, known.confidence, known.note
            )
        origins |= dict.fromkeys(self._changes, Provenance("vary"))
        point = self.operating_point
        if mode := self.device.operating_points.get(point):
            writer = f"vary (operating point {point})"
            known = Provenance(writer, mode.source, mode.confidence, mode.note)
            origins |= {self.resolve(path): known for path in mode.facts}
        return origins

    @property
    def engine(self) -> str:
        """Name of the engine that the runtime drives: ``engines.main`` in paths."""
        return self._base.engine

    @property
    def main_memory(self) -> str:
        """Name of the memory that a model must fit into: ``memories.main`` in paths."""
        return self._base.memory

    def hierarchy(self, engine: str = "main") -> tuple[Memory, ...]:
        """Return the memories that feed an engine, nearest first.

        These are specs without varied numbers; read numbers from `facts`.
        """
        return self.device.hierarchy(self.engine if engine == "main" else engine)

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.device, self.runtime, self._base, self._changes, self.posterior
        return Machine._rebuilt, state

    @classmethod
    def _rebuilt(
        cls,
        device: Device,
        runtime: Runtime,
        base: Facts,
        changes: dict[str, Any],
        posterior: Posterior | None,
    ) -> Machine:
        """Rebuild a machine from its pickled state."""
        machine = cls(device, runtime, posterior=posterior)
        machine._base, machine.facts = base, base.values
        return machine.vary(changes)

    def __repr__(self) -> str:
        changed = "".join(f", {path}={value!r}" for path, value in self._changes.items())
        return f"Machine({self.device.name}, {self.runtime.name}{changed})"


def _with_overlay(base: Facts, overlay: Mapping[str, Any]) -> Facts:
    changes = _check_changes(base, overlay, base.values)
    values, _ = _apply_changes(base, changes)
    origins: dict[str, Provenance] = {}
    for written, value in overlay.items():
        known = value if isinstance(value, Quantity) else Quantity(value=0.0)
        confidence = known.confidence or "fitted"
        origins[base.resolve(written)] = Provenance(
            "calibration", known.source, confidence, known.note, known.fitted_on
        )
    return replace(
        base,
        values=values,
        provenance=base.provenance | origins,
        derived={path: law for path, law in base.derived.items() if path not in origins},
    )


def _apply_changes(
    base: Facts, changes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values with the changes applied, and scaled path -> path that caused it."""
    values = dict(base.values)
    values.update(changes)
    scaled: dict[str, str] = {}
    for path in changes:
        followers = base.scaled.get(path)
        if followers:
            ratio = changes[path] / base.values[path]
            for follower, exponent in followers.items():
                if follower not in changes:
                    growth = ratio if exponent == 1.0 else ratio**exponent
                    values[follower] = values[follower] * growth
                    scaled[follower] = path
    for path, derived in base.derived.items():
        causes = [cause for cause in derived.causes if cause in changes]
        if causes and path not in changes:
            values[path] = derived.law(values)
            scaled[path] = ", ".join(causes)
    return values, scaled


def _check_changes(
    base: Facts, changes: Mapping[str, Any], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the changes by resolved path in SI units, or raise all their faults at once."""
    accepted: dict[str, Any] = {}
    faults: list[Fault] = []
    for path, stated in changes.items():
        resolved = base.resolve(path)
        limits = base.limits.get(resolved)
        if limits is None:
            faults.append(_unknown_path_fault(base, path))
            continue
        try:
            value = _to_si(stated, limits.dimension)
        except units.UnitError as error:
            faults.append(
                Fault(error.message, path, expected=error.expected, suggestion=error.suggestion)
            )
            continue
        message, expected = range_flaw(value, limits)
        if message:
            faults.append(Fault(message, path, expected=expected))
        else:
            accepted[resolved] = value
    faults += pair_faults({**values, **accepted}, accepted, base.limits)
    if faults:
        raise InputError(faults)
    return accepted


def _to_si(value: Any, dimension: str) -> Any:
    if isinstance(value, str):
        return units.parse(value, dimension)
    if isinstance(value, Quantity):
        return value.value
    if isinstance(value, (float, int)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Sequence):
        items = [_to_si(item, dimension) for item in cast("Sequence[Any]", value)]
        return np.asarray(items, dtype=np.float64)
    kind: str = getattr(getattr(value, "dtype", None), "kind", "")
    if isinstance(cast("object", value), (np.ndarray, np.generic)):
        if kind in ("i", "u", "f"):
            array = np.asarray(cast("Any", value), dtype=np.float64)
            return array if array.ndim else float(array)
    elif hasattr(value, "shape") and hasattr(value, "dtype"):
        return value
    noun = units.DIMENSIONS[dimension].noun
    raise units.UnitError(f"a {type(value).__name__} is not {noun}", "a number, array or text")


def _unknown_path_fault(base: Facts, path: str) -> Fault:
    """Return the fault of an unknown path, corrected segment by segment to the nearest known."""
    known = [*base.limits]
    for (section, role), name in base.aliases.items():  # keep roles in the suggestion
        stem = f"{section}.{name}."
        known += [f"{section}.{role}.{p.removeprefix(stem)}" for p in known if p.startswith(stem)]
    trees = [p.split(".") for p in known]
    corrected: list[str] = []
    parts = path.split(".")
    for depth, part in enumerate(parts):
        choices = list(dict.fromkeys(tree[depth] for tree in trees if len(tree) > depth))
        if not choices:  # the path is too long
            return Fault("no such fact", path, suggestion=".".join(corrected))
        segment = part if part in choices else nearest(part, choices)
        if not segment or (
            depth == len(parts) - 1 and ".".join([*corrected, segment]) not in known
        ):
            at = ".".join([*corrected, ""])
            if segment:  # the path is too short
                at, depth = f"{at}{segment}.", depth + 1
                choices = list(
                    dict.fromkeys(t[depth] for t in trees if t[:depth] == at.split(".")[:-1])
                )
            suggestion = "" if corrected or segment else nearest(path, known)
            expected = "" if suggestion else one_of(at + choice for choice in choices)
            return Fault("no such fact", path, expected=expected, suggestion=suggestion)
        corrected.append(segment)
        trees = [tree for tree in trees if tree[: depth + 1] == corrected]
    return Fault("no such fact", path, suggestion=".".join(corrected))
