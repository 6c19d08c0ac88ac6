"""Public functions of perfmodel, each declared once.

They are the functions of ``import perfmodel as pm`` (`perfmodel.WORDS`). The command line generates
its commands from them, and the evaluation uses no others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from perfmodel.ask.cite import cite
from perfmodel.ask.things import (
    Device,
    Machine,
    Precision,
    Runtime,
    Workload,
    folder_faults,
    hardware,
    precision,
    runtime,
    runtime_names,
    workload,
)
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.prediction.presentation import largest
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve

if TYPE_CHECKING:
    from perfmodel.collective import collective
    from perfmodel.compare import compare
    from perfmodel.kinds.hardwired.plan import hardwire
    from perfmodel.schedule.allocate import allocate
    from perfmodel.schedule.assign import assign
    from perfmodel.schedule.place import place
    from perfmodel.schedule.run import schedule
    from perfmodel.schedule.stream import stream
    from perfmodel.schedule.tiling.patches_question import patches
    from perfmodel.solve import solve
    from perfmodel.sweep import sweep
    from perfmodel.system.request import request
    from perfmodel.system.serving import Served, serve
    from perfmodel.system.split import split
    from perfmodel.traffic import traffic

__all__ = [
    "Device",
    "DeviceLike",
    "Machine",
    "Precision",
    "Prediction",
    "PredictionInputs",
    "Runtime",
    "Served",
    "Workload",
    "WorkloadLike",
    "allocate",
    "assign",
    "cite",
    "collective",
    "compare",
    "folder_faults",
    "hardware",
    "hardwire",
    "largest",
    "patches",
    "place",
    "precision",
    "predict",
    "request",
    "resolve",
    "runtime",
    "runtime_names",
    "schedule",
    "serve",
    "solve",
    "split",
    "stream",
    "sweep",
    "traffic",
    "workload",
]

#: Class of results -> function whose module defines it.
_RESULTS = {"Served": "serve"}


def __getattr__(name: str) -> Any:
    """Import what `predict` does not need at its first use, from where `perfmodel.WORDS` says."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module("perfmodel").WORDS[_RESULTS.get(name, name)]
    return getattr(import_module(f"perfmodel.{module}"), name)
