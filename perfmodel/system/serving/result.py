"""Result of `serve`: times seen by clients, their parts, and their prediction intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from perfmodel.arrays import Value
from perfmodel.cost.run_cost import RunCost
from perfmodel.evidence import RATES, SERVED
from perfmodel.prediction import Prediction
from perfmodel.prediction.basis import Basis, Interval, basis_of, factors, weakest_basis
from perfmodel.prediction.explain_ownership import cost_lines
from perfmodel.prediction.ownership_intervals import basis_of_costs, cost_interval
from perfmodel.prediction.presentation import spread_lines, spread_of
from perfmodel.system.phases import PhasesResult
from perfmodel.table import ShownPicture, plain
from perfmodel.units import show

#: Metrics of a load: attributes, columns of its table, and keys of its JSON.
_COLUMNS = (
    "ttft_s",
    "admitted_ttft_s",
    "tpot_s",
    "waiting_s",
    "tokens_per_s",
    "energy_per_token_j",
    "step_s",
    "prefill_s",
    "running",
    "concurrency",
    "served",
    "prompt",
    "generate",
    "feasible",
)
#: Attributes, and keys of its JSON.
_COSTS = ("usd_per_million_tokens", "carbon_kg_per_million_tokens")
#: Phase and class of workloads whose residuals an energy per token has.
_DECODE = {"decode": SERVED["decode"]}


@dataclass(frozen=True, repr=False)
class Served(PhasesResult):
    """A server under a closed load: each of `concurrency` clients sends its next request at once.

    Every number is a float, or an array with the broadcast shape of the inputs.

    Attributes
    ----------
    ttft_s, tpot_s
        Time to first token and time per further output token, as seen by a client: from the request
        to the first token, and between consecutive tokens.
    waiting_s
        Part of `ttft_s`: mean wait for admission to the running batch, zero while memory suffices
        for all clients. A closed load of `N` clients of which `B` run at a rate `X` of requests per
        second has a residence time of ``N / X`` (Little 1961), of which ``B / X`` is service:
        ``waiting_s = (N - B) / X``.
    tokens_per_s
        Output tokens per second of the whole group of devices.
    energy_per_token_j
        Joules of all devices for an output token, with the share of prompts, while the running
        batch is full: the energy of `predict` for the kernels, idle power while hosts and exchanges
        take time (the kernels' if the device states none), and the bytes that links carry.
        `energy_model` says what is left out; NaN if unknown.
    step_s, prefill_s
        Seconds of a decode step of the running batch, and of one prompt without a batch.
    running
        Sequences in the running batch of a group, limited by memory.
    concurrency
        Clients of the full server.
    served
        Requests of the full server that run at a time; the other clients wait.
    parts
        Parts of `tpot_s`: ``kernels``, ``layers``, ``sequences``, ``exchange``, ``prefills``.
    ttft_parts
        Parts of `ttft_s`: ``waiting``, ``server`` (fixed time of the engine: tokenisation,
        scheduler), ``host`` (launches of the prompt's kernels), ``prompts`` (the own prompt and
        those queued before it), ``step`` (a decode step).
    prompt, generate
        Tokens in and out of a request.
    decode, prefill
        Predictions of one device that the times are derived from.
    devices
        Number of devices.
    energy_parts
        Parts of `energy_per_token_j`: ``kernels`` of the decode step, ``waiting``, ``sampling``,
        ``prefills``, ``exchange``.
    links_counted
        Whether the energy of exchanges is known.
    """

    noun = "served"
    columns = _COLUMNS
    axes = ("prompt", "generate", "concurrency")
    attributes = (
        *(*_COLUMNS, *_COSTS, "parts", "ttft_parts", "notes"),
        *("energy_parts", "energy_model", "energy_boundary"),
    )

    ttft_s: Value
    tpot_s: Value
    waiting_s: Value
    tokens_per_s: Value
    energy_per_token_j: Value
    step_s: Value
    prefill_s: Value
    running: Value
    concurrency: Value
    served: Value
    prompt: Value
    generate: Value
    parts: Mapping[str, Value]
    ttft_parts: Mapping[str, Value]
    decode: Prediction
    prefill: Prediction
    devices: float = 1.0
    energy_parts: Mapping[str, Value] = field(default_factory=dict[str, Value])
    links_counted: bool = True

    @property
    def energy_model(self) -> str:
        """Model of the energy of kernels, and what is left out."""
        return f"{self.decode.energy_model}; {', '.join(self._left_out)} not counted"

    @property
    def _left_out(self) -> list[str]:
        """What the energy leaves out beside the omissions of the device's own."""
        if self.devices == 1:
            return ["hosts"]
        return ["hosts", "switches" if self.links_counted else "links between devices"]

    @property
    def energy_boundary(self) -> str:
        """Boundary of the energy, that of each device."""
        return self.decode.energy_boundary

    @property
    def token_cost(self) -> RunCost:
        """Cost and emissions of one output token, with the share of its prompt."""
        seconds = self.devices / self.tokens_per_s
        return self.decode.cost_of(seconds, self.energy_per_token_j)

    @property
    def usd_per_million_tokens(self) -> Value:
        """Cost of a million output tokens, US dollars: devices and their electricity."""
        return 1e6 * self.token_cost.cost_usd

    @property
    def carbon_kg_per_million_tokens(self) -> Value:
        """Emissions of a million output tokens, kg of CO2 equivalent."""
        return 1e6 * self.token_cost.carbon_kg

    @property
    def feasible(self) -> Any:
        """Whether a device holds its part of the weights, one sequence's cache and a prompt."""
        fits = np.logical_and(self.decode.feasible, self.prefill.feasible)
        return bool(fits) if np.ndim(fits) == 0 else fits

    @property
    def notes(self) -> tuple[str, ...]:
        """Scope of the times, and number of waiting clients (fullest server)."""
        counted = (
            "TTFT counts the server's fixed time, the prompts and a decode step, and the wait for "
            "a place; `request` counts the prefill of one prompt alone"
        )
        at = np.unravel_index(np.argmax(self.waiting_s), np.shape(self.waiting_s))
        waiting, served, clients = (
            float(np.broadcast_to(value, np.shape(self.waiting_s))[at])
            for value in (self.waiting_s, self.served, self.concurrency)
        )
        if waiting <= 0.0:
            return (counted,)
        queue = (
            f"memory holds {served:,.7g} of {clients:,.7g} requests and {clients - served:,.7g} "
            f"wait, on average {show(waiting, 'time')} each (Little's law)"
        )
        return (queue, counted)

    @property
    def admitted_ttft_s(self) -> Value:
        """Time to first token from admission to the running batch, without the wait for it."""
        return sum(seconds for part, seconds in self.ttft_parts.items() if part != "waiting")

    @cached_property
    def _basis(self) -> Basis:
        """The weaker basis of prefill and decode."""
        return weakest_basis(
            basis_of(each, metric, SERVED)
            for each, metric in ((self.decode, "tpot_s"), (self.prefill, "ttft_s"))
        )

    def interval(self, metric: str = "tpot_s", level: float = 0.9) -> Interval:
        """Return a time, the rate, an energy or a cost with its prediction interval.

        Parameters
        ----------
        metric
            ``ttft_s``, ``admitted_ttft_s``, ``tpot_s``, ``tokens_per_s``, ``energy_per_token_j``,
            ``usd_per_million_tokens`` or ``carbon_kg_per_million_tokens``.
        level
            Share of measurements that the interval covers, below 1.
        """
        value = getattr(self, metric)
        if metric in _COSTS:
            time, energy = (self.interval(each, level) for each in ("tpot_s", "energy_per_token_j"))
            stated = basis_of_costs(self.decode, metric)
            return cost_interval(self.token_cost, metric, value, time, energy, stated)
        if metric == "energy_per_token_j":
            low, high = factors(self.decode, "energy_j", level, _DECODE)
            basis = basis_of(self.decode, "energy_j", _DECODE).name
            return Interval(value * low, value, value * high, level, basis)
        first = metric in ("ttft_s", "admitted_ttft_s")
        low, high = factors(
            self.prefill if first else self.decode, "ttft_s" if first else "tpot_s", level, SERVED
        )
        if metric in RATES:
            low, high = 1.0 / high, 1.0 / low
        return Interval(value * low, value, value * high, level, self.basis)

    @property
    def _spread(self) -> Sequence[str]:
        """Metrics that have an interval, and are known."""
        known = [name for name in _COSTS if not np.isnan(getattr(self, name)).all()]
        energy = [] if np.isnan(self.energy_per_token_j).all() else ["energy_per_token_j"]
        return ("ttft_s", "tpot_s", "tokens_per_s", *energy, *known)

    @property
    def headline(self) -> str:
        """Workload, device, precision and runtime."""
        one = self.decode
        return f"{one.workload.name} on {one.device}, {one.precision}, runtime {one.runtime}"

    def _energy_text(self) -> str:
        """Return the energy of a token with its boundary, and what it leaves out."""
        joule = show(self.energy_per_token_j, "energy")
        return f"{joule} ({self.energy_boundary}; {', '.join(self._left_out)} not counted)"

    def glance(self) -> list[tuple[str, str]]:
        """Return both times with their parts, and the rate, of a single load."""
        if self.shape:
            return []
        *first, basis = spread_lines(self, "ttft_s")
        label, text = basis
        return [
            ("TTFT", show(self.ttft_s, "time")),
            *first,
            *((f"  {name}", show(seconds, "time")) for name, seconds in self.ttft_parts.items()),
            ("TPOT", show(self.tpot_s, "time")),
            *spread_lines(self, "tpot_s")[:-1],
            *((f"  {name}", show(seconds, "time")) for name, seconds in self.parts.items()),
            ("tokens/s", f"{self.tokens_per_s:.4g}"),
            ("energy/token", self._energy_text()),
            *(
                (f"  {name}", show(joule, "energy"))
                for name, joule in self.energy_parts.items()
                if joule > 0.0
            ),
            ("running", f"{self.running:.4g}"),
            *cost_lines(self.decode, lambda: self.token_cost, 1.0, self.interval),
            (label.strip(), text),
        ]

    def pictures(self) -> list[ShownPicture]:
        """Return plots of the parts of both times; over several loads also times and rate."""
        axes = {"ttft_s": "TTFT", "tpot_s": "TPOT", "tokens_per_s": "Output tokens per second"}
        return [
            ShownPicture("parts", "What both times are made of."),
            *(
                ShownPicture("curves", f"{words} over load.", {"x": "concurrency", "y": name})
                for name, words in axes.items()
                if np.size(self.concurrency) > 1
            ),
        ]

    def explain(self, rows: int = 4) -> str:
        """Return the parts of both times with their sums, and the kernels of both phases.

        Parameters
        ----------
        rows
            Number of kernels of each phase that are explained.

        Raises
        ------
        ValueError
            There are several loads.
        """
        sums = [
            f"{name} = {' + '.join(parts)} = "
            f"{' + '.join(show(seconds, 'time') for seconds in parts.values())} = "
            f"{show(total, 'time')}"
            for name, total, parts in (
                ("TTFT", self.ttft_s, self.ttft_parts),
                ("TPOT", self.tpot_s, self.parts),
            )
        ]
        phases = [
            f"{name} of one device:\n{each.explain(rows)}"
            for name, each in (("prompt", self.prefill), ("decode step", self.decode))
        ]
        return self.explained(["\n".join(sums), *phases])

    def cautions(self) -> list[str]:
        """Return memory violations, and the notes."""
        lacking = (self.prefill if np.all(self.decode.feasible) else self.decode).violations
        return [
            *(f"does not fit: {violation}" for violation in lacking),
            *(f"note: {note}" for note in self.notes),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the metrics as a dictionary for JSON."""
        return super().to_dict() | plain(spread_of(self))
