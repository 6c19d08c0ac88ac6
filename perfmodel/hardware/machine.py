"""A machine: a device under a runtime with its facts resolved and, perhaps, varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from perfmodel import units
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.hardware.device import Device
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.facts import Facts, Provenance, choices, facts_of
from perfmodel.hardware.limits import Span, far_from, pair_faults, pairs_of, range_flaw
from perfmodel.hardware.memory import Memory
from perfmodel.hardware.posterior import Posterior
from perfmodel.hardware.quantity import Quantity
from perfmodel.hardware.runtime import Runtime
from perfmodel.hardware.view import engine_view, memory_view

E = TypeVar("E", bound=Engine)


class Machine:
    """A device's facts as cost functions read them.

    Facts are resolved in one order: base spec, device, runtime (its own facts only), calibration
    overlay, `vary`; `provenance` names the last writer.

    Parameters
    ----------
    device : Device
    runtime : Runtime, str or None
        A name is looked up in the library; None takes the device's default. Where it has variants,
        that of the device's default engine is taken.
    overlay : mapping, optional
        Calibrated facts by path, as `vary` takes them.
    posterior : Posterior, optional
        How sure the calibrated facts are.

    Attributes
    ----------
    facts : Mapping of str to float, ndarray or tracer
        SI values by path (``memories.dram.bandwidth``). Names only: use ``machine[path]`` for
        roles. Do not change it: unvaried machines share it.
    runtime_named : bool
        Whether its runtime was named; else a prediction takes the usual one of its workload.

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
            base = _overlaid(base, overlay)
        self.device, self.runtime, self.facts = device, runtime, base.values
        self._base: Facts = base
        self._changes: dict[str, Any] = {}
        self._scaled: dict[str, str] = {}

    def vary(self, changes: Mapping[str, Any]) -> Machine:
        """A machine with facts replaced.

        A varied clock (or count of units) takes the engine's peaks, and bandwidths given per clock,
        with it in proportion, unless they are varied themselves. The order of calls is of no
        consequence.

        Parameters
        ----------
        changes : mapping of path to value
            Path by entry name or role (``memories.main.bandwidth``). A plain number or an array is
            SI, a text has its unit, a list becomes an array. What the spec's fields allow holds
            here too. Objects with a shape that are not numpy arrays (tracers) are kept as they are.

        Returns
        -------
        Machine

        Raises
        ------
        InputError
            With every unknown path and every value out of range.
        """
        if not changes:
            return self
        made = object.__new__(Machine)
        made.device, made.runtime, made._base = self.device, self.runtime, self._base
        made.runtime_named = self.runtime_named
        made.posterior = self.posterior
        made._changes = self._changes | _checked(self._base, changes, self.facts)
        made.facts, made._scaled = _applied(self._base, made._changes)
        return made

    def __getitem__(self, path: str) -> Any:
        """The fact at a path, by name or role.

        Raises
        ------
        InputError
            Where the path is unknown or has no value.
        """
        found = self.get(path)
        if found is None:
            resolved = self._base.resolve(path)
            if resolved in self._base.limits:
                message = f"{self.device.name} does not say this number"
                raise input_error(message, path=path, expected="a value, set by vary")
            raise InputError(_unknown(self._base, path))
        return found

    def get(self, path: str, default: Any = None) -> Any:
        """The fact at a path (by name or role), or ``default`` where it has no value."""
        facts = self.facts
        return facts[path] if path in facts else facts.get(self._base.resolve(path), default)

    def __contains__(self, path: str) -> bool:
        return path in self.facts or self._base.resolve(path) in self.facts

    def resolve(self, path: str) -> str:
        """A path with roles replaced by names: ``memories.main.x`` -> ``memories.dram.x``."""
        return self._base.resolve(path)

    def dimension(self, path: str) -> str:
        """Dimension of a fact (a key of `perfmodel.units.DIMENSIONS`); ``""`` if unknown."""
        found = self._base.limits.get(self._base.resolve(path))
        return "" if found is None else found.dimension

    def span(self, path: str) -> Span:
        """What a fact may be: the range of its field, and other facts that bound it.

        Raises
        ------
        InputError
            Where the path is unknown.
        """
        resolved = self._base.resolve(path)
        limits = self._base.limits.get(resolved)
        if limits is None:
            raise InputError(_unknown(self._base, path))
        low, high = limits.least, limits.most
        for below, above in pairs_of([resolved]):
            other = self.facts.get({below: above, above: below}.get(resolved, ""))
            if other is not None and resolved == below:
                high = min(high, float(np.min(other)))
            elif other is not None:
                low = max(low, float(np.max(other)))
        return Span(low, high, limits.whole)

    def engine_as(self, model: type[E], kind: str = "", engine: str = "main") -> E:
        """Facts of an engine by the fields of its spec class: `machine.engine_as(Engine).clock`.

        Parameters
        ----------
        model
            `Engine`, or the spec class of the engine's kind.
        kind
            Name of that kind.
        engine
            Name; the one that the runtime drives where left out.

        Raises
        ------
        InputError
            The engine is of another kind.
        """
        name = self.engine if engine == "main" else engine
        words = choices(self.device.engine(name))
        return engine_view(model, self.facts, name, words, kind, "device")

    def memory(self, name: str) -> Memory:
        """Facts of a memory by name or role: `machine.memory("sram").capacity`."""
        return memory_view(Memory, self.facts, self._base.aliases.get(("memories", name), name))

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path that may be varied, those without a value included."""
        return tuple(self._base.limits)

    @property
    def varied(self) -> Mapping[str, Any]:
        """What `vary` has set, by path with names."""
        return dict(self._changes)

    @property
    def remarks(self) -> list[str]:
        """What was set far from what the spec states: perhaps a number that lacks its unit."""
        found: list[str] = []
        for path, value in self._changes.items():
            limits, stated = self._base.limits[path], self._base.values.get(path)
            if not limits.takes_bare and isinstance(stated, float) and stated > 0.0:
                far = far_from(value, stated)
                if far is not None:
                    shown, spec = (units.show(v, limits.dimension) for v in (far, stated))
                    unit = units.DIMENSIONS[limits.dimension].unit
                    found.append(
                        f"{path} is set to {shown}, and the spec states {spec}: a number "
                        f"without a unit is in {unit}"
                    )
        return found

    @property
    def provenance(self) -> Mapping[str, Provenance]:
        """Last writer, source and confidence of every fact."""
        found = dict(self._base.provenance)
        for path, cause in self._scaled.items():
            known = found[path]
            way = "by" if path in self._base.derived else "in proportion to"
            found[path] = Provenance(
                f"vary ({way} {cause})", known.source, known.confidence, known.note
            )
        return found | dict.fromkeys(self._changes, Provenance("vary"))

    @property
    def engine(self) -> str:
        """Name of the engine that the runtime drives; ``engines.main`` in paths."""
        return self._base.engine

    @property
    def main_memory(self) -> str:
        """Name of the memory that a model must fit in; ``memories.main`` in paths."""
        return self._base.memory

    def hierarchy(self, engine: str = "main") -> tuple[Memory, ...]:
        """Memories that feed an engine, nearest first (specs: take numbers from `facts`)."""
        return self.device.hierarchy(self.engine if engine == "main" else engine)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.device, self.runtime, self._base, self._changes, self.posterior)

    def __repr__(self) -> str:
        changed = "".join(f", {path}={value!r}" for path, value in self._changes.items())
        return f"Machine({self.device.name}, {self.runtime.name}{changed})"


def _rebuild(
    device: Device,
    runtime: Runtime,
    base: Facts,
    changes: dict[str, Any],
    posterior: Posterior | None,
) -> Machine:
    machine = Machine(device, runtime, posterior=posterior)
    machine._base = base  # pyright: ignore[reportPrivateUsage]
    machine.facts = base.values
    return machine.vary(changes)


def _overlaid(base: Facts, overlay: Mapping[str, Any]) -> Facts:
    changes = _checked(base, overlay, base.values)
    values, _ = _applied(base, changes)
    origins: dict[str, Provenance] = {}
    for written, given in overlay.items():
        path = base.resolve(written)
        known = given if isinstance(given, Quantity) else None
        origins[path] = Provenance(
            "calibration",
            known and known.source,
            (known and known.confidence) or "fitted",
            known and known.note,
            known and known.fitted_on,
        )
    derived = {path: law for path, law in base.derived.items() if path not in origins}
    return Facts(
        values,
        base.provenance | origins,
        base.limits,
        base.scaled,
        derived,
        base.aliases,
        base.engine,
        base.memory,
    )


def _applied(base: Facts, changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Values with the changes in, and which path was scaled on whose account."""
    values = dict(base.values)
    values.update(changes)
    scaled: dict[str, str] = {}
    for path in changes:
        followers = base.scaled.get(path)
        if followers:
            ratio = changes[path] / base.values[path]
            for follower in followers:
                if follower not in changes:
                    values[follower] = values[follower] * ratio
                    scaled[follower] = path
    for path, derived in base.derived.items():
        causes = [cause for cause in derived.causes if cause in changes]
        if causes and path not in changes:
            values[path] = derived.law(values)
            scaled[path] = ", ".join(causes)
    return values, scaled


def _checked(base: Facts, changes: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Changes by resolved path in SI, of facts with the values; every fault at once."""
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for path, given in changes.items():
        resolved = base.resolve(path)
        limits = base.limits.get(resolved)
        if limits is None:
            faults.append(_unknown(base, path))
            continue
        try:
            value = _si(given, limits.dimension)
        except units.UnitError as error:
            faults.append(
                Fault(error.message, path, expected=error.expected, suggestion=error.suggestion)
            )
            continue
        message, expected = range_flaw(value, limits)
        if message:
            faults.append(Fault(message, path, expected=expected))
        else:
            found[resolved] = value
    faults += pair_faults({**values, **found}, found, base.limits)
    if faults:
        raise InputError(faults)
    return found


def _si(given: Any, dimension: str) -> Any:
    if isinstance(given, str):
        return units.parse(given, dimension)
    if isinstance(given, Quantity):
        return given.value
    if isinstance(given, (float, int)) and not isinstance(given, bool):
        return float(given)
    if isinstance(given, Sequence):
        items = [_si(item, dimension) for item in cast("Sequence[Any]", given)]
        return np.asarray(items, dtype=np.float64)
    kind: str = getattr(getattr(given, "dtype", None), "kind", "")
    if isinstance(cast("object", given), (np.ndarray, np.generic)):
        if kind in ("i", "u", "f"):
            array = np.asarray(cast("Any", given), dtype=np.float64)
            return array if array.ndim else float(array)
    elif hasattr(given, "shape") and hasattr(given, "dtype"):
        return given
    noun = units.DIMENSIONS[dimension].noun
    raise units.UnitError(f"a {type(given).__name__} is not {noun}", "a number, array or text")


def _unknown(base: Facts, path: str) -> Fault:
    """The fault of an unknown path, mended segment by segment where each has a near one."""
    known = [*base.limits]
    for (section, role), name in base.aliases.items():  # a role that was written is kept
        stem = f"{section}.{name}."
        known += [f"{section}.{role}.{p.removeprefix(stem)}" for p in known if p.startswith(stem)]
    trees = [p.split(".") for p in known]
    mended: list[str] = []
    parts = path.split(".")
    for depth, part in enumerate(parts):
        choices = list(dict.fromkeys(tree[depth] for tree in trees if len(tree) > depth))
        if not choices:  # a path that goes on too long
            return Fault("no such fact", path, suggestion=".".join(mended))
        meant = part if part in choices else nearest(part, choices)
        if not meant or (depth == len(parts) - 1 and ".".join([*mended, meant]) not in known):
            at = ".".join([*mended, ""])
            if meant:  # a path that stops too early
                at, depth = f"{at}{meant}.", depth + 1
                choices = list(
                    dict.fromkeys(t[depth] for t in trees if t[:depth] == at.split(".")[:-1])
                )
            whole = "" if mended or meant else nearest(path, known)
            expected = "" if whole else one_of(at + choice for choice in choices)
            return Fault("no such fact", path, expected=expected, suggestion=whole)
        mended.append(meant)
        trees = [tree for tree in trees if tree[: depth + 1] == mended]
    return Fault("no such fact", path, suggestion=".".join(mended))
