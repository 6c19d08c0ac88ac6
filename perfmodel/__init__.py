"""perfmodel: analytical prediction of the cost of neural networks on machines.

The public interface consists of a few names, each imported on first use, so that ``import
perfmodel`` is fast::

    import perfmodel as pm

    device = pm.hardware("jetson_agx_orin")
    workload = pm.workload("llama_3_8b", phase="decode", batch=1, context=2048)
    pm.predict(workload, device, precision="w4a16").latency_s

Some names are functions and packages at once: ``pm.hardware(...)`` loads a device, and
``perfmodel.hardware`` is the package that defines devices. Both are one object, a callable module.
"""

import importlib
import inspect
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from perfmodel._version import __version__

if TYPE_CHECKING:
    from perfmodel.ask import (
        allocate,
        assign,
        cite,
        collective,
        compare,
        hardware,
        hardwire,
        patches,
        place,
        precision,
        predict,
        request,
        runtime,
        schedule,
        serve,
        solve,
        split,
        stream,
        sweep,
        traffic,
        workload,
    )
    from perfmodel.errors import Fault, InfeasibleError, InputError, PerfmodelError
    from perfmodel.evaluate import reproduce, validate
    from perfmodel.evaluate.calibration import calibrate
    from perfmodel.formats import Precision
    from perfmodel.hardware.device import Device
    from perfmodel.hardware.machine import Machine
    from perfmodel.hardware.runtime import Runtime
    from perfmodel.prediction import Prediction
    from perfmodel.search import accuracy
    from perfmodel.search.finetune import finetune
    from perfmodel.search.oracle import Oracle
    from perfmodel.search.public_functions import search, space
    from perfmodel.table import Result
    from perfmodel.workload.workload import Workload

#: Public name -> module that defines it.
WORDS = {
    "allocate": "schedule.allocate",
    "assign": "schedule.assign",
    "collective": "collective",
    "calibrate": "evaluate.calibration",
    "cite": "ask.cite",
    "compare": "compare",
    "finetune": "search.finetune",
    "hardware": "ask.things",
    "hardwire": "kinds.hardwired.plan",
    "patches": "schedule.tiling.patches_question",
    "place": "schedule.place",
    "precision": "ask.things",
    "predict": "predict",
    "reproduce": "evaluate",
    "runtime": "ask.things",
    "schedule": "schedule.run",
    "request": "system.request",
    "search": "search.public_functions",
    "serve": "system.serving",
    "solve": "solve",
    "space": "search.public_functions",
    "split": "system.split",
    "stream": "schedule.stream",
    "sweep": "sweep",
    "traffic": "traffic",
    "validate": "evaluate",
    "workload": "ask.things",
    "Device": "hardware.device",
    "Fault": "errors",
    "InfeasibleError": "errors",
    "InputError": "errors",
    "Machine": "hardware.machine",
    "Oracle": "search.oracle",
    "PerfmodelError": "errors",
    "Precision": "formats",
    "Prediction": "prediction",
    "Result": "table",
    "Runtime": "hardware.runtime",
    "Workload": "workload.workload",
    "accuracy": "search",
}

__all__ = [
    "Device",
    "Fault",
    "InfeasibleError",
    "InputError",
    "Machine",
    "Oracle",
    "PerfmodelError",
    "Precision",
    "Prediction",
    "Result",
    "Runtime",
    "Workload",
    "__version__",
    "accuracy",
    "allocate",
    "assign",
    "calibrate",
    "cite",
    "collective",
    "compare",
    "finetune",
    "hardware",
    "hardwire",
    "patches",
    "place",
    "precision",
    "predict",
    "reproduce",
    "request",
    "runtime",
    "schedule",
    "search",
    "serve",
    "solve",
    "space",
    "split",
    "stream",
    "sweep",
    "traffic",
    "validate",
    "workload",
]


class _PickledByName(ModuleType):
    """Module that is pickled by name, so that functions of a notebook can use it in workers."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return importlib.import_module, (self.__name__,)


class _CallableModule(_PickledByName):
    """Module that is also a public function; calling it calls the function of that name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function()(*args, **kwargs)

    def _function(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        module = f"{__name__}.{WORDS[name]}"
        return getattr(sys.modules.get(module) or importlib.import_module(module), name)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function())


class _PackageModule(_PickledByName):
    """The package itself; makes the module of a public function callable when it is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in WORDS and isinstance(value, ModuleType):
            value.__class__ = _CallableModule
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _PackageModule


def __getattr__(name: str) -> Any:
    if name not in WORDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    value = getattr(importlib.import_module(f"{__name__}.{WORDS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
