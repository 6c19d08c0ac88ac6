"""Traffic of a table's loop nests by closed forms: fused attention, and shapes that vary.

Each nest is priced by the form of its class (`perfmodel.cost.traffic.closed_forms`): GEMM,
depthwise convolution, convolution, or attention whose scores remain on chip.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from perfmodel.cost.buffered_nests import BufferedNests, all_ones
from perfmodel.cost.traffic.closed_forms import (
    attention_traffic,
    convolution_traffic,
    depthwise_traffic,
    gemm_traffic,
)
from perfmodel.cost.traffic.stationarity import OperandTraffic


def closed_forms(buffered: BufferedNests, selected: list[int]) -> dict[int, OperandTraffic]:
    """Return the traffic of one group of each requested nest in bytes.

    Of a fused attention, the first nest accounts for queries and keys, the second for values and
    output.
    """
    traffic: dict[int, OperandTraffic] = {}
    for i in selected:
        if i in traffic:
            continue
        if buffered.fused[i]:
            traffic |= _attention_traffic(buffered, i)
        else:
            traffic[i] = _nest_traffic(buffered, i)
    return traffic


def _attention_traffic(buffered: BufferedNests, i: int) -> dict[int, OperandTraffic]:
    """Return the traffic of the two nests of a fused attention."""
    nests, setting = buffered.nests, buffered.setting
    scores, values = buffered.widths(i), buffered.widths(i + 1)
    best = attention_traffic(
        nests.out_rows[i],
        nests.out_channels[i],
        nests.in_channels[i],
        nests.out_channels[i + 1],
        buffered.capacity,
        sharing=nests.batch[i],
        query=scores.input,
        key=scores.weight,
        value=values.weight,
        output=values.output,
        accumulator=buffered.partial,
        score=buffered.partial,
        causal=nests.causal[i] and setting.causal_skips_masked,
        conventions=buffered.conventions,
        relaxed=setting.relaxed,
    )
    return {
        i: OperandTraffic(best.query, best.key, 0.0, 0.0),
        i + 1: OperandTraffic(0.0, best.value, best.output, best.partial_reads),
    }


def _nest_traffic(buffered: BufferedNests, i: int) -> OperandTraffic:
    """Return the traffic of one group of a nest by the closed form of its class, in bytes."""
    nest, conventions = buffered.nest(i), buffered.conventions
    form: Any = convolution_traffic
    if buffered.is_product(i):
        form = gemm_traffic
    elif buffered.nests.kind[i] == "depthwise" and all_ones(nest.in_channels, nest.out_channels):
        form = depthwise_traffic
    if form is not gemm_traffic:
        # Convolutions have no closed form for uneven tiles; even tiles are a special case of them.
        conventions = replace(conventions, allocation="even")
    relaxed = buffered.setting.relaxed
    best = form(nest, buffered.capacity, buffered.widths(i), conventions, relaxed=relaxed)
    input_bytes = best.input * buffered.unpadded_share[i]
    return OperandTraffic(input_bytes, best.weight, best.output, best.partial_reads)
