"""The face: the words that ``import perfmodel as pm`` offers."""

from perfmodel.api.predictions import cite, collective, compare, predict, solve, sweep, traffic
from perfmodel.api.schedules import allocate, assign, patches, place, schedule, stream
from perfmodel.api.things import (
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
from perfmodel.prediction import Prediction
from perfmodel.prediction.rows import largest
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve

__all__ = [
    "Device", "DeviceLike", "Machine", "Precision", "Prediction", "PredictionInputs", "Runtime",
    "Workload", "WorkloadLike", "allocate", "assign", "cite", "collective", "compare",
    "folder_faults", "hardware", "largest", "patches", "place", "precision", "predict", "resolve",
    "runtime", "runtime_names", "schedule", "solve", "stream", "sweep", "traffic", "workload",
]  # fmt: skip
