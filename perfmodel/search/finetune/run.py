"""Fine-tuning within a memory limit: the best parts to train, or the memory of given parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from perfmodel.cost.capacity import usable
from perfmodel.errors import Fault, InputError, input_error, nearest, not_among
from perfmodel.formats import Format, Precision, as_precision, format_named
from perfmodel.hardware.machine import Machine
from perfmodel.measurement_csv import read_rows
from perfmodel.optimise.certified import Certified
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.prediction import stages
from perfmodel.resolve import DeviceLike, WorkloadLike, resolve
from perfmodel.schedule.target import bytes_of
from perfmodel.search.finetune.finetuning_result import FineTuning, gains_of
from perfmodel.search.finetune.part_selection import best
from perfmodel.search.finetune.training_cost import TrainingStepCosts, costs_of
from perfmodel.search.finetune.training_memory import (
    LayerUpdate,
    Scheme,
    TrainingMemoryModel,
    memory_of,
)
from perfmodel.search.finetune.training_sequences import sequence_notes, sequences
from perfmodel.search.finetune.training_step import TrainingStep, step_of
from perfmodel.settings import FaultList, gathered
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.library import find
from perfmodel.workload.training_step import OPTIMIZERS
from perfmodel.workload.workload import Workload

#: Default parts of a layer that the search considers.
PARTS = ("bias", "0.125", "0.25", "0.5", "1")


def part_of(text: str, path: str = "parts") -> LayerUpdate:
    """Parse a trained part.

    ``bias``, ``all``, ``weight`` (without the bias), ``lora8``, or a share of the input channels,
    for example ``0.25`` or ``1/4``.

    Raises
    ------
    InputError
        The text is none of these.
    """
    word = text.strip().lower()
    if word == "bias":
        return LayerUpdate()
    if word in ("all", "weight"):
        return LayerUpdate(1.0, bias=word == "all")
    if word.startswith("lora") and word[4:].isascii() and word[4:].isdigit():
        rank = int(word[4:])
        if 1 <= rank <= 100_000:
            return LayerUpdate(0.0, bias=False, rank=rank)
    else:
        over, _, under = word.partition("/")
        try:
            share = float(over) / (float(under) if under else 1.0)
        except (ValueError, ZeroDivisionError):
            share = -1.0
        if 0.0 < share <= 1.0:
            return LayerUpdate(share)
    raise input_error(
        f"'{text}' is not a part of a layer",
        path,
        expected="bias, all, weight, a share such as 0.25, or lora8",
        suggestion=nearest(word, ("bias", "all", "weight", "lora8")),
    )


@with_solver
def finetune(
    workload: WorkloadLike,
    device: DeviceLike | None = None,
    *,
    limit: str | float | None = None,
    train: str | Mapping[str, str] | None = None,
    parts: str | list[str] | tuple[str, ...] = PARTS,
    optimizer: str = "sgd",
    gradients: str | None = None,
    late_updates: bool = False,
    gains: str | Path | None = None,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | None = None,
    solver: str = "highs",
    time_limit_s: float = 20.0,
) -> FineTuning:
    """Find the best parts of a network to train within a memory limit, or evaluate given parts.

    Parameters
    ----------
    workload
        As for `predict`. A language model is trained on whole sequences with a loss at every token,
        that is in the phase prefill, which need not be set.
    device
        A device of the library, or a path to a spec file (.yaml). It may be omitted if a limit is
        stated; memory is then predicted, but not time.
    limit
        Memory limit for activations, gradients and trained parameters: bytes, or a size with its
        unit ("256 KiB"). By default the capacity of the device's main memory. If that memory also
        holds the weights (as on a GPU), they count too.
    train
        Parts to train, instead of searching for the best: comma-separated PATTERN=PART, of which
        the last pattern that matches a layer's name applies (``*=bias,classifier=all``), or a
        mapping. A part is bias, weight, all, a share of the weight's input channels (0.25) or
        lora8.
    parts
        Parts of a layer among which the search chooses. By default bias,0.125,0.25,0.5,1.
    optimizer
        sgd, momentum or adam.
    gradients
        Format of gradients. By default that of the activations.
    late_updates
        Keep all gradients of weights until the backward pass ends. By default each is applied as
        soon as it is computed.
    gains
        CSV file with the columns layer, part and gain: the benefit of training a part, for example
        in accuracy. By default the number of parameters.
    set, precision, runtime
        As for `predict`.
    solver
        Solver of integer programmes: highs, or any other that PuLP finds on this machine (cbc,
        gurobi, scip). A solver that is stopped by the time limit proves nothing.
    time_limit_s
        Seconds after which the best solution found so far is returned, with a bound.

    Returns
    -------
    FineTuning

    Raises
    ------
    InputError
        For all faults of the input at once, for example a phase that generates tokens, which
        cannot be trained. A step that does not fit is a result, not an error.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.finetune("mcunet_5fps", limit="256 KiB", train="*=bias").feasible
    True
    """
    return FineTuningQuestion(**vars()).answer()


@dataclass(frozen=True, kw_only=True)
class FineTuningQuestion:
    """The parameters of `finetune`."""

    workload: WorkloadLike
    device: DeviceLike | None
    limit: str | float | None
    train: str | Mapping[str, str] | None
    parts: str | Sequence[str]
    optimizer: str
    gradients: str | None
    late_updates: bool
    gains: str | Path | None
    set: Mapping[str, Any] | None
    precision: str | Precision | None
    runtime: str | None
    solver: str
    time_limit_s: float

    def answer(self) -> FineTuning:
        """Return the result of `finetune`, with the same errors."""
        faults = gathered()
        deadline = Deadline(max(0.0, self.time_limit_s))
        faults += self._option_faults()
        limit = None if self.limit is None else faults.trying(bytes_of, self.limit, "limit")
        gradients = self.gradients and faults.trying_at("gradients", format_named, self.gradients)
        wanted = _patterns(self.train, faults)
        parts = self._parts(faults)
        settings = sequences(self.workload, self.set)
        default = "no phase was set: it is trained in the phase prefill"
        subject = faults.trying(replace(self, set=settings)._subject)
        faults.settle()
        assert subject is not None
        network, precision, machine, fusion = subject
        notes = (*[default] * (settings is not self.set), *sequence_notes(network))
        network = network.scoring_every_token()
        bits = float(gradients.bits) if isinstance(gradients, Format) else None
        fusion = fusion._replace(flash_attention=True)
        step = step_of(network, precision, fusion, gradient_bits=bits)
        home = _Home()
        if machine is not None:
            home = _Home.of(costs_of(network, machine, precision, step, self.optimizer), step)
        sizes = [size for size in (limit, home.capacity_bytes) if size is not None]
        if wanted is None and not sizes:
            raise input_error("there is no limit", "limit", expected="a device, or such as 256 KiB")
        states, _ = OPTIMIZERS[self.optimizer]
        scheme = None if wanted is None else _matched(step, wanted)
        memory = memory_of(
            step,
            _offered(step, parts) if scheme is None else {i: [p] for i, p in scheme.items()},
            states=states,
            late=self.late_updates,
            resident=home.resident,
        )
        gains = {} if wanted is not None or self.gains is None else _gains(Path(self.gains), memory)
        worth = gains_of(memory, gains)
        if scheme is None:
            answer = best(memory, worth, float(min(sizes)), deadline)
        else:
            value = -sum(worth[choice] for choice in scheme.items())
            answer = Certified(scheme, value, value, "stated")
        return FineTuning(
            step,
            memory,
            home.costs,
            answer,
            network.name,
            "" if machine is None else machine.device.name,
            self.optimizer,
            states,
            min(sizes, default=None),
            searched=wanted is None,
            flash_bytes=home.flash_bytes,
            flash_limit_bytes=home.flash_limit_bytes,
            notes=notes,
        )

    def _option_faults(self) -> list[Fault]:
        message = f"'{self.optimizer}' is not an optimiser"
        faults = not_among(message, self.optimizer, OPTIMIZERS, "optimizer")
        if not (self.time_limit_s > 0):
            message = f"{self.time_limit_s:g} s is not a time limit"
            faults.append(Fault(message, "time_limit_s", expected="a number above zero"))
        return faults

    def _parts(self, faults: FaultList) -> list[LayerUpdate]:
        parts = self.parts
        texts = [t.strip() for t in parts.split(",")] if isinstance(parts, str) else list(parts)
        if not texts:
            expected = "such as bias,0.25,1"
            faults.append(Fault("there is no part to train", "parts", expected=expected))
        return [part for text in texts if (part := faults.trying(part_of, text)) is not None]

    def _subject(self) -> tuple[Workload, Precision, Machine | None, FusionRules]:
        """Return the network, its formats, its machine (or None) and its fusion rules."""
        if self.device is None:
            faults = FaultList()
            network = faults.trying(_workload, self.workload, self.set)
            formats = faults.trying(as_precision, self.precision or "int8")
            faults.settle()
            assert network is not None
            assert formats is not None
            return network, formats, None, FusionRules(True, False)
        inputs = resolve(self.workload, self.device, self.precision, self.runtime, self.set)
        resolved = stages.resolve(*inputs[:4])
        return resolved.workload, resolved.precision, resolved.machine, resolved.model.fusion


@dataclass(frozen=True)
class _Home:
    """Memories of a device during training: contents and capacities in bytes.

    Attributes
    ----------
    resident
        Whether main memory contains all weights; otherwise frozen weights are in another memory.
    """

    costs: TrainingStepCosts | None = None
    capacity_bytes: float | None = None
    resident: bool = False
    flash_bytes: float | None = None
    flash_limit_bytes: float | None = None

    @classmethod
    def of(cls, costs: TrainingStepCosts, step: TrainingStep) -> _Home:
        setting = costs.forward.setting
        main, weights = setting.levels[-1], setting.weights_memory
        capacity = float(usable(setting, main))
        if weights == main:
            return cls(costs, capacity, resident=True)
        return cls(costs, capacity, False, step.frozen_bytes, float(usable(setting, weights)))


def _workload(workload: WorkloadLike, settings: Mapping[str, Any] | None) -> Workload:
    facts = [name for name in settings or {} if "." in name]
    if facts:
        message = "is a fact of a device, and no device is given"
        raise InputError([Fault(message, name, expected="a device") for name in facts])
    if isinstance(workload, Workload):
        return workload.bind(settings) if settings else workload
    return find(workload, settings or {})


def _patterns(
    train: Mapping[str, str] | str | None, faults: FaultList
) -> dict[str, LayerUpdate] | None:
    """Return pattern -> trained part, or None if the parts are to be searched."""
    if train is None:
        return None
    pairs: dict[str, str] = {}
    if isinstance(train, str):
        for item in train.split(","):
            pattern, mark, part = item.partition("=")
            if not mark or not pattern.strip() or not part.strip():
                faults.append(Fault(f"'{item}' trains nothing", "train", expected="PATTERN=PART"))
            pairs[pattern.strip()] = part
    else:
        pairs = dict(train)
    if not pairs:
        faults.append(Fault("nothing is trained", "train", expected="such as *=bias"))
    return {
        pattern: part
        for pattern, text in pairs.items()
        if text.strip() and (part := faults.trying(part_of, text, "train"))
    }


def _matched(step: TrainingStep, wanted: Mapping[str, LayerUpdate]) -> dict[int, LayerUpdate]:
    """Return the part of each layer, by the last pattern that matches its name."""
    names = [layer.name for layer in step.layers]
    faults = FaultList(
        Fault(
            f"no layer is named '{pattern}'",
            "train",
            suggestion=nearest(pattern, names),
            expected="a pattern such as '*' or 'classifier'",
        )
        for pattern in wanted
        if not any(fnmatchcase(name, pattern) for name in names)
    )
    faults.settle()
    scheme: Scheme = {
        i: part
        for i, name in enumerate(names)
        for pattern, part in wanted.items()
        if fnmatchcase(name, pattern)
    }
    return {i: p for i, p in scheme.items() if not (p == LayerUpdate() and not step.layers[i].bias)}


def _offered(step: TrainingStep, parts: list[LayerUpdate]) -> dict[int, list[LayerUpdate]]:
    """Return the trainable parts of each layer, of at least one channel and without duplicates."""
    offered: dict[int, list[LayerUpdate]] = {}
    for i, layer in enumerate(step.layers):
        seen: dict[int, LayerUpdate] = {}
        narrow: list[LayerUpdate] = []
        for part in parts:
            if part.rank:
                narrow.append(part)
            elif part.share == 0.0:
                narrow += [part] * bool(layer.bias)
            elif part.channels(layer.channels) > 0:
                seen.setdefault(part.channels(layer.channels), part)
        offered[i] = [*narrow, *seen.values()]
    return {i: listed for i, listed in offered.items() if listed}


def _gains(path: Path, memory: TrainingMemoryModel) -> dict[tuple[int, LayerUpdate], float]:
    """Read the gain of each (layer, part) from a CSV file."""
    faults = FaultList()
    rows = read_rows(path, noun="gain")
    missing = rows.missing(("layer", "part", "gain"))
    if missing:
        raise InputError(missing)
    names = {layer.name: i for i, layer in enumerate(memory.step.layers)}
    gains: dict[tuple[int, LayerUpdate], float] = {}
    for row in rows.rows:
        name = row.get("layer")
        gathered = FaultList()
        part = gathered.trying(part_of, row.get("part"), "part")
        faults += [rows.fault(row, "part", f.message, f.expected) for f in gathered]
        if name not in names:
            meant = nearest(name, names)
            expected = f"'{meant}'" if meant else "a layer of the network"
            faults.append(rows.fault(row, "layer", f"no layer is named '{name}'", expected))
        gain = rows.number(row, "gain", faults)
        if part is not None and name in names and gain is not None:
            gains[names[name], part] = gain
    faults.settle()
    return gains
