"""Clocks and seconds of the stages that a token goes through, and how many tokens share them.

Liu et al., "Hardwired-Neurons Language Processing Units as General-Purpose Cognitive Substrates",
arXiv 2508.16151 v2, ASPLOS 2026; `docs/hardwired.md` has the equations and what was fitted.
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace


def matrix_clocks(
    inputs: Value, inputs_per_clock: Value, cut: Value, *, relaxed: bool = False
) -> Value:
    """Return clocks that a vector takes into a hardwired matrix, cut over `cut` chips.

    ``ceil(inputs / cut) / inputs_per_clock``: outputs cost none, all columns listen.

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
    """Return how much longer a step takes with `tokens` under way than with one.

    A token holds one slot after another: up to as many tokens as slots go through side by side, at
    the latency of one; more of them wait. ``max(1, tokens / slots)``.
    """
    xp = namespace(tokens, slots)
    return xp.maximum(tokens / slots, 1.0)


def link_seconds(
    layers: Value,
    moved: Value,
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
        Layers, or the share of one that a row stands for.
    moved
        Bytes of results that are summed over chips; each of `cut` chips carries its part.
    collectives, latency, bandwidth, cut
        A layer's, and of the links.

    Notes
    -----
    ``link = layers * collectives * latency + bytes / (cut * bandwidth)``
        Liu et al., HNLPU, arXiv 2508.16151 v2; fitted

    ``nonlinear = layers * nonlinear_time``
        Liu et al., HNLPU, arXiv 2508.16151 v2; fitted
    """
    return layers * collectives * latency + moved / (cut * bandwidth)


def cache_stall(
    sequence_bytes: Value,
    room_bytes: Value,
    refill_bandwidth: Value,
    read_bytes: Value,
    bandwidth: Value,
    busy_s: Value,
    crowd: Value = 1.0,
) -> Value:
    """Return seconds of a step in which keys and values are waited for.

    Two causes, of which the longer counts. While one sequence is in every layer, its keys and
    values lie in the buffers; what finds no room is fetched late. And all that is read in a step
    comes from memory, behind the step's own time.

    Parameters
    ----------
    sequence_bytes, room_bytes
        Keys and values of one sequence, and the buffers of all chips.
    refill_bandwidth
        Of what finds no room.
    read_bytes, bandwidth
        Of a step, all sequences; and of memory.
    busy_s
        Seconds of the step without stalls.
    crowd
        From `crowding`.

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
