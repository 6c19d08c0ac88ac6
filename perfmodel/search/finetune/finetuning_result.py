"""Result of fine-tuning: trained parts, memory breakdown, time and energy of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.cost.capacity import Violation
from perfmodel.optimise.certified import Certified
from perfmodel.prediction.prediction import Prediction
from perfmodel.search.finetune.training_cost import TrainingStepCosts
from perfmodel.search.finetune.training_memory import (
    Floats,
    LayerUpdate,
    Scheme,
    TrainingMemoryModel,
)
from perfmodel.search.finetune.training_step import TrainingStep
from perfmodel.table import Result, Table, plain
from perfmodel.table.text import labelled_lines
from perfmodel.units import binary as binary_of
from perfmodel.units import show


@dataclass(frozen=True, repr=False)
class FineTuning(Result):
    """A selection of trained parts, with memory, time and energy of a training step.

    Attributes
    ----------
    limit_bytes
        Memory limit in bytes; None if there is none.
    answer
        Scheme, layer (its index) -> trained part. Its value is the negated gain, and its bound
        holds for every scheme within the limit.
    searched
        Whether the scheme is the result of a search rather than an argument.
    notes
        Defaults that apply, for example the sequences that a language model is trained on.
    """

    noun = "finetuning"

    step: TrainingStep
    memory: TrainingMemoryModel
    costs: TrainingStepCosts | None
    answer: Certified[Scheme]
    workload: str
    device: str
    optimizer: str
    states: int
    limit_bytes: float | None
    searched: bool
    flash_bytes: float | None = None
    flash_limit_bytes: float | None = None
    notes: tuple[str, ...] = ()

    # the choice

    @property
    def possible(self) -> bool:
        """Whether any scheme is within the limit."""
        return self.answer.feasible

    @property
    def scheme(self) -> Scheme:
        """Layer (its index) -> trained part."""
        return self.answer.solution or {}

    @property
    def gain(self) -> float:
        """Total gain of the scheme."""
        return -self.answer.value if self.possible else 0.0

    @property
    def bound(self) -> float:
        """Upper bound on the gain of any scheme within the limit."""
        return -self.answer.bound if self.possible else 0.0

    @property
    def proved(self) -> bool:
        """Whether the scheme is proved optimal, or the limit is proved infeasible."""
        return self.answer.proved

    # memory

    @cached_property
    def rows_bytes(self) -> Floats:
        """Bytes at each kernel: forward pass, then backward pass in execution order."""
        rows = self.memory.rows(self.scheme)
        n = self.step.kernels
        return np.concatenate([rows[:n], np.maximum(rows[n : 2 * n], rows[2 * n :])[::-1]])

    @property
    def peak_bytes(self) -> float:
        """Peak bytes of SRAM over the step."""
        return float(self.rows_bytes.max())

    @property
    def peak_at(self) -> str:
        """Time of the peak: ``forward`` or ``backward``, and the kernel's place in the order."""
        at, n = int(np.argmax(self.rows_bytes)), self.step.kernels
        return f"forward {at + 1} of {n}" if at < n else f"backward {at + 1 - n} of {n}"

    @property
    def inference_bytes(self) -> float:
        """Peak bytes of inference: activations, and the weights if in the same memory."""
        return float(self.memory.constant.max())

    @property
    def kept_bytes(self) -> float:
        """Bytes of forward activations stored for the backward pass."""
        return float(self.memory.kept_bytes @ self.memory.values(self.scheme))

    @property
    def trained_bytes(self) -> float:
        """Bytes of trained weights in SRAM, without their optimiser state."""
        values = self.memory.values(self.scheme)
        return float(self.memory.trained_bytes @ values) / (1 + self.states)

    @property
    def state_bytes(self) -> float:
        """Bytes of optimiser state."""
        return self.trained_bytes * self.states

    @property
    def gradient_bytes(self) -> float:
        """Bytes of all weight gradients; with immediate updates, one layer at a time is live."""
        return float(self.memory.gradient_bytes @ self.memory.values(self.scheme))

    @property
    def extra_bytes(self) -> float:
        """Bytes beyond inference: stored activations + trained weights + optimiser state."""
        return self.kept_bytes + self.trained_bytes + self.state_bytes

    @property
    def trained_parameters(self) -> float:
        """Number of trained parameters."""
        return sum(_parameters(self.step, i, part) for i, part in self.scheme.items())

    @property
    def parameters(self) -> float:
        """Number of parameters of all layers."""
        return sum(layer.weights + layer.biases for layer in self.step.layers)

    # time

    @cached_property
    def _backward(self) -> tuple[float, float, float]:
        if self.costs is None:
            return float("nan"), float("nan"), float("nan")
        return self.costs.of(self.scheme)

    @property
    def forward_s(self) -> float:
        """Seconds of the forward pass; NaN without a device."""
        if self.costs is None:
            return float("nan")
        return float(np.asarray(self.costs.forward.latency_s))

    @property
    def backward_s(self) -> float:
        """Seconds of the backward pass and the update."""
        return self._backward[0]

    @property
    def latency_s(self) -> float:
        """Seconds of a step."""
        return self.forward_s + self.backward_s

    @property
    def energy_j(self) -> float:
        """Energy of a step in J, kernel by kernel as in `predict`; NaN if unknown."""
        return self.forward_energy_j + self.backward_energy_j

    @property
    def forward_energy_j(self) -> float:
        """Energy of the forward pass in J: that of `predict`."""
        return float("nan") if self.costs is None else float(self.costs.forward.energy_j)

    @property
    def backward_energy_j(self) -> float:
        """Energy of the backward pass and the update in J."""
        return self._backward[2]

    @property
    def energy_model(self) -> str:
        """Model of the energies with what it leaves out, or why there are none."""
        if self.costs is None:
            return "unknown: without a device nothing has an energy"
        return self.costs.forward.energy_model

    @property
    def macs(self) -> float:
        """Multiply-accumulates of a step."""
        if self.costs is None:
            return float("nan")
        return float(np.asarray(self.costs.forward.macs)) + self._backward[1]

    # limits

    def _smaller_inference(self, limit: float) -> list[str]:
        """Return suggestions that reduce the memory of inference."""
        if self.flash_bytes is None and self.step.frozen_bytes > limit:
            return ["fewer bits per weight (--precision)", "several devices (perfmodel split)"]
        graph = self.step.graph
        if any(len(graph.tensors[name].shape) > 3 for name in graph.inputs):
            return ["smaller images", "patches in the first layers (perfmodel patches)"]
        return ["shorter sequences", "a smaller batch"]

    @cached_property
    def violations(self) -> list[Violation]:
        """Limits that the step exceeds, with suggestions."""
        out: list[Violation] = []
        limit = self.limit_bytes
        need = self.peak_bytes
        if limit is not None and (need > limit * (1 + 1e-9) or not self.possible):
            forward = self.inference_bytes
            message = f"a step holds {binary(need)} and may hold {binary(limit)}"
            levers = ["fewer or narrower trained parts"]
            if forward > limit:
                message = (
                    f"the forward pass alone holds {binary(forward)} and may hold {binary(limit)}"
                )
                levers = [f"a limit of {binary(forward)}", *self._smaller_inference(limit)]
                need = forward
            out.append(Violation("memory", need, limit, need - limit, tuple(levers), message))
        if self.flash_bytes is not None and self.flash_limit_bytes is not None:
            gap = self.flash_bytes - self.flash_limit_bytes
            if gap > 0:
                message = (
                    f"frozen weights take {binary(self.flash_bytes)}, and their memory has "
                    f"{binary(self.flash_limit_bytes)}"
                )
                out.append(
                    Violation("weights", self.flash_bytes, self.flash_limit_bytes, gap, (), message)
                )
        return out

    @property
    def feasible(self) -> bool:
        """Whether the step fits."""
        return not self.violations

    # text

    @cached_property
    def table(self) -> Table:
        """One row per layer: its trained part and the bytes it requires."""
        layers = self.step.layers
        parts = [self.scheme.get(i) for i in range(len(layers))]
        own = [0.0 if p is None else self._own(i, p) for i, p in enumerate(parts)]
        return Table(
            {
                "layer": np.array([layer.name for layer in layers], dtype=object),
                "part": np.array(["frozen" if p is None else str(p) for p in parts], dtype=object),
                "parameters": np.array([layer.weights + layer.biases for layer in layers]),
                "trained_parameters": np.array(
                    [
                        0.0 if p is None else _parameters(self.step, i, p)
                        for i, p in enumerate(parts)
                    ]
                ),
                "input_bytes": np.array(
                    [self.step.lives[layer.source].size_bytes for layer in layers]
                ),
                "trained_bytes": np.array(own),
                "macs": np.array([layer.macs for layer in layers]),
            }
        )

    def _own(self, layer: int, part: LayerUpdate) -> float:
        return float(self.memory.trained_bytes[self.memory.at[layer, part]])

    def explain(self) -> str:
        """Return the memory breakdown at the peak, and the trained layers."""
        rows = [
            ("the forward pass at its own peak", self.inference_bytes),
            ("kept for the backward pass, all of it", self.kept_bytes),
            ("trained weights", self.trained_bytes),
            (f"state of {self.optimizer}", self.state_bytes),
            ("gradients of weights, all of them", self.gradient_bytes),
            (f"peak, at {self.peak_at}", self.peak_bytes),
        ]
        lines = labelled_lines((name, binary(size)) for name, size in rows)
        return "\n".join([self.headline, *lines, *self._trained()])

    def _trained(self) -> list[str]:
        groups: dict[str, list[str]] = {}
        for i in sorted(self.scheme):
            groups.setdefault(str(self.scheme[i]), []).append(self.step.layers[i].name)
        words = {"bias": "bias alone", "1": "all of it"}
        return [
            f"  {words.get(part, part)}: {_few(names)}"
            for part, names in sorted(groups.items(), key=lambda item: item[0])
        ]

    @property
    def headline(self) -> str:
        """Number of trained layers and parameters, and the device."""
        where = f" on {self.device}" if self.device else ""
        return (
            f"{self.workload}{where}: {len(self.scheme)} of {len(self.step.layers)} "
            f"layers trained, {self.trained_parameters:.0f} of {self.parameters:.0f} parameters"
        ) + ("" if self.possible else ": does not fit")

    def sections(self) -> list[str]:
        """Return the trained layers, grouped by trained part."""
        return ["\n".join(self._trained())] if self.possible and self.scheme else []

    def cautions(self) -> list[str]:
        """Return the violated limits and the notes."""
        return [
            *(f"does not fit: {violation}" for violation in self.violations),
            *(f"note: {note}" for note in self.notes),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; unknown values are null."""
        out: dict[str, Any] = {
            "workload": self.workload,
            "device": self.device or None,
            "optimizer": self.optimizer,
            "feasible": self.feasible,
            "chosen": self.searched,
            "proved": self.proved,
            "peak_at": self.peak_at,
        }
        for name in (
            "peak_bytes",
            "limit_bytes",
            "inference_bytes",
            "kept_bytes",
            "trained_bytes",
            "state_bytes",
            "gradient_bytes",
            "extra_bytes",
            "trained_parameters",
            "parameters",
            "latency_s",
            "forward_s",
            "backward_s",
            "energy_j",
            "forward_energy_j",
            "backward_energy_j",
            "energy_model",
            "macs",
            "gain",
            "bound",
        ):
            out[name] = getattr(self, name)
        out["trained"] = {
            self.step.layers[i].name: str(self.scheme[i]) for i in sorted(self.scheme)
        }
        out |= {"violations": self.violations, "notes": self.notes}
        return plain(out)

    def _energy_line(self, forward: Prediction) -> tuple[str, str]:
        """Return the energy of a step with its forward part and boundary, or why it is unknown."""
        if not math.isfinite(self.energy_j):
            return "energy", f"unknown: {self.device} states neither energies nor power"
        step, ahead = (show(joule, "energy") for joule in (self.energy_j, self.forward_energy_j))
        text = f"{step} (forward {ahead}; {forward.energy_basis}, {forward.energy_model})"
        return f"energy ({forward.energy_boundary})", text

    def glance(self) -> list[tuple[str, str]]:
        """Return the memory breakdown, and the time and energy of a step."""
        if not self.possible:
            return []
        limit = "" if self.limit_bytes is None else f" of {binary(self.limit_bytes)}"
        rows = [
            ("peak", f"{binary(self.peak_bytes)}{limit}, at {self.peak_at}"),
            ("inference alone", binary(self.inference_bytes)),
            ("kept activations", binary(self.kept_bytes)),
            ("trained weights", binary(self.trained_bytes)),
            ("gradients", f"{binary(self.gradient_bytes)} in all"),
        ]
        if self.states:
            rows.insert(4, (f"state of {self.optimizer}", binary(self.state_bytes)))
        if self.costs is not None:
            step, forward = show(self.latency_s, "time"), show(self.forward_s, "time")
            rows.append(("step", f"{step} (forward {forward})"))
            rows.append(self._energy_line(self.costs.forward))
        if self.searched:
            proof = "nothing within the limit is worth more"
            if not self.proved:
                proof = f"not proved; at most {self.bound:.6g}"
            rows.append(("worth", f"{self.gain:.6g} ({proof})"))
        return rows


def _few(names: list[str]) -> str:
    if len(names) <= 8:
        return ", ".join(names)
    return f"{', '.join(names[:3])} ... {names[-1]} ({len(names)} layers)"


def binary(value: float) -> str:
    """Return bytes with a binary prefix, as microcontroller memories are specified."""
    return binary_of(value, digits=4)


def _parameters(step: TrainingStep, index: int, part: LayerUpdate) -> float:
    layer = step.layers[index]
    biases = layer.biases if part.bias else 0.0
    if part.rank:
        return part.added(layer) + biases
    return layer.weights * part.channels(layer.channels) / layer.channels + biases


def gains_of(
    memory: TrainingMemoryModel, gains: Mapping[tuple[int, LayerUpdate], float]
) -> dict[tuple[int, LayerUpdate], float]:
    """Return the gain of each choice; without gains, the number of parameters it trains."""
    if gains:
        return {choice: gains.get(choice, 0.0) for choice in memory.choices}
    return {(i, part): _parameters(memory.step, i, part) for i, part in memory.choices}
