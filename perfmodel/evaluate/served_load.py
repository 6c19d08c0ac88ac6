"""What a row asks of `perfmodel.serve`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from perfmodel.ask import Device, Machine, Precision, Runtime, Served, predict, serve
from perfmodel.errors import Fault, InputError

#: Arguments of `serve` that are numbers, and may be arrays.
_SIZES: Final = ("prompt", "generate", "concurrency")
#: Arguments of `serve` that say how the model is split and stored.
_CHOICES: Final = ("tensor", "data", "expert", "wide")


@dataclass(frozen=True, slots=True)
class ServedLoad:
    """A model under load, as `perfmodel.serve` takes it.

    Attributes
    ----------
    model
        Of the library.
    parameters
        ``prompt``, ``generate``, ``concurrency``; numbers or arrays that broadcast.
    choices
        ``tensor``, ``data``, ``expert``, ``wide``.
    """

    model: str
    parameters: Mapping[str, Any]
    choices: Mapping[str, Any]

    def bind(self, parameters: Mapping[str, Any]) -> ServedLoad:
        """Return the load with other numbers."""
        return replace(self, parameters={**self.parameters, **parameters})

    @property
    def key(self) -> tuple[Any, ...]:
        """What equal loads share."""
        return (self.model, *self.parameters.items(), *self.choices.items())

    def serve(
        self, device: Device | Machine, precision: Precision | str | None,
        runtime: Runtime | str | None,
    ) -> Served:  # fmt: skip
        """Return what requests see of it; a machine has its runtime."""
        return serve(
            self.model, device, precision=precision,
            runtime=None if isinstance(device, Machine) else runtime,
            **self.parameters, **self.choices,
        )  # fmt: skip


def served_load(model: str, settings: Mapping[str, Any]) -> ServedLoad:
    """Return the load that a row's settings state.

    Raises
    ------
    InputError
        Settings that `serve` does not take.
    """
    other = [name for name in settings if name not in (*_SIZES, *_CHOICES)]
    if other:
        expected = ", ".join((*_SIZES, *_CHOICES))
        raise InputError([Fault(f"serve takes no '{name}'", expected=expected) for name in other])
    sizes = {name: settings[name] for name in _SIZES if name in settings}
    choices = {name: settings[name] for name in _CHOICES if name in settings}
    if "wide" in choices:
        choices["wide"] = bool(choices["wide"])
    return ServedLoad(model, sizes, choices)


def kernels_s(served: Served, metric: str, precision: Precision | str | None) -> float:
    """Return seconds of the kernels of one device at their peaks and bandwidths."""
    passes = [served.decode] if metric == "tpot_s" else [served.prefill, served.decode]
    bare = [
        predict(one.workload, one.machine, model="roofline", precision=precision) for one in passes
    ]
    return sum(float(one.latency_s) for one in bare)
