"""How the constants of hls4ml's circuits were fitted: on their formulas, all rows at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from perfmodel.calibrate import Constant
from perfmodel.evaluate.refit import Refit
from perfmodel.hardware.library import runtime
from perfmodel.kinds.fpga.circuits import (
    Amounts,
    Circuit,
    CircuitConstants,
    latency_strategy,
    registered,
)

from perfmodel_studies.readers.hls4ml.machines import RUNTIME
from perfmodel_studies.readers.hls4ml.rows import Hls4mlDesign

__all__ = ["design_refits", "layer_refits"]

Vector = npt.NDArray[np.float64]

#: The style's own margin, which the designs of the rows were made with.
_MARGIN: Final = 0.125
_GEMM, _SOFTMAX, _PLAIN = (f"runtime.kernels.{n}." for n in ("gemm", "softmax", "elementwise"))

#: Pull towards round numbers of logic (an adder and a register a bit, a full multiplier): what
#: three networks do not determine stays near them.
_PULL: Final = 0.3

#: Constants of amounts of a layer, with how far each may go.
LUTS: Final = (
    Constant(_GEMM + "sum_luts", 1.0, 0.2, 5.0, _PULL),
    Constant(_GEMM + "output_luts", 0.5, 0.01, 10.0, _PULL),
    Constant(_GEMM + "select_luts", 0.5, 0.01, 10.0, _PULL),
    Constant(_GEMM + "product_luts", 1.0, 0.2, 5.0, _PULL),
)
FFS: Final = (
    Constant(_GEMM + "sum_ffs", 1.0, 0.1, 5.0, _PULL),
    Constant(_GEMM + "early_ffs", 0.5, 0.01, 5.0, _PULL),
)
#: Constants of a layer's clocks.
CLOCKS: Final = (
    Constant(_GEMM + "adder_delay", 2.1e-9, 1.0e-9, 4.0e-9, 0.1),
    Constant(_GEMM + "shared_clocks", 3.0, 0.5, 8.0, 0.01),
    Constant(_GEMM + "multiplier_clocks", 2.0, 0.5, 6.0, 0.01),
)
#: Those of whole designs beside their layers.
BESIDE_LUTS: Final = (
    Constant(_PLAIN + "output_luts", 2.0, 0.1, 20.0, _PULL),
    Constant(_SOFTMAX + "output_luts", 100.0, 10.0, 1000.0, _PULL),
    Constant(_SOFTMAX + "product_luts", 324.0, 50.0, 1000.0, _PULL),
    Constant(_GEMM + "interval_luts", 5.0, 0.1, 50.0, _PULL),
)
BESIDE_FFS: Final = (
    Constant(_PLAIN + "output_ffs", 1.0, 0.05, 20.0, _PULL),
    Constant(_SOFTMAX + "output_ffs", 100.0, 10.0, 1000.0, _PULL),
)
BESIDE_CLOCKS: Final = (
    Constant(_SOFTMAX + "base_clocks", 7.0, 1.0, 30.0, 0.01),
    Constant(_SOFTMAX + "level_delay", 9.0e-9, 1.0e-9, 40.0e-9, 0.01),
    Constant(_SOFTMAX + "multiplier_clocks", 2.5, 0.5, 8.0, 0.01),
)


def layer_refits(designs: Sequence[Hls4mlDesign]) -> list[Refit]:
    """Return how clocks and amounts of layers were fitted, a network left out at a time."""
    rows = _Hls4mlDesigns([d for d in designs if d.layers and d.multipliers])
    if not rows.designs:
        return []
    labels = [rows.designs[i].model for i in rows.places]

    def of(name: str) -> Callable[[Mapping[str, float]], Vector]:
        return lambda given: _flat(getattr(rows.layers(given, relaxed=False), name))

    reports = [layer for d in rows.designs for layer in d.layers]
    clocks = np.array([layer.clocks for layer in reports])
    out = [
        Refit("layer_clocks", clocks, labels, CLOCKS, of("clocks"), left_out="network"),
    ]  # fmt: skip
    for name, constants in (("lut", LUTS), ("ff", FFS)):
        measured = np.array([layer.amounts[name] for layer in reports])
        out.append(Refit(f"layer_{name}", measured, labels, constants, of(name),
                         left_out="network"))  # fmt: skip
    return out


def design_refits(designs: Sequence[Hls4mlDesign]) -> list[Refit]:
    """Return how clocks and amounts of designs were fitted, a network left out at a time."""
    rows = _Hls4mlDesigns([d for d in designs if d.multipliers and d.strategy == "latency"])
    if not rows.designs:
        return []
    labels = [d.model for d in rows.designs]
    out: list[Refit] = []
    clocks = np.array([d.clocks for d in rows.designs])
    out.append(Refit("clocks", clocks, labels, (*CLOCKS, *BESIDE_CLOCKS), rows.clocks,
                     left_out="network"))  # fmt: skip
    for name, constants in (("lut", (*LUTS, *BESIDE_LUTS)), ("ff", (*FFS, *BESIDE_FFS))):
        measured = np.array([d.amounts[name] for d in rows.designs])
        out.append(Refit(name, measured, labels, constants, getattr(rows, name),
                         left_out="network"))  # fmt: skip
    return out


def _flat(values: npt.ArrayLike) -> Vector:
    return np.asarray(values, dtype=float).reshape(-1)


class _Hls4mlDesigns:
    """Designs, their layers one behind the other."""

    def __init__(self, designs: list[Hls4mlDesign]) -> None:
        self.designs = designs
        each = [(i, j) for i, d in enumerate(self.designs) for j in range(len(d.shapes))]
        #: Design of each layer.
        self.places = [i for i, _ in each]
        self.design: npt.NDArray[np.intp] = np.array(self.places, dtype=np.intp)
        found = [(self.designs[i], j) for i, j in each]

        def column(values: Sequence[float]) -> Vector:
            return np.asarray(values, dtype=float)

        inputs = column([d.shapes[j][0] for d, j in found])
        outputs = column([d.shapes[j][1] for d, j in found])
        self.last = column([j == len(d.shapes) - 1 for d, j in found])
        self.first = column([j == 0 for _, j in found])
        self.sums = column([
            (d.layers[j].sum_bits if d.layers else 0) or 2.0 * d.bits for d, j in found
        ])  # fmt: skip
        self.circuit = Circuit(
            inputs, outputs, column([d.nonzeros[j] for d, j in found]),
            column([d.multipliers[j] for d, j in found]),
            np.minimum(column([d.factors[j] for d, j in found]), inputs * outputs),
            column([(d.layers[j].input_bits if d.layers else 0) or d.bits for d, j in found]),
            column([d.bits for d, _ in found]),
            self.sums,
            column([d.multiply_in == "dsp" for d, _ in found]),
            np.ones(len(found)),
            column([(1.0 - _MARGIN) / d.clock for d, _ in found]),
        )  # fmt: skip
        self.stated = _stated()

    def constants(self, given: Mapping[str, float], kind: str) -> CircuitConstants:
        """Return the runtime's constants of a class with those given in their places."""
        head = f"runtime.kernels.{kind}."
        own = self.stated[kind] | {
            n[len(head) :]: v for n, v in given.items() if n.startswith(head)
        }
        return CircuitConstants(**own)

    def layers(self, given: Mapping[str, float], *, relaxed: bool) -> Amounts:
        """Return what every layer costs."""
        return latency_strategy(self.circuit, self.constants(given, "gemm"), relaxed=relaxed)

    def _sum(self, values: Vector) -> Vector:
        out = np.zeros(len(self.designs))
        np.add.at(out, self.design, values)
        return out

    def clocks(self, given: Mapping[str, float]) -> Vector:
        """Return the clocks of every design; a fit moves along levels that are not rounded."""
        c, k = self.circuit, self.constants(given, "gemm")
        s, e = (self.constants(given, kind) for kind in ("softmax", "elementwise"))
        made = self.layers(given, relaxed=False)
        levels = np.ceil(np.log2(c.outputs))
        softmax = s.base_clocks + levels * s.level_delay / c.period + c.in_dsp * s.multiplier_clocks
        beside = self.last * softmax + (1.0 - self.last) * e.base_clocks
        return self._sum(_flat(made.clocks + registered(made, k) + beside))

    def lut(self, given: Mapping[str, float]) -> Vector:
        """Return the look-up tables of every design."""
        c, k = self.circuit, self.constants(given, "gemm")
        s, e = (self.constants(given, kind) for kind in ("softmax", "elementwise"))
        made = self.layers(given, relaxed=False)
        softmax = c.outputs * (s.output_luts + (1.0 - c.in_dsp) * s.product_luts)
        plain = e.output_luts * c.sum_bits * c.outputs
        slowest = np.zeros(len(self.designs))
        np.maximum.at(slowest, self.design, _flat(made.interval))
        states = k.interval_luts * slowest * (slowest > 1.0)
        return self._sum(_flat(made.lut + self.last * softmax + (1.0 - self.last) * plain)) + states

    def ff(self, given: Mapping[str, float]) -> Vector:
        """Return the flip-flops of every design."""
        c = self.circuit
        s, e = (self.constants(given, kind) for kind in ("softmax", "elementwise"))
        made = self.layers(given, relaxed=False)
        plain = e.output_ffs * c.sum_bits * c.outputs
        beside = self.last * s.output_ffs * c.outputs + (1.0 - self.last) * plain
        entering = self.first * c.inputs * c.input_bits
        return self._sum(_flat(made.ff + beside + entering))


def _stated() -> dict[str, dict[str, float]]:
    """Return the constants that the runtime states, by class."""
    kernels = runtime(RUNTIME).kernels
    return {
        kind: {
            name: found.value for name in CircuitConstants._fields
            if (found := getattr(kernels[kind], name)) is not None
        }
        for kind in ("gemm", "softmax", "elementwise")
    }  # fmt: skip
