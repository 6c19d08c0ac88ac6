"""Measurement of the host: its compute and memory rates, as a device spec.

Importing this package measures nothing: a spec is read without running code, probing is explicit.
The steps are: identify the processor, plan measurements for its caches and vectors, run them with
compiled C kernels or numpy, derive facts, and write the spec. ``perfmodel doctor --probe`` calls
`probe`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perfmodel.calibrate.probe.device_spec import device_of
from perfmodel.calibrate.probe.dispatch import Dispatch, measure_dispatch
from perfmodel.calibrate.probe.facts import HostFacts, LevelFacts, facts_of_host
from perfmodel.calibrate.probe.identity import HostCache, Identity, identify
from perfmodel.calibrate.probe.measure import Figure, Measure, Meter, MeterError, measure_all
from perfmodel.calibrate.probe.meters import WithNumpy, compiled, compiler
from perfmodel.calibrate.probe.nearest import differences, nearest_device
from perfmodel.calibrate.probe.plan import ProbePlan, plan_of
from perfmodel.calibrate.probe.runtime_spec import runtime_of
from perfmodel.deprecation import deprecated_names

__all__ = [
    "Dispatch",
    "Figure",
    "HostCache",
    "HostFacts",
    "Identity",
    "LevelFacts",
    "Measure",
    "Meter",
    "MeterError",
    "ProbePlan",
    "device_of",
    "differences",
    "host_meter",
    "identify",
    "measure_dispatch",
    "nearest_device",
    "plan_of",
    "probe",
    "runtime_of",
]

if not TYPE_CHECKING:
    __getattr__ = deprecated_names(__name__, Cache="HostCache", Plan="ProbePlan")

#: Share of the time budget for the dispatch of onnxruntime.
_DISPATCH = 0.1
_LOST = "numpy measured, without clock, latencies, widths and the nearest cache"


@contextmanager
def host_meter() -> Generator[tuple[Meter, tuple[str, ...]]]:
    """Yield the best meter available on the host, and the limitations of numpy's if it is that."""
    command = compiler()
    with ExitStack() as stack:
        try:
            if command is None:
                raise MeterError("no C compiler was found")
            meter: Meter = stack.enter_context(compiled(command))
            lost: tuple[str, ...] = ()
        except MeterError as error:
            meter, lost = WithNumpy(), (f"{error}: {_LOST}",)
        yield meter, lost


def probe(
    seconds: float = 30.0,
    cores: int = 1,
    *,
    meter: Meter | None = None,
    identity: Identity | None = None,
    onnxruntime: Any = None,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[str], None] = lambda text: None,
) -> HostFacts:
    """Measure the host's compute, memory and dispatch rates.

    Parameters
    ----------
    seconds : float
        Time budget; one round of measurements is carried out regardless.
    cores : int
        Cores that the facts describe.
    meter, identity : optional
        Replacements for the host's.
    onnxruntime : module, optional
        Runtime whose dispatch is measured.
    clock : callable
        Monotonic seconds.
    progress : callable
        Called with messages on progress.

    Raises
    ------
    InputError
        No peak or no bandwidth can be measured.
    """
    who = identify() if identity is None else identity
    if meter is not None:
        return _probe(seconds, cores, meter, (), who, onnxruntime, clock, progress)
    progress("compiling the kernels")
    with host_meter() as (best, notes):
        return _probe(seconds, cores, best, notes, who, onnxruntime, clock, progress)


def _probe(
    seconds: float,
    cores: int,
    meter: Meter,
    notes: tuple[str, ...],
    identity: Identity,
    onnxruntime: Any,
    clock: Callable[[], float],
    progress: Callable[[str], None],
) -> HostFacts:
    """Measure with a given meter, and derive the facts."""
    dispatch: Dispatch | None = None
    if onnxruntime is not None:
        progress("dispatch of onnxruntime")
        try:
            dispatch = measure_dispatch(_DISPATCH * seconds, onnxruntime, clock)
        except Exception as error:  # whatever an outside library raises: the rest is still worth it
            notes = (*notes, f"the dispatch of onnxruntime was not measured: {error}")
        seconds *= 1.0 - _DISPATCH
    plan = plan_of(identity, meter.kernels, cores)
    outcome = measure_all(plan.measures(), meter, seconds, clock, progress)
    return replace(facts_of_host(identity, plan, outcome, meter.how, notes), dispatch=dispatch)
