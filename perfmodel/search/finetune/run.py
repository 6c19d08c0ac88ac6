"""Fine-tuning under a limit of memory: what can be trained, or what a choice takes."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from perfmodel.cost.capacity import usable
from perfmodel.errors import Fault, InputError, input_error, nearest, one_of
from perfmodel.formats import Precision, as_precision
from perfmodel.measurements import read_rows
from perfmodel.optimise.deadline import Deadline
from perfmodel.optimise.solvers import with_solver
from perfmodel.predict import machine_for, static_for
from perfmodel.resolve import DeviceLike, WorkloadLike, precision_for, resolve
from perfmodel.schedule.target import bytes_of
from perfmodel.search.finetune.choose import best
from perfmodel.search.finetune.cost import costs_of
from perfmodel.search.finetune.memory import LayerUpdate, Scheme, TrainingMemoryModel, memory_of
from perfmodel.search.finetune.result import FineTuning, gains_of
from perfmodel.search.finetune.sequences import sequence_notes, sequences
from perfmodel.search.finetune.step import TrainingStep, step_of
from perfmodel.settings import FaultList, gathered
from perfmodel.workload.fuse import FusionRules
from perfmodel.workload.library import find
from perfmodel.workload.training import OPTIMIZERS
from perfmodel.workload.workload import Workload

#: What of a layer may be trained where nothing else is asked for.
PARTS = ("bias", "0.125", "0.25", "0.5", "1")


def part_of(text: str, path: str = "parts") -> LayerUpdate:
    """Return a part by its text.

    ``bias``, ``all``, ``weight`` (without the bias), ``lora8``, or a share of the input channels
    such as ``0.25`` or ``1/4``.

    Raises
    ------
    InputError
        It is none of these.
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
        f"'{text}' is no part of a layer",
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
    """Find what of a network can be trained within a memory, or what a given choice takes.

    Parameters
    ----------
    workload
        As for `predict`. A language model is trained on whole sequences, every token scored: in the
        phase prefill, which need not be set.
    device
        A device of the library, or a path to a spec file (.yaml). It may be left out where a limit
        is stated: there is memory then, but no time.
    limit
        Most memory for activations, gradients and whatever is trained: bytes, or a size with its
        unit ("256 KiB"). By default what the device's main memory has. Where that memory holds the
        weights too (a GPU), they count.
    train
        What is trained, instead of looking for the best: PATTERN=PART with commas, the last that
        matches a layer's name (``*=bias,classifier=all``), or a mapping. Parts: bias, all, weight,
        a share of the weight's input channels (0.25), lora8.
    parts
        What of a layer may be trained, for the search. By default bias,0.125,0.25,0.5,1.
    optimizer
        sgd, momentum or adam.
    gradients
        Format of gradients. By default that of the activations.
    late_updates
        All gradients of weights stay until the backward pass is over. By default each is applied
        once it is made.
    gains
        CSV file layer,part,gain: what training a part is worth (accuracy, say). By default the
        number of parameters.
    set, precision, runtime
        As for `predict`.
    solver
        Solver of integer programmes: highs, or any that PuLP finds here (cbc, gurobi, scip). One
        that is stopped proves nothing by itself.
    time_limit_s
        Seconds after which the best so far is returned, with a bound.

    Returns
    -------
    FineTuning

    Raises
    ------
    InputError
        Every fault of the input at once; a phase that generates tokens, which nothing is trained
        on. What does not fit is a result.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.finetune("mcunet_5fps", limit="256 KiB", train="*=bias").feasible
    True
    """
    faults = gathered()
    deadline = Deadline(max(0.0, time_limit_s))
    if optimizer not in OPTIMIZERS:
        faults.append(Fault(f"'{optimizer}' is no optimiser", "optimizer",
                            expected=one_of(OPTIMIZERS),
                            suggestion=nearest(optimizer, OPTIMIZERS)))  # fmt: skip
    if not (time_limit_s > 0):
        faults.append(Fault(f"{time_limit_s:g} s is no time", "time_limit_s",
                            expected="a number above zero"))  # fmt: skip
    size = None if limit is None else faults.trying(bytes_of, limit, "limit")
    bits = _bits(gradients, faults)
    wanted = _patterns(train, faults)
    texts = [t.strip() for t in parts.split(",")] if isinstance(parts, str) else list(parts)
    offered = [p for t in texts if (p := faults.trying(part_of, t)) is not None]
    if not texts:
        faults.append(Fault("there is no part to train", "parts", expected="such as bias,0.25,1"))
    found, machine, chosen = None, None, None
    phased = sequences(workload, set)
    notes = () if phased is set else ("no phase was set: it is trained in the phase prefill",)
    set = phased
    if device is None:
        found = faults.trying(_workload, workload, set)
        chosen = faults.trying(as_precision, precision or "int8")
    else:
        subject = faults.trying(resolve, workload, device, precision, runtime, set)
        if subject is not None:
            found = subject.workload
            machine = machine_for(found, subject.device, subject.runtime, None, subject.precision)
            chosen = precision_for(
                subject.precision, found, machine, static_for(machine, None).engine
            )
    faults.settle()
    assert found is not None
    assert chosen is not None
    notes += sequence_notes(found)
    found = found.scoring_every_token()
    fusion = FusionRules(True, False) if machine is None else static_for(machine, None).fusion
    step = step_of(found, chosen, fusion._replace(flash_attention=True), gradient_bits=bits)
    states, _ = OPTIMIZERS[optimizer]
    costs = None
    room = flash = flash_limit = None
    resident = False
    name = ""
    if machine is not None:
        name = machine.device.name
        costs = costs_of(found, machine, chosen, step, optimizer)
        setting = costs.forward._setting  # pyright: ignore[reportPrivateUsage]
        main = setting.levels[-1]
        room = float(usable(setting, main))
        resident = setting.weights_memory == main
        if not resident:
            flash = step.frozen_bytes
            flash_limit = float(usable(setting, setting.weights_memory))
    size = room if size is None else size if room is None else min(size, room)
    common: dict[str, Any] = {
        "step": step, "costs": costs, "workload": found.name, "device": name,
        "optimizer": optimizer, "states": states,
        "limit_bytes": size, "flash_bytes": flash, "flash_limit_bytes": flash_limit,
        "notes": notes,
    }  # fmt: skip
    if wanted is not None:
        scheme = _matched(step, wanted)
        memory = memory_of(step, {i: [p] for i, p in scheme.items()}, states=states,
                           late=late_updates, resident=resident)  # fmt: skip
        worth = gains_of(memory, {})
        gain = sum(worth[choice] for choice in scheme.items())
        return FineTuning(memory=memory, scheme=scheme, gain=gain, bound=gain, proved=True,
                          chosen=False, **common)  # fmt: skip
    if size is None:
        raise input_error("there is no limit", "limit", expected="a device, or such as 256 KiB")
    memory = memory_of(step, _offered(step, offered), states=states, late=late_updates,
                       resident=resident)  # fmt: skip
    given = {} if gains is None else _gains(Path(gains), memory)
    worth = gains_of(memory, given)
    scheme, bound, proved = best(memory, worth, float(size), deadline)
    gain = sum(worth[choice] for choice in (scheme or {}).items())
    return FineTuning(memory=memory, scheme=scheme or {}, gain=gain, bound=bound, proved=proved,
                      chosen=True, found=scheme is not None, **common)  # fmt: skip


def _workload(workload: WorkloadLike, settings: Mapping[str, Any] | None) -> Workload:
    facts = [name for name in settings or {} if "." in name]
    if facts:
        raise InputError(
            [Fault("is of which device?", name, expected="a device") for name in facts]
        )
    if isinstance(workload, Workload):
        return workload.bind(settings) if settings else workload
    return find(workload, settings or {})


def _bits(gradients: str | None, faults: FaultList) -> float | None:
    from perfmodel.formats import format_named

    if gradients is None:
        return None
    gathered = FaultList()
    found = gathered.trying(format_named, gradients)
    faults += [Fault(f.message, "gradients", expected=f.expected, suggestion=f.suggestion)
               for f in gathered]  # fmt: skip
    return None if found is None else float(found.bits)


def _patterns(
    train: Mapping[str, str] | str | None, faults: FaultList
) -> dict[str, LayerUpdate] | None:
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
    found = {
        p: part
        for p, text in pairs.items()
        if text.strip() and (part := faults.trying(part_of, text, "train"))
    }
    if not pairs:
        faults.append(Fault("nothing is trained", "train", expected="such as *=bias"))
    return found


def _matched(step: TrainingStep, wanted: Mapping[str, LayerUpdate]) -> dict[int, LayerUpdate]:
    """Return the part of each layer, by the last pattern that matches its name."""
    names = [layer.name for layer in step.layers]
    faults = [
        Fault(f"no layer is named '{pattern}'", "train", suggestion=nearest(pattern, names),
              expected="a pattern such as '*' or 'classifier'")
        for pattern in wanted if not any(fnmatchcase(name, pattern) for name in names)
    ]  # fmt: skip
    if faults:
        raise InputError(faults)
    found: Scheme = {
        i: part
        for i, name in enumerate(names)
        for pattern, part in wanted.items()
        if fnmatchcase(name, pattern)
    }
    return {i: p for i, p in found.items() if not (p == LayerUpdate() and not step.layers[i].bias)}


def _offered(step: TrainingStep, parts: list[LayerUpdate]) -> dict[int, list[LayerUpdate]]:
    """Return what may be trained of each layer, parts that are whole channels of it alone."""
    found: dict[int, list[LayerUpdate]] = {}
    for i, layer in enumerate(step.layers):
        seen: dict[int, LayerUpdate] = {}
        kept: list[LayerUpdate] = []
        for part in parts:
            if part.rank:
                kept.append(part)
            elif part.share == 0.0:
                kept += [part] * bool(layer.bias)
            elif part.channels(layer.channels) > 0:
                seen.setdefault(part.channels(layer.channels), part)
        found[i] = [*kept, *seen.values()]
    return {i: listed for i, listed in found.items() if listed}


def _gains(path: Path, memory: TrainingMemoryModel) -> dict[tuple[int, LayerUpdate], float]:
    """Read what training a part of a layer is worth."""
    faults: list[Fault] = []
    rows = read_rows(path, noun="gain")
    missing = rows.missing(("layer", "part", "gain"))
    if missing:
        raise InputError(missing)
    names = {layer.name: i for i, layer in enumerate(memory.step.layers)}
    found: dict[tuple[int, LayerUpdate], float] = {}
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
            found[names[name], part] = gain
    if faults:
        raise InputError(faults)
    return found
