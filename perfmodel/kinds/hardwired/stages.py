"""Clocks and seconds of the stages that a token traverses, and the effect of more tokens.

Liu et al., "Hardwired-Neurons Language Processing Units as General-Purpose Cognitive Substrates",
arXiv 2508.16151 v2, ASPLOS 2026; `docs/hardwired.md` has the equations and the fitted constants.
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace


def matrix_clocks(
    inputs: Value, inputs_per_clock: Value, cut: Value, *, relaxed: bool = False
) -> Value:
    """Return clocks to stream a vector into a hardwired matrix that is split over `cut` chips.

    ``ceil(inputs / cut) / inputs_per_clock``: all output columns accumulate in parallel, at no
    cost.

    Notes
    -----
    ``matrix = inputs / cut / inputs_per_clock / clock``
        Liu et al., HNLPU, arXiv 2508.16151 v2; fitted

    ``attention = cache elements / (chips * cache_elements_per_clock) / clock``
        Liu et al., HNLPU, arXiv 2508.16151 v2; fitted
    """
    xp = namespace(inputs, inputs_per_clock, cut)
    share = inputs / cut
    return (share if relaxed else xp.ceil(share - 1e-9)) / inputs_per_clock


def crowding(tokens: Value, slots: Value) -> Value:
    """Return the slowdown of a step with `tokens` in flight relative to one.

    A token occupies one slot after another: as many tokens as slots proceed in parallel at the
    latency of one; further tokens wait. ``max(1, tokens / slots)``.
    """
    xp = namespace(tokens, slots)
    return xp.maximum(tokens / slots, 1.0)


def link_seconds(
    layers: Value,
    result_bytes: Value,
    *,
    collectives: Value,
    latency: Value,
    bandwidth: Value,
    cut: Value,
) -> Value:
    """Return seconds of collectives: ``layers x collectives x latency + bytes / (cut x rate)``.

    Parameters
    ----------
    layers
        Layers, or the share of a layer that belongs to a row.
    result_bytes
        Bytes of results that are reduced over chips; each of `cut` chips carries its part.
    collectives, latency, bandwidth, cut
        Collectives per layer, seconds of each, and bytes per second and number of the links.

    Notes
    -----
    ``link = layers * collectives * latency + bytes / (cut * bandwidth)``
        Liu et al., HNLPU, arXiv 2508.16151 v2; fitted

    ``nonlinear = layers * nonlinear_time``
        Liu et al., HNLPU, arXiv 2508.16151 v2; fitted
    """
    return layers * collectives * latency + result_bytes / (cut * bandwidth)


def cache_stall(
    sequence_bytes: Value,
    room_bytes: Value,
    refill_bandwidth: Value,
    read_bytes: Value,
    bandwidth: Value,
    busy_s: Value,
    crowd: Value = 1.0,
) -> Value:
    """Return seconds of a step spent waiting for keys and values.

    The maximum of two causes. While one sequence is in every layer, its keys and values are in the
    buffers; those beyond the buffers' capacity arrive late. And all keys and values of a step are
    read from memory, overlapped with the step's own time.

    Parameters
    ----------
    sequence_bytes, room_bytes
        Keys and values of one sequence, and the buffers of all chips.
    refill_bandwidth
        Rate of those beyond the buffers' capacity.
    read_bytes, bandwidth
        Bytes read per step, over all sequences, and memory bandwidth.
    busy_s
        Seconds of the step without stalls.
    crowd
        Slowdown by `crowding`.

    Notes
    -----
    ``stall = max((cache - buffers) / refill, read / bandwidth - busy)``
        docs/hardwired.md
    """
    xp = namespace(
        sequence_bytes, room_bytes, refill_bandwidth, read_bytes, bandwidth, busy_s, crowd
    )
    late = xp.maximum(sequence_bytes - room_bytes, 0.0) / refill_bandwidth
    return xp.maximum(late * crowd, read_bytes / bandwidth - busy_s)
