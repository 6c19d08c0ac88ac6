"""What the model says of five published macros that compute in memory.

Each claim is one matrix that fills the macro, at the published bits, supply and data.
"""

from __future__ import annotations

from functools import cache

import perfmodel as pm
from perfmodel.formats import parse_precision
from perfmodel.kinds.in_memory import chip_area
from perfmodel.workload import ExecutionSemantics, Graph, GraphBuilder

#: NeuRRAM's bits of output and input.
NEURRAM_BITS = ((3, 1), (4, 2), (5, 3), (6, 4), (7, 5), (8, 6), (9, 7), (10, 8))


def product(inner: int, outer: int, vectors: int = 1) -> pm.Workload:
    """Return one matrix of `inner` x `outer` weights, and vectors that it multiplies."""

    def build(semantics: ExecutionSemantics) -> Graph:
        graph = GraphBuilder(f"product_{inner}_{outer}")
        graph.output(graph.linear(graph.input("x", (vectors, inner)), outer, bias=False))
        return graph.build()

    return pm.Workload(f"product_{inner}_{outer}", build, {})


def on_macro(
    device: str,
    inner: int,
    outer: int,
    weight_bits: float,
    input_bits: float,
    *,
    vectors: int = 1,
    **facts: float,
) -> pm.Prediction:
    """Return the prediction of one matrix on a device's arrays, with facts of them set."""
    changed = {f"engines.arrays.{name}": value for name, value in facts.items()}
    precision = parse_precision("int8").with_bits(weights=weight_bits, activations=input_bits)
    machine = pm.hardware(device).machine().vary(changed)
    return pm.predict(product(inner, outer, vectors), machine, precision=precision)


def tops(found: pm.Prediction) -> float:
    """Return tera-operations a second, two a product."""
    return 2e-12 * float(found.macs) / float(found.latency_s)


def tops_per_w(found: pm.Prediction) -> float:
    """Return tera-operations a joule."""
    return 2e-12 * float(found.macs) / float(found.energy_j)


def colonnade(
    bits: int, registers: int = 16, voltage: float = 0.8, inputs: int = 0
) -> pm.Prediction:
    """Return Colonnade with as many weights of some bits as its columns hold."""
    return on_macro(
        "cim_colonnade_65nm",
        128,
        128 // (bits + 7),
        bits,
        inputs or bits,
        registers=registers,
        voltage=voltage,
    )


def sinangil(output: float, voltage: float) -> pm.Prediction:
    """Return Sinangil's macro at a mean output of 0 to 15: inputs and weights are its root."""
    density = 0.25 * output**0.5
    return on_macro(
        "cim_sinangil_7nm",
        64,
        16,
        4,
        4,
        voltage=voltage,
        input_density=density,
        weight_density=density,
    )


def neurram(outputs: int, inputs: int, phases: int = 2) -> pm.Prediction:
    """Return all cores of NeuRRAM on a matrix of one core's size."""
    return on_macro("neurram", 128, 256, 4, inputs, vectors=48, adc_bits=outputs, most_steps=phases)


@cache
def predicted() -> dict[str, float]:
    """Return claim -> number."""
    out: dict[str, float] = {}
    for volts in (0.8, 1.0):
        at = f"v{round(100 * volts)}"
        out[f"sinangil.{at}.gops"] = 1e3 * tops(sinangil(15, volts))
        for output in (0, 6, 15):
            out[f"sinangil.{at}.out{output}.tops_per_w"] = tops_per_w(sinangil(output, volts))
    for output in (1, 2, 4, 8, 10, 12):
        out[f"sinangil.out{output}.pj"] = 1e12 * float(sinangil(output, 0.8).energy_j)
    out["sinangil.v65.pj"] = 1e12 * float(sinangil(15, 0.65).energy_j)
    for volts in (0.7, 0.8, 0.9, 1.0, 1.1):
        found = on_macro("cim_wang_22nm", 64, 16, 8, 8, voltage=volts)
        at = f"wang.v{round(100 * volts)}"
        out[f"{at}.tops_per_w"] = tops_per_w(found)
        out[f"{at}.tops_per_mm2"] = tops(found) / (1e6 * _area("cim_wang_22nm"))
    for volts in (0.85, 1.2):
        found = on_macro("cim_jia_65nm", 2304, 256, 1, 1, voltage=volts, digital_energy=0.0)
        at = f"jia.v{round(100 * volts)}"
        out[f"{at}.tops"], out[f"{at}.tops_per_w"] = tops(found), tops_per_w(found)
    for bits in (2, 4, 8):
        out[f"jia.in{bits}.tops"] = tops(on_macro("cim_jia_65nm", 2304, 256, 1, bits))
    for bits in (1, 2, 4, 8, 16):
        for volts in (0.6, 0.7, 0.8):
            found = colonnade(bits, voltage=volts)
            out[f"colonnade.v{round(100 * volts)}.b{bits}.tops_per_w"] = tops_per_w(found)
        for registers in (1, 4, 16):
            out[f"colonnade.r{registers}.b{bits}.gops"] = 1e3 * tops(colonnade(bits, registers))
    out["colonnade.in1_w8.tops_per_w"] = tops_per_w(colonnade(8, inputs=1))
    for outputs, inputs in NEURRAM_BITS:
        found = neurram(outputs, inputs)
        out[f"neurram.o{outputs}_i{inputs}.tops"] = tops(found)
        out[f"neurram.o{outputs}_i{inputs}.tops_per_w"] = tops_per_w(found)
    for outputs, inputs in ((7, 5), (8, 6)):
        found = neurram(outputs, inputs, phases=1)
        out[f"neurram.one_phase.o{outputs}_i{inputs}.tops"] = tops(found)
        out[f"neurram.one_phase.o{outputs}_i{inputs}.tops_per_w"] = tops_per_w(found)
    return out


def _area(device: str) -> float:
    machine = pm.hardware(device).machine()
    return float(sum(chip_area(machine.facts, machine.engine).values()))
