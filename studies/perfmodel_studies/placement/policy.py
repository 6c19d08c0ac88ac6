"""The best shares of a block schedule under memories that fill: a linear programme a block.

For a given block both the times of a layer and the bytes of each memory are linear in the shares,
so the shares with the most tokens per second follow from a linear programme, as FlexGen searches
them (arXiv 2303.06865, section 4.3; memories as in A.3, attention scores aside). Whole layers come
after.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from perfmodel.errors import Fault, InputError

from perfmodel_studies.placement.blocks import (
    BlockModel,
    BlockPolicy,
    BlockRates,
    BlockTimes,
    block_schedule,
)

__all__ = ["BlockPolicyAnswer", "best_policy", "needed_bytes"]

Floats = npt.NDArray[np.float64]

#: Columns of the programme: shares of weights, cache and activations, then seconds of a layer.
_SHARES: Final = 9


@dataclass(frozen=True, slots=True)
class BlockPolicyAnswer:
    """A block and its shares.

    Attributes
    ----------
    policy, times
        With whole layers of weights.
    layers
        Layers whose weights are on GPU, host and disk.
    needed_bytes
        Bytes that each of them holds, working memory included.
    bound_tokens_per_s
        Of the shares before layers were made whole: no shares of the blocks that were tried give
        more.
    """

    policy: BlockPolicy
    times: BlockTimes
    layers: tuple[int, int, int]
    needed_bytes: tuple[float, float, float]
    bound_tokens_per_s: float


def needed_bytes(
    model: BlockModel, policy: BlockPolicy, prompt: float, generate: float
) -> tuple[float, float, float]:
    """Return what GPU, host and disk must hold, bytes.

    Weights, the cache of all tokens and the activations of a block by their shares; on the GPU also
    two layers of weights that are not at home there, the activations of a batch and what a layer
    works with; on the host one layer and a batch on their way.
    """
    shares: Floats = np.array([*policy.weights, *policy.kv, *policy.hidden], dtype=np.float64)
    matrix, fixed = _memory(model, float(policy.batch), float(policy.batches), prompt, generate)
    needed: Floats = matrix @ shares + fixed
    return float(needed[0]), float(needed[1]), float(needed[2])


def best_policy(
    model: BlockModel,
    rates: BlockRates,
    capacities: Sequence[float],
    prompt: float,
    generate: float,
    *,
    batches: Iterable[tuple[int, int]] | None = None,
    attention_on_host: bool = True,
) -> BlockPolicyAnswer | None:
    """Return the block and shares with the most tokens per second; None where no block fits.

    Parameters
    ----------
    model, rates
        As `block_schedule` takes them, numbers only.
    capacities
        Bytes of GPU, host and disk; 0 for one that is not there.
    prompt, generate
        Tokens of a sequence.
    batches
        Blocks to try: (sequences of a GPU batch, GPU batches). By default powers of two and three
        times powers of two up to 256 sequences a batch, and 1 to 16 batches.
    attention_on_host
        The host attends to the cache that is not on the GPU.

    Raises
    ------
    InputError
        Not three capacities, or rates that are not above zero.
    """
    faults: list[Fault] = []
    if len(capacities) != 3 or any(not c >= 0 for c in capacities):
        faults.append(
            Fault(
                "capacities are not three sizes",
                "capacities",
                expected="bytes of GPU, host and disk",
            )
        )
    for name in BlockRates.__slots__:
        value = getattr(rates, name)
        if value is not None and not float(value) > 0:
            faults.append(Fault(f"{value} is no rate", f"rates.{name}", expected="above 0"))
    if faults:
        raise InputError(faults)
    best: BlockPolicyAnswer | None = None
    bound = 0.0
    for batch, count in _BLOCKS if batches is None else batches:
        block = _Block(model, rates, prompt, generate, batch, count, attention_on_host)
        shares = block.fastest_shares(capacities)
        if shares is None:
            continue
        relaxed = block.policy(np.clip(shares, 0.0, 1.0))
        bound = max(bound, float(block.times(relaxed).tokens_per_s))
        answer = block.in_layers(relaxed, capacities)
        if answer is not None and (
            best is None or answer.times.tokens_per_s > best.times.tokens_per_s
        ):
            best = answer
    if best is None:
        return None
    return replace(best, bound_tokens_per_s=bound)


_BATCH: Final = sorted({2**i for i in range(9)} | {3 * 2**i for i in range(7)})
_BLOCKS: Final = tuple((b, k) for b in _BATCH for k in (1, 2, 3, 4, 6, 8, 12, 16))


def _memory(
    model: BlockModel, batch: float, batches: float, prompt: float, generate: float
) -> tuple[Floats, Floats]:
    """Return bytes of GPU, host and disk as a matrix on the shares, ``(3, 9)``, and a constant."""
    block = batch * batches
    weights = float(model.weight_bytes) * float(model.layers)
    cache = float(model.kv_bytes) * block * (prompt + generate) * float(model.layers)
    hidden = float(model.hidden_bytes) * block * prompt
    matrix = np.zeros((3, _SHARES))
    for level in range(3):
        matrix[level, level] = weights
        matrix[level, 3 + level] = cache
        matrix[level, 6 + level] = hidden
    layer, one = float(model.weight_bytes), float(model.hidden_bytes) * batch * prompt
    # What is not at home on the GPU passes through: (1 - share) of it.
    matrix[0, 0] -= 2.0 * layer
    matrix[0, 6] -= one
    matrix[1, 0] -= layer
    matrix[1, 6] -= one
    working = float(model.working_bytes) * batch * prompt
    return matrix, np.array([2.0 * layer + one + working, layer + one, 0.0])


@dataclass(frozen=True, slots=True)
class _Block:
    """A block whose shares are sought."""

    model: BlockModel
    rates: BlockRates
    prompt: float
    generate: float
    batch: int
    batches: int
    on_host: bool

    def policy(self, shares: Floats) -> BlockPolicy:
        """Return the policy of nine shares."""
        weights, kv, hidden = (tuple(map(float, part)) for part in shares.reshape(3, 3))
        return BlockPolicy(self.batch, self.batches, weights, kv, hidden, self.on_host)

    def times(self, policy: BlockPolicy) -> BlockTimes:
        """Return the seconds of the block under a policy."""
        return block_schedule(self.model, policy, self.rates, self.prompt, self.generate)

    def terms(self, shares: Floats) -> Floats:
        """Return the seconds of each part of a layer: of the prompt, then of a later token."""
        times = self.times(self.policy(shares))
        return np.array([*times.prefill_terms.values(), *times.decode_terms.values()], dtype=float)

    def in_layers(
        self, relaxed: BlockPolicy, capacities: Sequence[float]
    ) -> BlockPolicyAnswer | None:
        """Return the policy with complete layers: rounded to the slower memory, if that fits."""
        layers = round(float(self.model.layers))
        gpu = math.floor(float(relaxed.weights[0]) * layers + 1e-6)
        host = math.floor(float(relaxed.weights[0] + relaxed.weights[1]) * layers + 1e-6) - gpu
        counts = gpu, host, layers - gpu - host
        policy = replace(relaxed, weights=tuple(count / layers for count in counts))
        needed = needed_bytes(self.model, policy, self.prompt, self.generate)
        if any(size > room * (1 + 1e-9) for size, room in zip(needed, capacities, strict=True)):
            return None
        return BlockPolicyAnswer(policy, self.times(policy), counts, needed, 0.0)

    def fastest_shares(self, capacities: Sequence[float]) -> Floats | None:
        """Return the nine shares with the least time of a block; None where none fits."""
        from perfmodel.optimise.milp_model import MilpModel

        # Times are linear in the shares: one evaluation with none, and one a share.
        zero = self.terms(np.zeros(_SHARES))
        terms: Floats = np.stack([self.terms(unit) - zero for unit in np.eye(_SHARES)], axis=1)
        half = len(zero) // 2
        clock: Floats = np.zeros((len(zero), 2))
        clock[:half, 0] = clock[half:, 1] = -1.0
        unit = float(np.max(np.abs(terms))) or 1.0
        memory, fixed = _memory(self.model, self.batch, self.batches, self.prompt, self.generate)
        room: Floats = np.asarray(capacities, dtype=np.float64) - fixed
        size = float(np.max(np.abs(memory)))
        block = MilpModel("block")
        share = block.variables("share", (_SHARES,))
        seconds = block.variables("seconds", (2,), cost=(1.0, self.generate - 1.0), high=np.inf)
        # Each part of a layer fits into its seconds:
        # sum over s of terms[t, s] share[s] + zero[t] <= seconds.
        each, both = np.tile(share, (len(zero), 1)), np.tile(seconds, (len(zero), 1))
        block.require_all("parts", (each, terms / unit), (both, clock), high=-zero / unit)
        # What lies in a memory fits, and each kind of tensor lies somewhere.
        block.require_all("memory", (np.tile(share, (3, 1)), memory / size), high=room / size)
        block.require_all("kinds", (share.reshape(3, 3), 1.0), low=1.0, high=1.0)
        solved = block.solve()
        return solved.solution[share] if solved.proved and solved.solution is not None else None
