"""Deprecated location of `perfmodel.charts`, supported for one minor version."""

import sys
import warnings
from importlib import import_module
from types import ModuleType

#: Module -> its former public names -> their current locations.
_FORMER = {
    "energy_stack": {"energy_stack": "energy_stack"},
    "engines": {"lanes": "activity_lanes", "ActivityBar": "activity_lanes"},
    "memory_map": {"memory_map": "memory_map", "Stay": "memory_map"},
    "patches": {"patches": "patches"},
    "streams": {"pipeline_timeline": "streams"},
}

__path__: list[str] = []
for _module, _names in _FORMER.items():
    _former = ModuleType(f"{__name__}.{_module}")
    for _name, _place in _names.items():
        setattr(_former, _name, getattr(import_module(f"perfmodel.charts.{_place}"), _name))
    sys.modules[_former.__name__] = _former
warnings.warn(f"{__name__} is called perfmodel.charts now", DeprecationWarning, stacklevel=2)
