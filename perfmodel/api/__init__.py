"""The face: the words that ``import perfmodel as pm`` offers."""

from perfmodel.api.measured import calibrate, reproduce, validate
from perfmodel.api.predictions import cite, collective, compare, predict, solve, sweep, traffic
from perfmodel.api.schedules import allocate, assign, patches, place, schedule, stream
from perfmodel.api.things import hardware, precision, runtime, workload

__all__ = [
    "allocate", "assign", "calibrate", "cite", "collective", "compare", "hardware", "patches",
    "place", "precision", "predict", "reproduce", "runtime", "schedule", "solve", "stream", "sweep",
    "traffic", "validate", "workload",
]  # fmt: skip
