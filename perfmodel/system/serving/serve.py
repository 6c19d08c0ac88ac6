"""Public function `serve`: latency and throughput of an LLM server with continuous batching.

A closed queueing model: every client sends its next request when the last has been answered. Each
engine step decodes one token of every running sequence and processes chunks of arriving prompts
(Agrawal et al., "Sarathi-Serve", OSDI 2024); sequences for which memory has no room wait, by
Little's law. Steps are predictions of one device's shard of the model, plus the exchanges between
devices and constants of the serving runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.energy import static_power_w
from perfmodel.deprecation import deprecated_parameters
from perfmodel.errors import Fault, input_error
from perfmodel.formats import Format, Precision
from perfmodel.frozen_model import FrozenModel
from perfmodel.hardware.machine import Machine
from perfmodel.hardware.runtime import Runtime
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import (
    DeviceLike,
    PredictionArguments,
    PredictionInputs,
    WorkloadLike,
    machine_of,
)
from perfmodel.settings import gathered
from perfmodel.system.serving.result import Served
from perfmodel.system.serving.shard import Parallel, shard, split_faults
from perfmodel.system.sizes import checked_sizes
from perfmodel.workload.transformer_structure import TransformerStructure

#: Share of a device's memory available to weights and caches: the default of vLLM's
#: `gpu_memory_utilization`. TensorRT-LLM's 0.9 is a share of the memory left by the weights
#: (KvCacheConfig), which is slightly more.
MEMORY_SHARE = 0.9
#: Default number of prompt tokens that engines process per step, on data centre GPUs.
_STEP_TOKENS = 8192


@deprecated_parameters(model="workload")
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
    ``TTFT = waiting + first_token + host + prefill * (prompt_share + queued_share * B) + TPOT``,
    where the host launches the kernels of a prompt (``host = host_per_kernel * kernels``), and
    ``waiting = N / X - (TTFT - waiting + (generate - 1) * TPOT)`` by Little's law, of `N` clients
    at a rate of `X` requests per second: nothing where memory has a place for each of them.

    Parameters
    ----------
    workload
        A language model of the library, or a path: .yaml, .gguf, .safetensors (or its .index.json),
        a Hugging Face config.json. Decode steps are costed at the mean context. Only transformers
        are split over devices; models with a state (Mamba, hybrids) are served by one. In Python
        also a `Workload`.
    device
        One of the devices that serve the model: a device of the library, or a path to a spec file
        (.yaml).
    prompt
        Number of prompt tokens. A list or a range (512,1024 or 2**9..2**12) evaluates every value.
        In Python an array, which broadcasts.
    generate
        Number of generated tokens, or a list or range of them. Lists of several options are
        combined as a grid.
    concurrency
        Mean number of clients of the whole server, each with one request at a time, or a list or
        range of them. Requests for which a device's memory has no room in the running batch wait.
    tensor
        Number of devices over which heads, hidden features and vocabulary are split.
    data
        Number of groups of such devices, each of which serves its own requests.
    expert
        Number of devices over which the experts of a layer are distributed.
    wide
        Keep attention, embedding and classifier in bf16, as 4-bit checkpoints do.
    set
        Facts of the device by path, and fields of the transformer's structure by name.
    precision, runtime, engine
        As for `predict`.

    Returns
    -------
    Served

    Raises
    ------
    InputError
        Every fault at once: unknown names, a model that generates no tokens, a split that does not
        divide.

    Examples
    --------
    >>> import perfmodel as pm
    >>> s = pm.serve("llama_3_8b", "h100", runtime="vllm", concurrency=[1, 64])
    >>> s.table["concurrency"].tolist()
    [1.0, 64.0]
    """
    return ServingArguments(**vars()).compute()


@dataclass(frozen=True, kw_only=True)
class ServingArguments(PredictionArguments):
    """Parameters of `serve`."""

    prompt: Value
    generate: Value
    concurrency: Value
    tensor: int
    data: int
    expert: int
    wide: bool

    def compute(self) -> Served:
        """Return the result of `serve`, with the same errors."""
        split = Parallel(self.tensor, self.data, self.expert)
        subject, structure = self._language_model(split)
        model = subject.workload
        machine = machine_of(
            subject.device, subject.runtime, {}, model, subject.precision, subject.engine
        )

        def predicted(**settings: Value | str) -> Prediction:
            shard_workload = shard(model, split, settings, wide=self.wide)
            return predict(
                shard_workload, machine, precision=subject.precision, engine=subject.engine
            )

        def exchange(tokens: Value) -> Value:
            return exchange_s(machine, exchanged_bytes(structure, split, tokens), split)

        constant = partial(_constant, machine)
        sizes = (self.prompt, self.generate, self.concurrency)
        prompt, generate, clients = (np.asarray(value, dtype=float) for value in sizes)
        running, decode = self._running(predicted, machine, prompt + generate / 2, clients)
        prompts_at_once = prompts_together(running, prompt, generate)
        prefill = predicted(phase="prefill", batch=_plain(prompts_at_once), prompt=self.prompt)
        layers = overheads(machine, structure, split, decode.setting.precision.weights)
        exchanged_s = exchange(running * self.data)
        sampling_s = _sampling_s(machine, running * getattr(structure, "vocabulary", 0.0))
        step = decode.latency_s + layers + exchanged_s + sampling_s
        # Prompts are processed in chunks that fill a step, so that the fixed costs of the step are
        # already paid by decoding.
        prompt_s = _arithmetic(prefill) / prompts_at_once + exchange(self.prompt)
        arriving = constant("prefill_share", 1.0) * (running - 1.0) / generate
        prefills_s = arriving * prompt_s
        tpot = step + prefills_s
        prompts = prompt_s * (constant("prompt_share", 1.0) + constant("queued_share") * running)
        host_s = constant("host_per_kernel") * _kernels(prefill)
        starts = {"server": constant("first_token"), "host": host_s}
        # With fewer clients than groups some groups are idle, without further requests.
        served = np.minimum(running * self.data, clients)
        service = sum(starts.values()) + prompts + tpot + (generate - 1.0) * tpot
        waiting = service * (clients / served - 1.0)
        first = {"waiting": waiting, **starts, "prompts": prompts, "step": tpot}
        ttft: Value = sum(first.values())
        rate = served * generate / service
        link_j = link_j_per_byte(machine, split)
        sent = exchanged_bytes(structure, split, running * self.data + arriving * prompt)
        joules = _step_energy_j(decode, structure, layers + exchanged_s, sampling_s)
        joules |= {"prefills": prefill.power_w * prefills_s, "exchange": sent * (link_j or 0.0)}
        energies = {name: joule * self.tensor / running for name, joule in joules.items()}
        times = (ttft, tpot, waiting, rate, sum(energies.values()), step, prompt_s)
        parts = {
            "kernels": _arithmetic(decode),
            "layers": layers + _layers(decode),
            "sequences": decode.once_a_run_s + sampling_s,
            "exchange": exchanged_s,
            "prefills": prefills_s,
        }
        return Served(
            *map(_plain, (*times, running, clients, served, prompt, generate)),
            parts=_plain_parts(parts),
            ttft_parts=_plain_parts(first),
            decode=decode,
            prefill=prefill,
            devices=float(split.devices),
            energy_parts=_plain_parts(energies),
            links_counted=link_j is not None,
        )

    def _running(
        self, predicted: Callable[..., Prediction], machine: Machine, context: Value, clients: Value
    ) -> tuple[Value, Prediction]:
        """Return the sequences in a running batch, and the prediction of its decode step."""
        at = {"phase": "decode", "context": _plain(context)}
        single = predicted(**at, batch=1)
        places = room(single.weight_bytes, single.kv_bytes, machine)
        running = np.minimum(np.maximum(clients / self.data, 1.0), places)
        return running, predicted(**at, batch=_plain(running))

    def _language_model(self, split: Parallel) -> tuple[PredictionInputs, Any]:
        """Return the inputs of the prediction, and the structure of the model."""
        faults = gathered()
        sizes = {name: getattr(self, name) for name in ("prompt", "generate", "concurrency")}
        checked_sizes(sizes, faults)
        faults.extend(split_faults(split))
        faults.extend(
            Fault(f"'{name}' is not set here", path=name, expected=", ".join(sizes))
            for name in ("batch", "context", "phase", "past", "tensor")
            if name in (self.set or {})
        )
        subject = faults.trying(self.resolved)
        faults.settle()
        assert subject is not None
        model = subject.workload
        structure = model.structure
        if not _generates(structure):
            raise input_error(
                f"'{model.name}' generates no tokens",
                path="workload",
                expected="a language model, such as llama_3_8b",
            )
        if self.expert > 1 and getattr(structure, "experts", None) is None:
            message = f"'{model.name}' has no experts to deal out"
            raise input_error(message, path="expert", expected="1")
        return subject, structure


def _sampling_s(machine: Machine, logits: Value) -> Value:
    """Return the seconds in which the sampler moves the logits of a step: bytes / bandwidth."""
    bandwidth = machine[f"memories.{machine.main_memory}.bandwidth"]
    return logits * _constant(machine, "bytes_per_logit") / bandwidth


def _step_energy_j(
    decode: Prediction, structure: Any, overheads_s: Value, sampling_s: Value
) -> dict[str, Value]:
    """Return the joules of one device for a decode step: of its kernels, waiting and sampling.

    ``E_decode + P_decode rounding + P_idle waits + P_memory sampling``: the device draws what its
    other kernels do while it rounds activations for weights scaled by blocks, idles while its host
    prepares a step and while groups exchange, and streams main memory while it samples. An engine
    that draws one power whenever it computes idles during the overheads that are part of the
    prediction, too. The power of kernels stands for an idle power that is not known.
    """
    facts, head = decode.machine.facts, f"engines.{decode.setting.engine_name}."
    idle_w = static_power_w(decode.setting)
    if idle_w is None:
        watts = decode.power_w
        return {
            "kernels": decode.energy_j,
            "waiting": watts * overheads_s,
            "sampling": watts * sampling_s,
        }
    rounding_s = _rounding_s(decode.machine, structure, decode.setting.precision.weights)
    waits_s = overheads_s - rounding_s
    if head + "running_power" not in facts:
        inside_s = _layers(decode) + decode.once_a_run_s
        return {
            "kernels": decode.power_w * (decode.latency_s - inside_s + rounding_s),
            "waiting": idle_w * (inside_s + waits_s),
            "sampling": decode.power_w * sampling_s,
        }
    main = f"memories.{decode.machine.main_memory}."
    per_byte = facts[main + "energy_per_byte"] + facts.get(head + "transport_energy", 0.0)
    streaming_w = idle_w + facts[head + "running_power"] + per_byte * facts[main + "bandwidth"]
    streaming_w = np.minimum(streaming_w, facts.get("power.busy", np.inf))
    return {
        "kernels": decode.energy_j + decode.power_w * rounding_s,
        "waiting": idle_w * waits_s,
        "sampling": streaming_w * sampling_s,
    }


def _generates(structure: Any) -> bool:
    """Return whether a structure has the phases of a server: prefill and decode."""
    if not isinstance(structure, FrozenModel) or "phase" not in type(structure).model_fields:
        return False
    phases = get_args(type(structure).model_fields["phase"].annotation)
    return {"prefill", "decode"} <= {*phases} and getattr(structure, "causal", True)


def prompts_together(running: Value, prompt: Value, generate: Value) -> Value:
    """Return the number of prompts that a step processes together: arrivals during a step.

    Each of `running` sequences is followed by another prompt after `generate` steps, so that
    ``(running - 1) / generate`` of them arrive per step. Several prompts share one read of the
    weights, up to the token limit of a step.
    """
    arriving = np.minimum((np.asarray(running) - 1.0) / generate, _STEP_TOKENS / np.asarray(prompt))
    return np.maximum(np.floor(arriving), 1.0)


def overheads(machine: Machine, structure: Any, split: Parallel, weights: Format) -> Value:
    """Return the seconds of a step's layers in addition to those counted by `predict`.

    Layers with experts, with latent attention, with block-scaled weights, or split over devices or
    groups have additional kernels and synchronisation: for each of these features, the number of
    such layers times a constant of the runtime in seconds per layer. Other language models than
    transformers have none of them.
    """
    if not isinstance(structure, TransformerStructure):
        return 0.0
    count = structure.layers
    dense = structure.experts.dense_layers if structure.experts is not None else count
    seconds = (count - dense) * _constant(machine, "per_layer_experts")
    if structure.latent is not None:
        seconds = seconds + count * _constant(machine, "per_layer_latent")
    seconds = seconds + _rounding_s(machine, structure, weights)
    if split.tensor > 1:
        seconds = seconds + count * machine["runtime.per_layer_parallel"]
    if split.data > 1:
        seconds = seconds + count * _constant(machine, "per_layer_groups")
    return seconds


def _rounding_s(machine: Machine, structure: Any, weights: Format) -> Value:
    """Return the seconds of a step in which activations are rounded for weights in fp8 blocks."""
    blocks = (weights.family, weights.compute) == ("block_float", "fp8")
    if not blocks or not isinstance(structure, TransformerStructure):
        return 0.0
    return structure.layers * _constant(machine, "per_layer_blocks")


def exchanged_bytes(structure: TransformerStructure, split: Parallel, tokens: Value) -> Value:
    """Return the bytes that a device sends for a pass of some tokens: two all-reduces per layer.

    ``2 layers * tokens * width * 2 bytes * 2 (G - 1) / G``

    A ring all-reduce over G devices sends ``2 (G - 1) / G`` of the message (Thakur et al. 2005,
    IJHPCA 19(1)); the all-to-all exchange with experts moves as much. Activations have two bytes.
    """
    group = split.devices
    if group == 1:
        return 0.0
    message = np.asarray(tokens, dtype=float) * structure.width * 2.0
    return 2.0 * structure.layers * message * 2.0 * (group - 1) / group


def exchange_s(machine: Machine, sent_bytes: Value, split: Parallel) -> Value:
    """Return the seconds of an exchange over the fastest link of a device.

    ``sent_bytes / (bandwidth * bandwidth_share)``, with the share that an all-reduce sustains.
    """
    if split.devices == 1:
        return 0.0
    rate = machine[f"links.{_fastest_link(machine)}.bandwidth"]
    share = machine.get("runtime.kernels.all_reduce.bandwidth_share")
    return sent_bytes / (rate * (1.0 if share is None else share))


def link_j_per_byte(machine: Machine, split: Parallel) -> Value:
    """Return the joules of a byte sent over the link of `exchange_s`; None if none are stated."""
    if split.devices == 1:
        return 0.0
    return machine.get(f"links.{_fastest_link(machine)}.energy_per_byte")


def _fastest_link(machine: Machine) -> str:
    """Return the name of the link with the largest bandwidth.

    Raises
    ------
    InputError
        The device states no link.
    """
    rates = {link.name: machine[f"links.{link.name}.bandwidth"] for link in machine.device.links}
    if not rates:
        message = f"{machine.device.name} states no link between devices"
        raise input_error(message, path="links", expected="a link with a bandwidth")
    return max(rates, key=lambda name: float(np.max(rates[name])))


def room(weights: Value, caches: Value, machine: Machine) -> Value:
    """Return the number of sequences whose caches fit in addition to the weights; at least 1.

    ``floor((MEMORY_SHARE * (capacity - reserved) - weights) / caches)``, all in bytes, `caches` per
    sequence.
    """
    main = f"memories.{machine.main_memory}"
    usable = (machine[f"{main}.capacity"] - machine[f"{main}.reserved"]) * MEMORY_SHARE
    return np.maximum(np.floor((usable - weights) / caches), 1.0)


def _arithmetic(prediction: Prediction) -> Value:
    """Return the seconds of a pass without the fixed costs of its layers and of its host."""
    return prediction.latency_s - _layers(prediction) - prediction.once_a_run_s


def _kernels(prediction: Prediction) -> Value:
    """Return the number of kernels of a run."""
    table, _ = prediction.opened
    return prediction.shaped(table.count.sum(axis=0))


def _layers(prediction: Prediction) -> Value:
    """Return the seconds of repeated layers in addition to their kernels, by the hardware model."""
    machine, workload = prediction.machine, prediction.workload
    blocks = [block for block in workload.graph().blocks if block.layer]
    count = sum((workload.number(block.count) for block in blocks), 0.0)
    clocks, clock = machine["runtime.per_layer_clocks"], machine.get("engines.main.clock")
    return count * (machine["runtime.per_layer"] + (0.0 if clock is None else clocks / clock))


def _constant(machine: Machine, name: str, default: float = 0.0) -> Value:
    """Return a constant of the serving runtime, or a default."""
    value = machine.get(f"runtime.serving.{name}")
    return default if value is None else value


def _plain_parts(parts: Mapping[str, Value]) -> dict[str, Value]:
    """Return parts with floats for arrays without dimensions."""
    return {name: _plain(value) for name, value in parts.items()}


def _plain(value: Value) -> Value:
    """Return a float for an array without dimensions."""
    array = np.asarray(value, dtype=float)
    return array if array.ndim else float(array)
