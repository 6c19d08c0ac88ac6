"""What requests see of a server: time to first token, time per output token, and their parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.errors import Fault, input_error
from perfmodel.formats import Precision
from perfmodel.former import former_parameters
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, WorkloadLike, machine_of, resolve
from perfmodel.settings import gathered
from perfmodel.system.serving.result import Served
from perfmodel.system.serving.shard import Parallel, shard, split_faults
from perfmodel.system.sizes import checked_sizes
from perfmodel.workload.transformer_structure import TransformerStructure

#: Share of a device's memory that engines let weights and caches have: the default of vLLM's
#: `gpu_memory_utilization`. TensorRT-LLM's 0.9 is of what the weights leave (KvCacheConfig), which
#: is a little more.
MEMORY_SHARE = 0.9
#: Tokens of prompts that engines read in a step by default, on GPUs of data centres.
_STEP_TOKENS = 8192


@former_parameters(model="workload")
def serve(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    prompt: Value = 1024,
    generate: Value = 1024,
    concurrency: Value = 1,
    tensor: int = 1,
    data: int = 1,
    expert: int = 1,
    wide: bool = False,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
) -> Served:
    """Predict what requests see of an LLM server under a closed load.

    ``TPOT = step + prefill_share * (B - 1) / generate * prefill``: while a sequence decodes, each
    of the others sends a prompt every `generate` steps, and all wait for it.
    ``TTFT = waiting + first_token + prefill * (prompt_share + queued_share * B) + TPOT``, and
    ``waiting = N / X - (TTFT - waiting + (generate - 1) * TPOT)`` by Little's law, of `N` clients
    at a rate of `X` requests a second: nothing where memory has a place for each of them.

    Parameters
    ----------
    workload
        A transformer of the library, or a path: .yaml, .gguf, .safetensors (or its .index.json), a
        Hugging Face config.json. Decode steps are costed at the mean context. In Python also a
        `Workload`.
    device
        One device of the group: of the library, or a path to a spec file (.yaml).
    prompt
        Tokens in: a number; a list or a range (512,1024 or 2**9..2**12) asks for each. In Python an
        array, which broadcasts.
    generate
        Tokens out, likewise; lists are asked in every combination.
    concurrency
        Clients of the whole server in the mean, each with one request at a time, likewise. Those
        for which a device's memory has no place in the running batch wait.
    tensor
        Devices over which heads, hidden features and the vocabulary are split.
    data
        Groups of such devices, each with requests of its own.
    expert
        Devices over which the experts of a layer are dealt out.
    wide
        Attention, embedding and classifier stay in bf16 (checkpoints in four bits).
    set
        Facts of the device and fields of the structure, by name.
    precision, runtime, engine
        As for `predict`.

    Returns
    -------
    Served

    Raises
    ------
    InputError
        Every fault at once: unknown names, a model that is no transformer, a split that does not
        divide.

    Examples
    --------
    >>> import perfmodel as pm
    >>> s = pm.serve("llama_3_8b", "h100", runtime="vllm", concurrency=[1, 64])
    >>> s.table["concurrency"].tolist()
    [1.0, 64.0]
    """
    split = Parallel(tensor, data, expert)
    faults = gathered()
    checked_sizes({"prompt": prompt, "generate": generate, "concurrency": concurrency}, faults)
    faults.extend(split_faults(split))
    faults.extend(
        Fault(f"'{name}' is not set here", path=name, expected="prompt, generate, concurrency")
        for name in ("batch", "context", "phase", "past", "tensor") if name in (set or {})
    )  # fmt: skip
    subject = resolve(workload, device, precision, runtime, set, engine, faults=faults)
    model = subject.workload
    structure = model.structure
    if not isinstance(structure, TransformerStructure) or not structure.causal:
        raise input_error(
            f"'{model.name}' generates no tokens",
            path="workload",
            expected="a transformer that does, such as llama_3_8b",
        )
    if expert > 1 and structure.experts is None:
        raise input_error(f"'{model.name}' has no experts to deal out", path="expert", expected="1")
    found = machine_of(
        subject.device, subject.runtime, {}, model, subject.precision, subject.engine
    )
    options: dict[str, Any] = {"precision": subject.precision, "engine": subject.engine}
    asked = np.asarray(concurrency, dtype=float) / data
    context = np.asarray(prompt, dtype=float) + np.asarray(generate, dtype=float) / 2
    wanted = {"phase": "decode", "context": _plain(context)}
    one = predict(shard(model, split, {**wanted, "batch": 1}, wide=wide), found, **options)
    held = room(one.weight_bytes, one.kv_bytes, found)
    running = np.minimum(np.maximum(asked, 1.0), held)
    batch = _plain(running)
    decode = predict(shard(model, split, {**wanted, "batch": batch}, wide=wide), found, **options)
    together = prompts_together(running, prompt, generate)
    prefill = predict(
        shard(model, split, {"phase": "prefill", "batch": _plain(together), "prompt": prompt},
              wide=wide), found, **options,
    )  # fmt: skip
    layers = overheads(found, structure, split)
    moved = exchange_s(found, exchanged_bytes(structure, split, running * data), split)
    step = decode.latency_s + layers + moved
    read = exchange_s(found, exchanged_bytes(structure, split, prompt), split)
    # Prompts are read in pieces that fill a step, so that its fixed costs are paid by the decoding.
    prompt_s = _arithmetic(prefill) / together + read
    others = _fact(found, "prefill_share", 1.0) * (running - 1.0) / generate * prompt_s
    tpot = step + others
    queued = _fact(found, "prompt_share", 1.0) + _fact(found, "queued_share", 0.0) * running
    server = _fact(found, "first_token", 0.0)
    # Fewer clients than groups leave groups idle; they do not make further requests.
    clients = np.asarray(concurrency, dtype=float)
    served = np.minimum(running * data, clients)
    generated = np.asarray(generate, dtype=float)
    service = server + prompt_s * queued + tpot + (generated - 1.0) * tpot
    waiting = service * (clients / served - 1.0)
    ttft = waiting + server + prompt_s * queued + tpot
    parts = {
        "kernels": _arithmetic(decode), "layers": layers + _layers(decode),
        "sequences": decode.once_a_run_s, "exchange": moved, "prefills": others,
    }  # fmt: skip
    first = {"waiting": waiting, "server": server, "prompts": prompt_s * queued, "step": tpot}
    return Served(
        _plain(ttft), _plain(tpot), _plain(waiting), _plain(served * generated / service),
        _plain(step), _plain(prompt_s), batch, _plain(clients), _plain(served), _plain(prompt),
        _plain(generate),
        {name: _plain(value) for name, value in parts.items()},
        {name: _plain(value) for name, value in first.items()},
        decode, prefill,
    )  # fmt: skip


def prompts_together(running: Value, prompt: Value, generate: Value) -> Value:
    """Return the prompts that a step reads at once: those that arrive while it runs.

    Each of `running` sequences is followed by another prompt after `generate` steps, so that
    ``(running - 1) / generate`` of them arrive in a step. Where they are several they share one
    reading of the weights, up to the tokens of a step.
    """
    arriving = np.minimum((np.asarray(running) - 1.0) / generate, _STEP_TOKENS / np.asarray(prompt))
    return np.maximum(np.floor(arriving), 1.0)


def overheads(machine: Machine, structure: TransformerStructure, split: Parallel) -> Value:
    """Return seconds of a step's layers beside what `predict` counts.

    Layers with experts, with latent attention, split over devices or groups of them cost more
    kernels and more waiting than a plain one.
    """
    count = structure.layers
    dense = structure.experts.dense_layers if structure.experts is not None else count
    seconds = (count - dense) * _fact(machine, "per_layer_experts", 0.0)
    if structure.latent is not None:
        seconds = seconds + count * _fact(machine, "per_layer_latent", 0.0)
    if split.tensor > 1:
        seconds = seconds + count * machine["runtime.per_layer_parallel"]
    if split.data > 1:
        seconds = seconds + count * _fact(machine, "per_layer_groups", 0.0)
    return seconds


def exchanged_bytes(structure: TransformerStructure, split: Parallel, tokens: Value) -> Value:
    """Return bytes that a device sends for a pass of some tokens: two all-reduces a layer.

    A ring sends ``2 (G - 1) / G`` of the message (Thakur et al. 2005, IJHPCA 19(1)); dealing tokens
    out to experts and back moves as much. Activations have two bytes.
    """
    group = split.devices
    if group == 1:
        return 0.0
    message = np.asarray(tokens, dtype=float) * structure.width * 2.0
    return 2.0 * structure.layers * message * 2.0 * (group - 1) / group


def exchange_s(machine: Machine, moved: Value, split: Parallel) -> Value:
    """Return seconds of an exchange over the fastest link of a device."""
    if split.devices == 1:
        return 0.0
    rates = [machine[f"links.{link.name}.bandwidth"] for link in machine.device.links]
    if not rates:
        message = f"{machine.device.name} states no link between devices"
        raise input_error(message, path="links", expected="a link with a bandwidth")
    share = machine.get("runtime.kernels.all_reduce.bandwidth_share")
    return moved / (max(rates) * (1.0 if share is None else share))


def room(weights: Value, caches: Value, machine: Machine) -> Value:
    """Return the sequences of a group whose caches fit beside the weights (bytes); at least 1."""
    capacity = machine[f"memories.{machine.main_memory}.capacity"] * MEMORY_SHARE
    return np.maximum(np.floor((capacity - weights) / caches), 1.0)


def _arithmetic(found: Prediction) -> Value:
    """Return seconds of a pass without its layers' and its host's fixed costs."""
    return found.latency_s - _layers(found) - found.once_a_run_s


def _layers(found: Prediction) -> Value:
    """Return seconds that repeated layers cost beside their kernels, as the kinds count them."""
    machine, workload = found.machine, found.workload
    blocks = [block for block in workload.graph().blocks if block.layer]
    count = sum((workload.number(block.count) for block in blocks), 0.0)
    clocks, clock = machine["runtime.per_layer_clocks"], machine.get("engines.main.clock")
    return count * (machine["runtime.per_layer"] + (0.0 if clock is None else clocks / clock))


def _fact(machine: Machine, name: str, default: float) -> Value:
    found = machine.get(f"runtime.serving.{name}")
    return default if found is None else found


def _plain(value: Value) -> Value:
    """Return a float for an array of no dimension."""
    array = np.asarray(value, dtype=float)
    return array if array.ndim else float(array)
