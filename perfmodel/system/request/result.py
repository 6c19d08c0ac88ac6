"""Result of `request`: times, energy and memory, one row per configuration, with explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.prediction import Prediction
from perfmodel.prediction.basis import Basis, Interval, basis_of, factors, weakest_basis
from perfmodel.prediction.presentation import spread_lines, spread_of
from perfmodel.system.phases import PhasesResult
from perfmodel.table import ShownPicture, plain
from perfmodel.units import show

_COLUMNS = (
    "prompt",
    "generate",
    "batch",
    "ttft_s",
    "tpot_s",
    "latency_s",
    "prefill_tokens_per_s",
    "decode_tokens_per_s",
    "energy_j",
    "peak_memory_bytes",
    "feasible",
)


@dataclass(frozen=True, repr=False)
class Request(PhasesResult):
    """A prompt and the tokens generated after it, without concurrent requests.

    Every number is a float, or an array with the broadcast shape of the configurations.

    Attributes
    ----------
    prompt, generate, batch
        Tokens in and out of each sequence, and number of sequences in the batch.
    ttft_s
        Seconds until the first token, consisting of the prefill only. Fixed server time, scheduling
        and queueing are modelled in `perfmodel.system.serving.serve`.
    tpot_s
        Mean seconds per further output token over the growing context; of the next token if none
        is generated.
    first_step_s, last_step_s
        Seconds of the first and of the last decode step.
    latency_s
        ``ttft_s + (generate - 1) * tpot_s``.
    energy_j, prefill_energy_j, decode_energy_j
        Joules in total and of both phases; NaN if the device states none.
    peak_memory_bytes
        Peak of the bytes of weights, cache and activations.
    fits
        Whether the device's memory suffices from the prompt to the last token.
    prefill, last
        Predictions of the prefill and of the last decode step.
    evaluated
        Number of contexts evaluated for the sum.
    """

    noun = "request"
    columns = _COLUMNS
    axes = ("prompt", "generate", "batch")

    prompt: Value
    generate: Value
    batch: Value
    ttft_s: Value
    tpot_s: Value
    first_step_s: Value
    last_step_s: Value
    energy_j: Value
    prefill_energy_j: Value
    decode_energy_j: Value
    peak_memory_bytes: Value
    fits: Any
    prefill: Prediction
    last: Prediction
    evaluated: int = 0

    @property
    def latency_s(self) -> Value:
        """Seconds from the prompt to the last token: ``ttft_s + (generate - 1) * tpot_s``."""
        return self.ttft_s + (self.generate - 1) * self.tpot_s

    @property
    def decode_s(self) -> Value:
        """Seconds of all tokens after the first: ``(generate - 1) * tpot_s``."""
        return (self.generate - 1) * self.tpot_s

    @property
    def prefill_tokens_per_s(self) -> Value:
        """Prompt tokens processed per second of the prefill."""
        return self.batch * self.prompt / self.ttft_s

    @property
    def decode_tokens_per_s(self) -> Value:
        """Output tokens per second while decoding, over the batch."""
        return self.batch / self.tpot_s

    @property
    def tokens_per_s(self) -> Value:
        """Output tokens per second over the full request."""
        return self.batch * self.generate / self.latency_s

    @property
    def feasible(self) -> Any:
        """Whether the device's memory suffices, as `fits`."""
        return self.fits

    @cached_property
    def _basis(self) -> Basis:
        """The weaker basis of prefill and decode."""
        return weakest_basis(basis_of(each) for each in (self.prefill, self.last))

    @property
    def energy_basis(self) -> str:
        """The weaker basis of the energies of prefill and decode."""
        return weakest_basis(basis_of(each, "energy_j") for each in (self.prefill, self.last)).name

    def interval(self, metric: str = "latency_s", level: float = 0.9) -> Interval:
        """Return a time or the energy with its prediction interval.

        Parameters
        ----------
        metric
            ``latency_s``, ``ttft_s``, ``tpot_s`` or ``energy_j``.
        level
            Share of measurements that the interval covers, below 1.
        """
        of_energy = metric == "energy_j"
        measured = metric if of_energy else "latency_s"
        read, step = (factors(p, measured, level) for p in (self.prefill, self.last))
        parts = {
            "ttft_s": ((self.ttft_s, read),),
            "tpot_s": ((self.tpot_s, step),),
            "latency_s": ((self.ttft_s, read), (self.decode_s, step)),
            "energy_j": ((self.prefill_energy_j, read), (self.decode_energy_j, step)),
        }[metric]
        # Deviations of both phases are assumed fully correlated, so that interval ends add.
        low, high = (
            sum(amount * ends[i] for amount, ends in parts if np.any(amount)) for i in (0, 1)
        )
        basis = self.energy_basis if of_energy else self.basis
        return Interval(low, getattr(self, metric), high, level, basis)

    @property
    def _spread(self) -> Sequence[str]:
        """Metrics that have an interval."""
        times = ("latency_s", "ttft_s", "tpot_s")
        return times if np.isnan(self.energy_j).all() else (*times, "energy_j")

    @property
    def violations(self) -> tuple[str, ...]:
        """Memory violations of the last step, else of the prefill (single configuration)."""
        phase = self.last if not np.all(self.last.feasible) else self.prefill
        return tuple(map(str, phase.violations))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the model's file, on facts that were set, and on untrained contexts."""
        notes = (*self.prefill.notes, *self.prefill.machine.remarks)
        trained = self.last.workload.trained_context
        most = int(np.max(np.asarray(self.prompt) + self.generate))
        if not trained or most <= trained:
            return notes
        # The longest context stated by the file is reported once, here.
        notes = tuple(note for note in notes if str(trained) not in note)
        untrained = (
            f"prompt and answer together are {most} tokens, and the model is trained on "
            f"contexts up to {trained}: the costs hold, what it says may not"
        )
        return (*notes, untrained)

    def to_dict(self) -> dict[str, Any]:
        """Return names and numbers as a dictionary for JSON; unknown values are None."""
        numbers = {
            name: getattr(self, name)
            for name in (
                *_COLUMNS,
                "tokens_per_s",
                "decode_s",
                "first_step_s",
                "last_step_s",
                "prefill_energy_j",
                "decode_energy_j",
            )
        }
        return plain(
            {
                **_heading(self),
                **{n: np.reshape(v, -1) if self.shape else v for n, v in numbers.items()},
                "energy_boundary": self.prefill.energy_boundary,
                "energy_model": self.prefill.energy_model,
                "ttft_counts": "the prefill alone; `serve` adds a server's fixed time, a step and "
                "the wait of a queue",
                "notes": list(self.notes),
                "not_priced": list(self.prefill.not_priced),
                **spread_of(self),
            }
        )

    def pictures(self) -> list[ShownPicture]:
        """Return plots of both phases; for several configurations also the times over the axes."""
        axes = [name for name in self.axes if np.size(getattr(self, name)) > 1]
        return [
            ShownPicture("phases", "Where the time goes, prompt and answer."),
            *(
                ShownPicture("curves", f"{metric} over {axis}.", {"x": axis, "y": metric})
                for axis in axes[:1]
                for metric in ("ttft_s", "tpot_s", "latency_s")
            ),
        ]

    def explain(self, rows: int = 4) -> str:
        """Return the derivation: the sum of the parts, and the kernels of both phases.

        Parameters
        ----------
        rows
            Number of kernels of each phase that are explained.

        Raises
        ------
        ValueError
            There are several configurations.
        """
        steps = self.generate - 1
        times = {
            name: show(value, "time")
            for name, value in (
                ("ttft", self.ttft_s),
                ("tpot", self.tpot_s),
                ("first", self.first_step_s),
                ("last", self.last_step_s),
            )
        }
        contexts = f"{self.prompt + 1:g} to {self.prompt + max(steps, 1):g}"
        added = (
            f"latency = TTFT + (generate - 1) * TPOT = {times['ttft']} + {steps:g} * "
            f"{times['tpot']}"
        )
        mean = (
            f"TPOT is the mean of {steps:g} decode steps with contexts {contexts}: "
            f"{times['first']} for the first, {times['last']} for the last; "
            f"{self.evaluated} contexts were costed"
        )
        phases = [
            f"{name}:\n{phase.explain(rows)}"
            for name, phase in (("prefill", self.prefill), ("last decode step", self.last))
        ]
        return self.explained([f"{added}\n{mean}", *phases])

    @property
    def headline(self) -> str:
        """Workload, device, formats and software of the prediction."""
        names = _heading(self)
        sizes = "" if self.shape else f" (prompt={self.prompt:g}, generate={self.generate:g}"
        if sizes:
            sizes += f", batch={self.batch:g})" if self.batch != 1 else ")"
        return (
            f"{names['workload']}{sizes} on {names['device']}, {names['precision']}, "
            f"runtime {names['runtime']}"
        )

    def glance(self) -> list[tuple[str, str]]:
        """Return the metrics of a single request."""
        if self.shape:
            return []
        first, last = show(self.first_step_s, "time"), show(self.last_step_s, "time")
        out = [
            ("TTFT", f"{show(self.ttft_s, 'time')} (the prefill alone: no server, no queue)"),
            ("TPOT", f"{show(self.tpot_s, 'time')} ({first} to {last})"),
            ("latency", show(self.latency_s, "time")),
            *spread_lines(self),
            ("prefill", f"{self.prefill_tokens_per_s:.4g} tokens/s"),
            ("decode", f"{self.decode_tokens_per_s:.4g} tokens/s"),
        ]
        if not np.isnan(self.energy_j):
            parts = [
                show(joule, "energy") for joule in (self.prefill_energy_j, self.decode_energy_j)
            ]
            text = f"{show(self.energy_j, 'energy')} (prefill {parts[0]}, decode {parts[1]})"
            within = f"{self.interval('energy_j').show('energy')} ({self.energy_basis})"
            out.append((f"energy ({self.prefill.energy_boundary})", text))
            out.append(("  90 % in", within))
        weights, cache = show(self.last.weight_bytes, "bytes"), show(self.last.kv_bytes, "bytes")
        memory = f"{show(self.peak_memory_bytes, 'bytes')} (weights {weights}, cache {cache})"
        bottleneck = f"prefill {self.prefill.bottleneck}, decode {self.last.bottleneck}"
        return [*out, ("memory", memory), ("bottleneck", bottleneck)]

    def cautions(self) -> list[str]:
        """Return memory violations, and the notes."""
        lacking = () if self.shape or self.feasible else self.violations
        return [
            *(f"does not fit: {violation}" for violation in lacking),
            *(f"note: {note}" for note in self.notes),
        ]


def _heading(request: Request) -> Mapping[str, str]:
    """Return workload, device, precision and runtime."""
    prefill = request.prefill
    return {
        "workload": prefill.workload.name,
        "device": prefill.device,
        "precision": prefill.precision,
        "runtime": prefill.runtime,
    }
