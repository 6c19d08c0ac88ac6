"""AI Hub's networks that the library has a graph of, predicted from it on each chip."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from perfmodel.calibrate import Constant
from perfmodel.errors import InputError
from perfmodel.evaluate.batched import evaluate_together
from perfmodel.evaluate.case import Cases, MeasuredQuantity, ValidationCase
from perfmodel.evaluate.predicted_refit import refit
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload

from perfmodel_studies.readers.npus.networks import listed

if TYPE_CHECKING:
    from perfmodel_studies.readers.npus.aihub import AiHubMeasurement

__all__ = ["CHIPS", "CONSTANTS", "RUNTIME", "TARGET", "graph_cases", "graph_refits", "graph_rows"]

#: Of the data set whose networks these are.
NAME: Final = "qualcomm_aihub_perf"
TARGET: Final = "latency_s, graph"
RUNTIME: Final = "qnn_htp"
#: Precision of the file -> precision of the library; mixed ones have none.
PRECISIONS: Final = {"float": "fp16", "w8a8": "int8"}

#: Device of the file -> chip of the library.
CHIPS: Final = {
    "Samsung Galaxy S24": "snapdragon_8_gen_3",
    "Snapdragon 8 Elite Gen 5 QRD": "snapdragon_8_elite_gen_5",
    "QCS8550 (Proxy)": "snapdragon_8_gen_2",
    "Dragonwing IQ-9075 EVK": "qcs9075",
    "QCS8275 (Proxy)": "qcs8275",
    "SA8295P ADP": "sa8295p",
    "Snapdragon 7 Gen 4 QRD": "snapdragon_7_gen_4",
    "Dragonwing RB3 Gen 2 Vision Kit": "qcs6490",
    "Samsung Galaxy S25": "snapdragon_8_elite",
    "Snapdragon 8 Elite QRD": "snapdragon_8_elite",
    "SA8775P ADP": "qcs9075",
    "QCS8450 (Proxy)": "snapdragon_8_gen_1",
    "Snapdragon X Elite CRD": "snapdragon_x_elite",
    "Dragonwing Q-6690 MTP": "dragonwing_q_6690",
    "SA7255P ADP": "qcs8275",
}  # fmt: skip

CONSTANTS: Final = (
    Constant("runtime.kernels.conv.int8.peak_share", 0.3, 0.005, 1.2),
    Constant("runtime.kernels.conv.fp16.peak_share", 0.3, 0.005, 1.2),
    Constant("runtime.kernels.depthwise.int8.peak_share", 0.02, 1e-4, 1.2),
    Constant("runtime.kernels.depthwise.fp16.peak_share", 0.02, 1e-4, 1.2),
    Constant("runtime.kernels.batched_gemm.peak_share", 0.05, 1e-4, 1.2),
    Constant("runtime.per_operator", 5e-6, 1e-8, 1e-3),
    Constant("runtime.per_run", 1e-4, 1e-7, 1e-2),
)


@cache
def network(model: str) -> Workload | None:
    """Return the workload that a model of AI Hub is; ``None`` where the library has no graph."""
    said = listed(NAME, model)
    return None if said is None else find(str(said.pop("workload")), said)


def graph_cases(
    found: Sequence[AiHubMeasurement], devices: Sequence[str | Path] = ()
) -> list[ValidationCase]:
    """Return the rows compiled by QNN itself whose network and chip the library has."""
    machines: dict[str, Machine] = {}
    cases: list[ValidationCase] = []
    for item in found:
        model, _, precision, runtime = item.network
        if runtime != "qnn_dlc" or precision not in PRECISIONS:
            continue
        chip = CHIPS.get(item.device)
        if chip is None:
            continue
        try:
            workload = network(model)
            if workload is None:
                continue  # the details say how many networks have a graph
            if chip not in machines:
                machines[chip] = hardware(chip, devices).machine(RUNTIME)
        except InputError:
            continue  # no such chip in the library
        asked = [MeasuredQuantity(TARGET, "latency_s", item.seconds, workload)]
        cases.append(
            ValidationCase(
                item.name,
                item.device,
                machines[chip],
                asked,
                PRECISIONS[precision],
                RUNTIME,
                group=model,
            )
        )
    return cases


def graph_rows(
    found: Sequence[AiHubMeasurement], devices: Sequence[str | Path] = ()
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return predicted rows, and details: rows, networks and baselines."""
    cases = graph_cases(found, devices)
    if not cases:
        return [], {}
    result = evaluate_together(Cases(NAME, cases, TARGET))
    detail = {
        "graphs": {
            "rows": len(result.predictions),
            "networks": len({case.group for case in cases}),
            "by_device": {k: dict(v) for k, v in result.by_device.items()},
            "baselines": {k: dict(v) for k, v in result.baselines.items()},
        }
    }
    return [dict(row) for row in result.predictions], detail


def graph_refits(
    found: Sequence[AiHubMeasurement], devices: Sequence[str | Path] = ()
) -> list[Refit]:
    """Return how the runtime's constants were fitted, a device left out at a time."""
    one = refit(Cases(NAME, graph_cases(found, devices), TARGET), TARGET, CONSTANTS)
    return [one] if len(set(one.groups)) > 1 else []
