"""Public function `request`: time to first token, time per output token and energy of a request.

A request without concurrent ones is a prefill of the prompt, which gives the first token, followed
by a decode step for each further token. Both phases are predictions of `predict`; the steps are
summed over their growing contexts (`perfmodel.system.request.contexts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from perfmodel.arrays import Value, is_array
from perfmodel.deprecation import deprecated_parameters
from perfmodel.errors import Fault, InputError, input_error
from perfmodel.formats import Precision
from perfmodel.hardware.runtime import Runtime
from perfmodel.predict import predict
from perfmodel.prediction import Prediction
from perfmodel.resolve import DeviceLike, PredictionArguments, PredictionInputs, WorkloadLike
from perfmodel.settings import FaultList, gathered
from perfmodel.system.request.contexts import ContextSums, Floats
from perfmodel.system.request.result import Request
from perfmodel.system.sizes import checked_sizes
from perfmodel.workload.workload import Workload

Integers: TypeAlias = npt.NDArray[np.int64]

#: Maximum number of configurations per call.
_MOST: Final = 1_000_000


@deprecated_parameters(model="workload")
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
        Number of prompt tokens. A list or a range (512,2048 or 2**9..2**12) evaluates every value.
        In Python an array, which broadcasts.
    generate
        Number of generated tokens, or a list or range of them. Lists of several options are
        combined as a grid.
    set
        Facts of the device by path, and fields of the model's structure by name, one value each.
    batch
        Number of sequences of this length that run together, or a list or range of them.

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
    return RequestArguments(**vars()).compute()


@dataclass(frozen=True, kw_only=True)
class RequestArguments(PredictionArguments):
    """Parameters of `request`."""

    prompt: Value
    generate: Value
    batch: Value

    def compute(self) -> Request:
        """Return the result of `request`, with the same errors."""
        faults = gathered()
        named = {"prompt": self.prompt, "generate": self.generate, "batch": self.batch}
        sizes = checked_sizes(named, faults, integers=True, most=_MOST)
        settings = self._settings(faults)
        prefill = faults.trying(self._phase, "prefill", settings)
        faults.settle()
        assert prefill is not None
        decode = self._phase("decode", settings)
        shape = np.broadcast_shapes(*(size.shape for size in sizes.values()))
        prompts, generated, batches = (
            np.broadcast_to(size.astype(np.int64), shape).reshape(-1) for size in sizes.values()
        )

        def points(values: npt.NDArray[Any]) -> Value:
            return values if shape else int(values[0])

        def shaped(values: npt.NDArray[Any]) -> Value:
            return values.reshape(shape) if shape else values[0].item()

        steps = generated - 1
        ends = prompts + np.maximum(steps, 1)
        prefill_run = _cost(prefill, batch=points(batches), prompt=points(prompts))
        last = _cost(decode, batch=points(batches), context=points(ends))
        decode_cost, first_step_s, evaluated = _decode_sums(decode, prompts, ends, batches)
        prefill_cost = _latency_and_energy(prefill_run, len(prompts))
        # A single token needs no decode step: its TPOT is that of the next token.
        decode_energy_j = np.where(steps > 0, decode_cost[1], 0.0)
        size = np.maximum(prefill_run.peak_memory_bytes, last.peak_memory_bytes)
        fits = np.logical_and(prefill_run.feasible, last.feasible)
        columns = (
            prompts,
            generated,
            batches,
            prefill_cost[0],
            decode_cost[0] / np.maximum(steps, 1),
            first_step_s,
            _latency_and_energy(last, len(prompts))[0],
            prefill_cost[1] + decode_energy_j,
            prefill_cost[1],
            decode_energy_j,
            *(np.broadcast_to(value, len(prompts)) for value in (size, fits)),
        )
        return Request(*map(shaped, columns), prefill=prefill_run, last=last, evaluated=evaluated)

    def _settings(self, faults: FaultList) -> dict[str, Any]:
        """Return the settings without those that a request lacks, which are reported as faults."""
        settings = dict(self.set or {})
        for name in ("prompt", "generate", "batch", "context", "phase", "past"):
            if name in settings:
                del settings[name]
                is_argument = hasattr(self, name)
                expected = (
                    "an argument of its own"
                    if is_argument
                    else "nothing: a request has both phases"
                )
                faults.append(Fault(f"'{name}' is not set here", path=name, expected=expected))
        expected = "one value; prompt, generate and batch take arrays"
        faults.extend(
            Fault("varies over points", path=name, expected=expected)
            for name, value in settings.items()
            if is_array(value) or isinstance(value, list)
        )
        return settings

    def _phase(
        self, phase: Literal["prefill", "decode"], settings: Mapping[str, Any]
    ) -> PredictionInputs:
        """Return the inputs of the prediction of a phase.

        Raises
        ------
        InputError
            Faults of names and settings, or a model without the phase.
        """
        if isinstance(self.workload, Workload):
            raise input_error(
                "is a workload of one phase",
                path="workload",
                expected="a name or a path, for both phases",
            )
        arguments = replace(self, set=settings)
        network = arguments.resolved().workload
        if network.unit == "tokens":
            with suppress(InputError):
                inputs = replace(arguments, set={**settings, "phase": phase}).resolved()
                free = {"prefill": "prompt", "decode": "context"}[phase]
                if {free, "batch"} <= inputs.workload.parameters.keys():
                    return inputs
                network = inputs.workload
        raise input_error(
            f"'{network.name}' reads no prompt and generates no tokens",
            path="workload",
            expected="a language model, such as llama_3_8b or a .gguf file",
        )


def _decode_sums(
    decode: PredictionInputs, prompts: Integers, ends: Integers, batches: Integers
) -> tuple[Floats, Floats, int]:
    """Return sums over the contexts, seconds of the first step, and the number of evaluations.

    Sums are seconds and joules, ``(2, configurations)``; evaluations are counted in contexts.
    """
    sums, first_step_s = np.zeros((2, len(prompts))), np.zeros(len(prompts))
    evaluated = 0
    for count in np.unique(batches).tolist():
        rows = np.flatnonzero(batches == count)
        ranges = list(zip((prompts[rows] + 1).tolist(), ends[rows].tolist(), strict=True))

        def costs(contexts: Floats, count: int = count) -> Floats:
            return _latency_and_energy(_cost(decode, batch=count, context=contexts), len(contexts))

        contexts = ContextSums(costs, ranges)
        evaluated += contexts.evaluated
        sums[:, rows] = np.array([contexts.between(*bounds) for bounds in ranges]).T
        first_step_s[rows] = costs(np.array([low for low, _ in ranges], dtype=float))[0]
    return sums, first_step_s, evaluated


def _cost(subject: PredictionInputs, **sizes: Any) -> Prediction:
    """Return the prediction of a phase at some sizes."""
    return predict(**subject._replace(workload=subject.workload.bind(sizes))._asdict())


def _latency_and_energy(prediction: Prediction, points: int) -> Floats:
    """Return latency and energy of all points, ``(2, points)``."""
    return np.array(
        [
            np.broadcast_to(np.asarray(value, dtype=float).reshape(-1), points)
            for value in (prediction.latency_s, prediction.energy_j)
        ]
    )
