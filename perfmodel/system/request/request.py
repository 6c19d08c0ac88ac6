"""Predict a whole request: time to first token, time per token over the growing context, energy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, is_array
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.formats import Precision
from perfmodel.former import former_parameters
from perfmodel.hardware.runtime import Runtime
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, PredictionInputs, WorkloadLike, resolve
from perfmodel.settings import gathered
from perfmodel.system.request.contexts import ContextSums, Floats
from perfmodel.system.request.result import Request
from perfmodel.system.sizes import checked_sizes
from perfmodel.workload.workload import Workload

#: Questions at a time.
_MOST: Final = 1_000_000


@former_parameters(model="workload")
def request(
    workload: WorkloadLike,
    device: DeviceLike,
    *,
    prompt: Value = 1024,
    generate: Value = 256,
    set: Mapping[str, Any] | None = None,
    batch: Value = 1,
    precision: str | Precision | None = None,
    runtime: str | Path | Runtime | None = None,
    engine: str | None = None,
) -> Request:
    """Predict a request from its prompt to its last token.

    The first token comes out of the prefill, the others of ``generate - 1`` decode steps with
    contexts ``prompt + 1`` to ``prompt + generate - 1``. Their costs are summed over the contexts
    as they grow, not taken at the mean context.

    Parameters
    ----------
    workload
        A language model of the library, or a path: .yaml, .gguf, .safetensors (or its .index.json),
        a Hugging Face config.json.
    device, precision, runtime, engine
        As for `predict`.
    prompt
        Tokens in: a whole number; a list or a range (512,2048 or 2**9..2**12) asks for each. In
        Python an array, which broadcasts.
    generate
        Tokens out, likewise; lists are asked in every combination.
    set
        Facts of the device and fields of the structure by name, one value each.
    batch
        Sequences of that length that run together, likewise.

    Returns
    -------
    Request

    Raises
    ------
    InputError
        Unknown names, numbers that count nothing, a model that generates no tokens: all at once.
        What does not fit is a result.

    Examples
    --------
    >>> import perfmodel as pm
    >>> r = pm.request("llama_3_8b", "apple_m2_max", prompt=2048, generate=128)
    >>> r.latency_s > r.ttft_s
    True
    """
    faults = gathered()
    sizes = checked_sizes(
        {"prompt": prompt, "generate": generate, "batch": batch}, faults, whole=True, most=_MOST
    )
    settings = dict(set or {})
    for name in ("prompt", "generate", "batch", "context", "phase", "past"):
        if name in settings:
            del settings[name]
            faults.append(Fault(f"'{name}' is not set here", path=name,
                                expected="an argument of its own" if name in sizes
                                else "nothing: a request has both phases"))  # fmt: skip
    faults.extend(
        Fault("varies over points", path=name, expected="one value; prompt, generate and batch "
              "take arrays")
        for name, value in settings.items() if is_array(value) or isinstance(value, list)
    )  # fmt: skip
    first = faults.trying(
        _subject, workload, device, precision, runtime, engine, settings, "prefill"
    )
    faults.settle()
    assert first is not None
    shape = np.broadcast_shapes(*(size.shape for size in sizes.values()))
    step = _subject(workload, device, precision, runtime, engine, settings, "decode")
    prompts, generated, batches = (
        np.broadcast_to(size.astype(np.int64), shape).reshape(-1) for size in sizes.values()
    )
    reading = _cost(first, batch=batches if shape else int(batches[0]),
                    prompt=prompts if shape else int(prompts[0]))  # fmt: skip
    steps = generated - 1
    ends = prompts + np.maximum(steps, 1)
    last = _cost(step, batch=batches if shape else int(batches[0]),
                 context=ends if shape else int(ends[0]))  # fmt: skip
    decode = np.zeros((2, len(prompts)))
    opening = np.zeros((2, len(prompts)))
    evaluated = 0
    for count in np.unique(batches).tolist():
        at = np.flatnonzero(batches == count)
        ranges = list(zip((prompts[at] + 1).tolist(), ends[at].tolist(), strict=True))

        def costs(contexts: Floats, count: int = count) -> Floats:
            return _latency_and_energy(_cost(step, batch=count, context=contexts), len(contexts))

        sums = ContextSums(costs, ranges)
        evaluated += sums.evaluated
        decode[:, at] = np.array([sums.between(*one) for one in ranges]).T
        opening[:, at] = costs(np.array([low for low, _ in ranges], dtype=float))
    read = _latency_and_energy(reading, len(prompts))
    # Of a single token no step is taken: its TPOT is what the next one would take.
    spent = np.where(steps > 0, decode[1], 0.0)
    mean = decode[0] / np.maximum(steps, 1)

    def shaped(values: npt.NDArray[Any]) -> Value:
        return values.reshape(shape) if shape else values[0].item()

    final = _latency_and_energy(last, len(prompts))[0]
    most = np.maximum(
        *(np.broadcast_to(p.peak_memory_bytes, len(prompts)) for p in (reading, last))
    )
    fits = np.logical_and(*(np.broadcast_to(p.feasible, len(prompts)) for p in (reading, last)))
    return Request(
        *(shaped(values) for values in (
            prompts, generated, batches, read[0], mean, opening[0], final,
            read[1] + spent, read[1], spent, most, fits,
        )),
        prefill=reading, last=last, evaluated=evaluated,
    )  # fmt: skip


def _cost(subject: PredictionInputs, **sizes: Any) -> Prediction:
    return predict(**subject._replace(workload=subject.workload.bind(sizes))._asdict())


def _latency_and_energy(found: Prediction, points: int) -> Floats:
    return np.array([
        np.broadcast_to(np.asarray(value, dtype=float).reshape(-1), points)
        for value in (found.latency_s, found.energy_j)
    ])  # fmt: skip


def _subject(
    model: WorkloadLike, device: DeviceLike, precision: str | Precision | None,
    runtime: str | Path | Runtime | None, engine: str | None, settings: Mapping[str, Any],
    phase: str,
) -> PredictionInputs:  # fmt: skip
    """Return what is predicted in a phase.

    Raises
    ------
    InputError
        Faults of the names and settings; a model without the phase.
    """
    if isinstance(model, Workload):
        raise input_error(
            "is a workload of one phase",
            path="workload",
            expected="a name or a path, for both phases",
        )
    free = {"prefill": "prompt", "decode": "context"}[phase]
    plain = resolve(model, device, precision, runtime, settings, engine=engine)
    if plain.workload.unit != "tokens":
        raise InputError(_no_tokens(plain.workload))
    try:
        found = resolve(
            model, device, precision, runtime, {**settings, "phase": phase}, engine=engine
        )
    except InputError:
        raise InputError(_no_tokens(plain.workload)) from None
    if not {free, "batch"} <= found.workload.parameters.keys():
        raise InputError(_no_tokens(found.workload))
    return found


def _no_tokens(workload: Workload) -> Fault:
    return Fault(f"'{workload.name}' reads no prompt and generates no tokens", path="workload",
                 expected="a language model, such as llama_3_8b or a .gguf file")  # fmt: skip
