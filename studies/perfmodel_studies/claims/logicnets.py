"""LogicNets' jet taggers: tables within the ends of what a synthesis leaves, and clocks."""

from __future__ import annotations

from typing import NamedTuple

import perfmodel as pm
from perfmodel.hardware import Quantity
from perfmodel.kinds.fpga.truth_tables import TruthTables
from perfmodel.workload import GraphBuilder, symbol


class Tagger(NamedTuple):
    """A published network and its clock; `luts` are what `logicnets.yaml` has as published."""

    widths: tuple[int, ...]
    bits: int
    fan_in: float
    clock_hz: float
    luts: float


TAGGERS = {
    "jsc_s": Tagger((64, 32, 32, 32, 5), 2, 3.0, 1585e6, 214.0),
    "jsc_m": Tagger((64, 32, 32, 32, 5), 3, 4.0, 577e6, 14428.0),
    "jsc_l": Tagger((32, 64, 192, 192, 16, 5), 3, 4.0, 427e6, 37931.0),
}


def network(name: str) -> pm.Workload:
    """Return the layers of a tagger of 16 features and five classes."""
    g = GraphBuilder(name)
    x = g.input("features", (symbol("batch"), 16))
    for i, outputs in enumerate(TAGGERS[name].widths, start=1):
        x = g.linear(x, outputs, name=f"fc{i}", bias=False)
    g.output(x)
    graph = g.build({"batch": 1.0})
    return pm.Workload(name, lambda _: graph, {"batch": 1.0})


def tagger(name: str) -> pm.Prediction:
    """Return a tagger on a VU9P at its clock."""
    one, part = TAGGERS[name], pm.hardware("vu9p")
    design = TruthTables(style="truth_tables", fan_in=Quantity(value=one.fan_in))
    engine = part.engines[0].model_copy(update={"design": design})
    machine = part.model_copy(update={"engines": (engine,)}).machine("ideal")
    machine = machine.vary({"engines.fabric.clock": one.clock_hz})
    return pm.predict(network(name), machine, precision=f"w=int{one.bits},a=int{one.bits}")


def predicted() -> dict[str, float]:
    """Return claim -> number."""
    out: dict[str, float] = {}
    for name, one in TAGGERS.items():
        found = tagger(name)
        tables = found.resources["lut"]
        # The number between the ends that is nearest to the published one.
        out[f"{name}_lut_ends"] = min(max(one.luts, float(tables["low"])), float(tables["high"]))
        out[f"{name}_s"] = float(found.latency_s)
    return {claim: number for claim, number in out.items() if claim != "jsc_s_s"}
