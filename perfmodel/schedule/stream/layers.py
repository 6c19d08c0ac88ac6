"""Layers of a prediction for the pipeline: seconds on the engine, and bytes to load.

The seconds are those that `predict` composes of a row's terms, without the time of the memory that
weights are streamed from; in its place weights are read from main memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import first_number
from perfmodel.cost.compose import compose
from perfmodel.cost.operand_bytes import row_bytes
from perfmodel.kinds.rates import bandwidth
from perfmodel.prediction import Prediction

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PipelineLayer:
    """A block of operators that runs `count` times, or a single kernel outside repeated blocks.

    Attributes
    ----------
    name
        Name of the block or kernel.
    count
        Number of executions per run.
    before_s, after_s
        Seconds on the engine before and after the experts; all of them before if it has none.
    tensors
        Bytes of each weight that one execution reads, without experts.
    expert_s, expert_bytes
        Seconds and bytes of all experts that one execution visits.
    expert_parts
        The same by matrix: (seconds until the next one, bytes) of each grouped product.
    expert_tensors
        Names of the weights that contain the experts.
    experts, visited
        Number of experts, and expected number of them visited by one execution.
    """

    name: str
    count: int
    before_s: float
    after_s: float
    tensors: dict[str, float]
    expert_s: float = 0.0
    expert_bytes: float = 0.0
    expert_parts: tuple[tuple[float, float], ...] = ()
    expert_tensors: tuple[str, ...] = ()
    experts: int = 0
    visited: float = 0.0

    @property
    def engine_s(self) -> float:
        """Seconds on the engine per execution."""
        return self.before_s + self.expert_s + self.after_s


def layers_of(prediction: Prediction, source: str) -> tuple[PipelineLayer, ...]:
    """Return the layers of one run in execution order, preceded by one-time work of the runtime.

    Parameters
    ----------
    prediction
        Prediction of a single configuration.
    source
        Memory that weights are streamed from: its time is left out, and weights are read from main
        memory instead, into which they were streamed.
    """
    table, _ = prediction.opened
    job = prediction.job
    seconds = _engine_seconds(prediction, source)
    kernels = job.lowered.kernels
    starts = [
        i for i in range(len(kernels)) if not i or kernels[i].block is not kernels[i - 1].block
    ]
    once = first_number(prediction.once_a_run_s)
    out = [PipelineLayer("once a run", 1, once, 0.0, {})] if once else []
    for start, stop in zip(starts, [*starts[1:], len(kernels)], strict=True):
        block = kernels[start].block
        count = int(first_number(job.workload.number(block.count)))
        if count == 1:
            out += [
                _with_weights(
                    PipelineLayer(table.rows[i].name, 1, float(seconds[i]), 0.0, {}),
                    kernels[i].operators,
                    job,
                )
                for i in range(start, stop)
            ]
            continue
        moe = [i for i in range(start, stop) if table.rows[i].kind == "moe"]
        first, last = (moe[0], moe[-1]) if moe else (stop, stop - 1)
        pipelined = PipelineLayer(
            block.name,
            count,
            float(seconds[start:first].sum()),
            float(seconds[last + 1 : stop].sum()),
            {},
            float(seconds[first : last + 1].sum()),
        )
        ends = [*moe[1:], last + 1] if moe else []
        parts = [float(seconds[i:end].sum()) for i, end in zip(moe, ends, strict=True)]
        out.append(_with_weights(pipelined, block.operators, job, parts))
    return tuple(out)


def _with_weights(
    layer: PipelineLayer, operators: Iterable[Any], job: Any, parts: Sequence[float] = ()
) -> PipelineLayer:
    """Return the layer with the bytes that it reads of weights and of its experts."""
    tensors: dict[str, float] = {}
    experts, visited = 0, 0.0
    expert_bytes: list[float] = []
    names: list[str] = []
    for op in operators:
        attributes: dict[str, Any] = dict(op.attributes)
        for access in op.accesses:
            tensor = job.lowered.graph.tensors[access.tensor]
            if tensor.role != "weight" or access.mode != "read":
                continue
            bits = first_number(job.precision.bits(str(job.lowered.slots.of(tensor))))
            read = first_number(job.workload.number(access.elements))
            if op.kind == "moe" and tensor.tag == "expert" and "experts" in attributes:
                experts = int(attributes["experts"])
                visited = experts * read / first_number(job.workload.number(tensor.elements))
                expert_bytes.append(read * bits / 8.0)
                names.append(tensor.name)
            else:
                tensors[tensor.name] = tensors.get(tensor.name, 0.0) + read * bits / 8.0
    return replace(
        layer,
        tensors=tensors,
        expert_bytes=sum(expert_bytes),
        expert_parts=tuple(zip(parts, expert_bytes, strict=True)),
        expert_tensors=tuple(names),
        experts=experts,
        visited=visited,
    )


def _engine_seconds(prediction: Prediction, source: str) -> Floats:
    """Return the seconds of each row without those of the memory that is streamed from."""
    table, terms = prediction.opened
    setting = prediction.setting
    n = len(table.rows)

    def column(values: object) -> Floats:
        array: Floats = np.asarray(values, dtype=np.float64)
        if array.ndim == 0:
            return np.full(n, float(array))
        return np.asarray(np.broadcast_to(array[:, :1], (n, 1))[:, 0])

    main = setting.levels[-1]
    memory = {k: column(v) for k, v in terms.memory.items() if k != source}
    if source in terms.memory and main != source:
        weights = column(row_bytes(table, setting, operands="weights"))
        memory[main] = memory.get(main, np.zeros(n)) + weights / first_number(
            bandwidth(setting, main)
        )
    compute = {k: column(v) for k, v in terms.compute.items()}
    overhead = {k: column(v) for k, v in terms.overhead.items()}
    overlap = "none" if setting.overlap == "none" else "full"
    return np.asarray(compose(compute, memory, overhead, overlap), dtype=np.float64)
