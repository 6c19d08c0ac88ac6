"""Every kernel of many cases in one column, so that constants of a runtime are refitted quickly.

What `predict` counts of each kernel (operations over the peak, bytes, result) is kept once; for
other constants the seconds follow by the equations of `perfmodel.kinds.npu`, without the networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from perfmodel.evaluate.case import MeasuredQuantity, ValidationCase
from perfmodel.hardware.device import Device
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.npu.rates import kernel_names
from perfmodel.kinds.rates import MATRIX_KINDS, executed_format
from perfmodel.kinds.roofline import best_format
from perfmodel.predict import predict

__all__ = ["Flat"]

Floats: TypeAlias = npt.NDArray[np.float64]
Asked: TypeAlias = tuple[ValidationCase, MeasuredQuantity]

_CORES = "runtime.kernels.conv.cores"


class Flat:
    """Kernels of cases, one after the other.

    Parameters
    ----------
    asked
        Cases whose machine is a neural processor, each with one question about its latency.
    """

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._machines: list[Machine] = []
        self._columns: dict[str, list[Floats]] = {}
        self._keys: list[tuple[int, tuple[str, ...]]] = []
        self._functions: dict[tuple[int, str], list[tuple[int, float, float]]] = {}
        self._starts: list[int] = []
        self.measured = np.array([question.measured for _, question in asked])
        for case, question in asked:
            self._add(case, question)
        self._table = {name: np.concatenate(parts) for name, parts in self._columns.items()}
        distinct = list(dict.fromkeys(self._keys))
        self._distinct = distinct
        place = {key: i for i, key in enumerate(distinct)}
        self._group = np.array([place[key] for key in self._keys], dtype=np.intp)
        self._machine = np.array([machine for machine, _ in self._keys], dtype=np.intp)

    def _add(self, case: ValidationCase, question: MeasuredQuantity) -> None:
        machine = case.machine
        assert machine is not None
        if isinstance(machine, Device):
            machine = machine.machine(case.runtime)
        found = predict(
            question.workload, machine, precision=case.precision, runtime=case.runtime,
            engine=case.engine, warm=case.warm,
        )  # fmt: skip
        table, terms = found._opened  # pyright: ignore[reportPrivateUsage]
        setting = found._setting  # pyright: ignore[reportPrivateUsage]
        main, store = setting.levels[-1], setting.weights_memory
        facts, n, number = setting.facts, len(table.rows), len(self._machines)
        self._machines.append(machine)
        self._starts.append(len(self._keys))

        def column(value: Any) -> Floats:
            array = np.asarray(value, dtype=float)
            return np.broadcast_to(array[:, :1] if array.ndim else array, (n, 1))[:, 0]

        beside = [column(s) for level, s in terms.memory.items() if level not in (main, store)]
        serial = not setting.choices["weights_overlap"]
        weights = column(terms.detail["loaded_bytes"]) / facts[f"memories.{store}.bandwidth"]
        result = column(terms.detail["result_bytes"]) / facts[f"memories.{main}.bandwidth"]
        activations = column(terms.detail["activation_bytes"])
        activations = activations / facts[f"memories.{main}.bandwidth"]
        zero = np.zeros(n)
        act = executed_format(setting, setting.precision.activations.compute)
        peak = facts[f"engines.{setting.engine}.peaks.{act or best_format(setting)}"]
        made = column(terms.detail["results"]) / peak
        columns = {
            "count": column(table.count),
            "peak_s": column(terms.detail["peak_s"]),
            "vector_s": column(terms.compute["vector"]),
            "vector_ops": column(table.vector_ops),
            "beside_s": np.max(beside, axis=0) if beside else zero,
            "main_s": column(terms.detail["activation_bytes"]) / facts[f"memories.{main}.bandwidth"]
            + (weights if store == main and not serial else 0),
            "store_s": zero if store == main or serial else weights,
            "serial_s": weights if serial else zero,
            "kernels": column(table.kernels),
            "layers": column(table.layers),
        }
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(np.array(values))
        for i, row in enumerate(table.rows):
            formats = [setting.precision.format_of(slot).name for slot in row.pair]
            names = kernel_names(row, formats)
            self._keys.append((number, (row.kind, *names)))
            for function in row.functions:
                at = (self._starts[-1] + i, float(result[i]), float(made[i]))
                self._functions.setdefault((number, function), []).append(at)

    def _fact(
        self, machine: int, name: str, constants: Mapping[str, float], default: float
    ) -> float:
        found = constants.get(name)
        return float(self._machines[machine].facts.get(name, default)) if found is None else found

    def _stated(self, field: str, constants: Mapping[str, float], default: float) -> Floats:
        """Return a constant of the kernels of each row: the first that is stated."""
        out = np.empty(len(self._distinct))
        for i, (machine, (_, *names)) in enumerate(self._distinct):
            facts = self._machines[machine].facts
            paths = [f"runtime.kernels.{name}.{field}" for name in names]
            known = (constants.get(path, facts.get(path)) for path in paths)
            out[i] = next((float(value) for value in known if value is not None), default)
        return out[self._group]

    def _each(self, name: str, constants: Mapping[str, float], default: float = 0.0) -> Floats:
        values = [self._fact(m, name, constants, default) for m in range(len(self._machines))]
        return np.array(values)

    def __call__(self, constants: Mapping[str, float]) -> Floats:
        """Return seconds of each case with some facts of its machine set, shape ``(cases,)``."""
        c = self._table
        matrix = np.array([key[1][0] in MATRIX_KINDS for key in self._distinct])[self._group]
        share = np.where(matrix, self._stated("peak_share", constants, 1.0), 1.0)
        cores = self._stated("cores", constants, np.inf)
        units = np.array([float(m.facts[f"engines.{m.engine}.units"]) for m in self._machines])
        units = units[self._machine]
        share = share * np.minimum(cores, units) / units
        usual = np.array([
            float(m.facts.get(f"memories.{m.main_memory}.sustained_fraction", 1.0))
            for m in self._machines
        ])  # fmt: skip
        stated = self._each("runtime.efficiency.bandwidth", constants, np.nan)
        drawn = np.where(np.isnan(stated), usual, stated)[self._machine]
        main = c["main_s"] / drawn / self._stated("bandwidth_share", constants, 1.0)
        slowdown = np.array([
            float(m.facts[f"engines.{m.engine}.host_slowdown"]) for m in self._machines
        ])[self._machine]  # fmt: skip
        host = self._stated("host_rate", constants, np.inf)
        vector = np.where(np.isinf(host), c["vector_s"], c["vector_ops"] * slowdown / host)
        body = np.maximum(c["peak_s"] / share + vector, np.maximum(main, c["beside_s"]))
        seconds = np.maximum(body, c["store_s"] / drawn) + c["serial_s"] / drawn
        for (machine, function), places in self._functions.items():
            head = f"runtime.kernels.elementwise.{function}."
            passes = self._fact(machine, head + "passes", constants, 0.0)
            rate = self._fact(machine, head + "result_share", constants, np.inf)
            if passes or np.isfinite(rate):
                whole = units[places[0][0]]
                slower = whole / min(self._fact(machine, _CORES, constants, whole), whole)
                for at, result, made in places:
                    seconds[at] += passes * result / drawn[at] + made / rate * slower
        launch = self._each("runtime.per_operator", constants)[self._machine]
        launch = launch + self._stated("launch", constants, 0.0)
        layer = self._each("runtime.per_layer", constants)[self._machine]
        seconds = seconds + slowdown * (c["kernels"] * launch + c["layers"] * layer)
        totals = np.add.reduceat(c["count"] * seconds, self._starts)
        return totals + self._each("runtime.per_run", constants)
