"""What a block schedule costs under shares of weights, cache and activations per memory.

FlexGen computes a layer for several GPU batches before it goes on to the next, so that one transfer
of its weights serves all of them, while the next layer's weights, the caches and the activations
move: a layer takes as long as the slowest of four transfers and of the arithmetic (Sheng et al.,
"FlexGen: high-throughput generative inference of large language models with a single GPU", ICML
2023, arXiv 2303.06865, sections 4.3 and A.3). The form is the paper's; rates are the caller's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from perfmodel.arrays import Value, namespace

__all__ = ["BlockModel", "BlockPolicy", "BlockRates", "BlockTimes", "block_schedule"]


@dataclass(frozen=True, slots=True)
class BlockModel:
    """One layer of a language model, of which there are `layers`.

    Attributes
    ----------
    layers
        How many.
    weight_bytes
        Of a layer.
    token_flops
        Operations of a token in the matrices of a layer.
    key_flops
        Operations of one query with one key and its value, all heads of a layer.
    kv_bytes
        Of a token in a layer.
    hidden_bytes
        Activations of a token between layers.
    working_bytes
        Most that a layer holds of a token while it runs, attention scores aside.
    """

    layers: Value
    weight_bytes: Value
    token_flops: Value
    key_flops: Value
    kv_bytes: Value
    hidden_bytes: Value
    working_bytes: Value = 0.0

    @classmethod
    def dense(
        cls, layers: Value, width: Value, ffn_width: Value, element_bytes: Value = 2.0
    ) -> BlockModel:
        """Return a layer of four square projections and two matrices of a feed-forward network."""
        weights = 4.0 * width**2 + 2.0 * width * ffn_width
        return cls(
            layers,
            element_bytes * weights,
            2.0 * weights,
            4.0 * width,
            2.0 * element_bytes * width,
            element_bytes * width,
            # Input, query, key and value; or input and inner width of the feed-forward network.
            element_bytes * namespace(width, ffn_width).maximum(4.0 * width, width + ffn_width),
        )


@dataclass(frozen=True, slots=True)
class BlockPolicy:
    """A block, and which share of what lies where.

    Attributes
    ----------
    batch, batches
        Sequences of a GPU batch, and GPU batches of a block.
    weights, kv, hidden
        Shares on the GPU, on the host and on the disk; each adds up to 1.
    attention_on_host
        The host's processor attends to the part of the cache that is not on the GPU, which then
        does not cross the link in decoding.
    """

    batch: Value
    batches: Value
    weights: Sequence[Value] = (1.0, 0.0, 0.0)
    kv: Sequence[Value] = (1.0, 0.0, 0.0)
    hidden: Sequence[Value] = (1.0, 0.0, 0.0)
    attention_on_host: bool = False


@dataclass(frozen=True, slots=True)
class BlockRates:
    """Bytes per second of each transfer and operations per second of each kind of arithmetic.

    Attributes
    ----------
    to_device, from_device
        Between host and GPU.
    from_disk, to_disk
        Between disk and host.
    matmul, attention
        Operations per second of the GPU in matrices and in attention.
    host_attention
        Of the host's processor in attention: memory-bound there, so a bandwidth in disguise.
    decode_matmul, decode_attention
        In decoding, where they differ.
    """

    to_device: Value
    from_device: Value
    from_disk: Value
    to_disk: Value
    matmul: Value
    attention: Value
    host_attention: Value
    decode_matmul: Value = None
    decode_attention: Value = None


@dataclass(frozen=True, slots=True)
class BlockTimes:
    """Seconds of a block.

    Attributes
    ----------
    prefill_s, decode_s
        Of all layers: of the prompt, and of one later token of each sequence.
    prefill_terms, decode_terms
        Term -> seconds of one layer; the largest is the layer's time.
    total_s
        Of the whole block: prompt and all tokens.
    tokens_per_s
        Tokens generated a second, the prompt's time included.
    """

    prefill_s: Value
    decode_s: Value
    prefill_terms: dict[str, Value]
    decode_terms: dict[str, Value]
    total_s: Value
    tokens_per_s: Value


def block_schedule(
    model: BlockModel, policy: BlockPolicy, rates: BlockRates, prompt: Value, generate: Value
) -> BlockTimes:
    """Return the seconds of a block of sequences.

    Parameters
    ----------
    model, policy, rates
        Layer, shares and rates; every number may be an array.
    prompt, generate
        Tokens of a sequence: of its prompt, and generated.
    """
    block = policy.batch * policy.batches
    _, w_host, w_disk = policy.weights
    c_gpu, c_host, c_disk = policy.kv
    _, h_host, h_disk = policy.hidden
    weight = model.weight_bytes
    cache, hidden = model.kv_bytes * block, model.hidden_bytes * block
    away_w, away_c, away_h = w_host + w_disk, c_host + c_disk, h_host + h_disk
    activations = prompt * hidden
    prefill: dict[str, Value] = {
        "to_device": (away_w * weight + away_h * activations) / rates.to_device,
        "from_device": (away_c * (prompt + 1.0) * cache + away_h * activations) / rates.from_device,
        "from_disk": (w_disk * weight + h_disk * activations) / rates.from_disk,
        "to_disk": (c_disk * (prompt + 1.0) * cache + h_disk * activations) / rates.to_disk,
        "compute": block * prompt * model.token_flops / rates.matmul
        + block * prompt**2 * model.key_flops / rates.attention,
    }
    keys = prompt + generate / 2.0
    attended = block * keys * model.key_flops
    matmul = rates.matmul if rates.decode_matmul is None else rates.decode_matmul
    attention = rates.attention if rates.decode_attention is None else rates.decode_attention
    on_gpu = c_gpu if policy.attention_on_host else c_gpu + away_c
    cache_moved = 0.0 if policy.attention_on_host else away_c * keys * cache
    compute = block * model.token_flops / matmul + on_gpu * attended / attention
    if policy.attention_on_host:
        compute = compute + away_c * attended / rates.host_attention
    # What attention on the host needs of the disk it reads into the host's memory.
    decode: dict[str, Value] = {
        "to_device": (away_w * weight + away_h * hidden + cache_moved) / rates.to_device,
        "from_device": (away_h * hidden + (0.0 if policy.attention_on_host else away_c * cache))
        / rates.from_device,
        "from_disk": (w_disk * weight + h_disk * hidden + c_disk * keys * cache) / rates.from_disk,
        "to_disk": (c_disk * cache + h_disk * hidden) / rates.to_disk,
        "compute": compute,
    }
    prefill_s = model.layers * _slowest(prefill)
    decode_s = model.layers * _slowest(decode)
    total = prefill_s + decode_s * (generate - 1.0)
    return BlockTimes(prefill_s, decode_s, prefill, decode, total, block * generate / total)


def _slowest(terms: dict[str, Value]) -> Value:
    values = list(terms.values())
    xp = namespace(*values)
    slowest = values[0]
    for value in values[1:]:
        slowest = xp.maximum(slowest, value)
    return slowest
