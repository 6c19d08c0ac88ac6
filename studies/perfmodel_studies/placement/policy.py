"""The best shares of a block schedule under memories that fill: a linear programme a block.

For a given block both the times of a layer and the bytes of each memory are linear in the shares,
so the shares with the most tokens a second follow from a linear programme, as FlexGen searches
them (arXiv 2303.06865, section 4.3; memories as in A.3, attention scores aside). Whole layers come
after.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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

__all__ = ["FoundPolicy", "best_policy", "held_bytes"]

Floats = npt.NDArray[np.float64]

#: Columns of the programme: shares of weights, cache and activations, then seconds of a layer.
_SHARES: Final = 9


@dataclass(frozen=True, slots=True)
class FoundPolicy:
    """A block and its shares.

    Attributes
    ----------
    policy, times
        With whole layers of weights.
    layers
        Layers whose weights are on GPU, host and disk.
    held
        Bytes that each of them holds, working memory included.
    bound_tokens_per_s
        Of the shares before layers were made whole: no shares of the blocks that were tried give
        more.
    """

    policy: BlockPolicy
    times: BlockTimes
    layers: tuple[int, int, int]
    held: tuple[float, float, float]
    bound_tokens_per_s: float


def held_bytes(
    model: BlockModel, policy: BlockPolicy, prompt: float, generate: float
) -> tuple[float, float, float]:
    """Return what GPU, host and disk must hold, bytes.

    Weights, the cache of all tokens and the activations of a block by their shares; on the GPU also
    two layers of weights that are not at home there, the activations of a batch and what a layer
    works with; on the host one layer and a batch on their way.
    """
    shares: Floats = np.array([*policy.weights, *policy.kv, *policy.hidden], dtype=np.float64)
    matrix, fixed = _memory(model, float(policy.batch), float(policy.batches), prompt, generate)
    held: Floats = matrix @ shares + fixed
    return float(held[0]), float(held[1]), float(held[2])


def best_policy(
    model: BlockModel,
    rates: BlockRates,
    capacities: Sequence[float],
    prompt: float,
    generate: float,
    *,
    batches: Iterable[tuple[int, int]] | None = None,
    attention_on_host: bool = True,
) -> FoundPolicy | None:
    """Return the block and shares with the most tokens a second; None where no block fits.

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
    best: FoundPolicy | None = None
    bound = 0.0
    for batch, count in _BLOCKS if batches is None else batches:
        shares = _shares(
            model, rates, capacities, prompt, generate, batch, count, attention_on_host
        )
        if shares is None:
            continue
        relaxed = _policy(shares, batch, count, attention_on_host)
        bound = max(
            bound, float(block_schedule(model, relaxed, rates, prompt, generate).tokens_per_s)
        )
        found = _whole(model, rates, capacities, prompt, generate, relaxed)
        if found is not None and (
            best is None or found.times.tokens_per_s > best.times.tokens_per_s
        ):
            best = found
    if best is None:
        return None
    return FoundPolicy(best.policy, best.times, best.layers, best.held, bound)


_BATCH: Final = sorted({2**i for i in range(9)} | {3 * 2**i for i in range(7)})
_BLOCKS: Final = tuple((b, k) for b in _BATCH for k in (1, 2, 3, 4, 6, 8, 12, 16))


def _policy(
    shares: Floats,
    batch: int,
    count: int,
    on_host: bool,
    weights: tuple[float, float, float] | None = None,
) -> BlockPolicy:
    values = [float(v) for v in np.clip(shares, 0.0, 1.0)]
    return BlockPolicy(
        batch,
        count,
        weights or (values[0], values[1], values[2]),
        (values[3], values[4], values[5]),
        (values[6], values[7], values[8]),
        on_host,
    )


def _whole(
    model: BlockModel,
    rates: BlockRates,
    capacities: Sequence[float],
    prompt: float,
    generate: float,
    relaxed: BlockPolicy,
) -> FoundPolicy | None:
    """Return the policy with whole layers: down to the slower memory, so that none overflows."""
    layers = round(float(model.layers))
    gpu = math.floor(float(relaxed.weights[0]) * layers + 1e-6)
    host = math.floor(float(relaxed.weights[0] + relaxed.weights[1]) * layers + 1e-6) - gpu
    policy = _policy(
        np.array([*relaxed.weights, *relaxed.kv, *relaxed.hidden], dtype=np.float64),
        int(relaxed.batch),
        int(relaxed.batches),
        relaxed.attention_on_host,
        (gpu / layers, host / layers, (layers - gpu - host) / layers),
    )
    held = held_bytes(model, policy, prompt, generate)
    if any(size > room * (1 + 1e-9) for size, room in zip(held, capacities, strict=True)):
        return None
    times = block_schedule(model, policy, rates, prompt, generate)
    return FoundPolicy(policy, times, (gpu, host, layers - gpu - host), held, 0.0)


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


def _shares(
    model: BlockModel,
    rates: BlockRates,
    capacities: Sequence[float],
    prompt: float,
    generate: float,
    batch: int,
    count: int,
    on_host: bool,
) -> Floats | None:
    """Return the nine shares with the least time of a block; None where none fits."""
    from perfmodel.optimise.programme import MilpModel

    # Times are linear in the shares: one evaluation with none, and one a share.
    zero = _terms(model, rates, prompt, generate, np.zeros(_SHARES), batch, count, on_host)
    columns = [
        _terms(model, rates, prompt, generate, unit, batch, count, on_host) - zero
        for unit in np.eye(_SHARES)
    ]
    terms: Floats = np.stack(columns, axis=1)
    half = len(zero) // 2
    clock: Floats = np.zeros((len(zero), 2))
    clock[:half, 0] = clock[half:, 1] = -1.0
    unit = float(np.max(np.abs(terms))) or 1.0
    memory, fixed = _memory(model, batch, count, prompt, generate)
    room: Floats = np.asarray(capacities, dtype=np.float64) - fixed
    size = float(np.max(np.abs(memory)))
    block = MilpModel("block")
    share = block.variables("share", (_SHARES,))
    seconds = block.variables("seconds", (2,), cost=(1.0, generate - 1.0), high=np.inf)
    # Each part of a layer fits into its seconds: sum of terms[t, s] share[s] + zero[t] <= seconds.
    each, both = np.tile(share, (len(zero), 1)), np.tile(seconds, (len(zero), 1))
    block.require_all("parts", (each, terms / unit), (both, clock), high=-zero / unit)
    # What lies in a memory fits, and each kind of tensor lies somewhere.
    block.require_all("memory", (np.tile(share, (3, 1)), memory / size), high=room / size)
    block.require_all("kinds", (share.reshape(3, 3), 1.0), low=1.0, high=1.0)
    solved = block.solve()
    return solved.solution[share] if solved.proved and solved.solution is not None else None


def _terms(
    model: BlockModel,
    rates: BlockRates,
    prompt: float,
    generate: float,
    shares: Floats,
    batch: int,
    count: int,
    on_host: bool,
) -> Floats:
    policy = BlockPolicy(
        batch, count, tuple(shares[:3]), tuple(shares[3:6]), tuple(shares[6:]), on_host
    )
    times = block_schedule(model, policy, rates, prompt, generate)
    found = [float(v) for v in (*times.prefill_terms.values(), *times.decode_terms.values())]
    return np.array(found, dtype=np.float64)
