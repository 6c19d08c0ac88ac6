"""OHQ's gain over eight bits, from sensitivities and on a machine that are public."""

from __future__ import annotations

import numpy as np

from perfmodel_studies.claims.apq import DEVICE, mixed
from perfmodel_studies.mixed_bits import bit_costs, choose_bits
from perfmodel_studies.tables import table

#: Of each layer of ResNet-18 but the first and the last: trace of the Hessian over its weights,
#: squared change of the weights at 4 and at 8 bits (HAWQ-V3, Yao et al., ICML 2021; ILP.ipynb).
HAWQ = tuple(zip(*table("hawq_v3_resnet18").values(), strict=True))
#: Downsampling takes the bits of the layer beside it, as there.
ALIKE = ((4, 6), (9, 11), (14, 16))


def predicted() -> dict[str, float]:
    """Return claim -> number, units as in the file of claims."""
    costs = bit_costs("resnet18", DEVICE, ((4, 4), (8, 8)))
    trace, four, eight = np.array(HAWQ).T
    loss = np.stack([trace * four, trace * eight], axis=1)
    # HAWQ-V3's own network: the least loss with half-way fewer bit operations than at 8 bits.
    all_eight, all_four = costs.uniform((8, 8)), costs.uniform((4, 4))
    half = 0.5 * (all_eight.bit_operations + all_four.bit_operations)
    theirs = choose_bits(costs, loss=loss, most_bit_operations=half, least="loss", alike=ALIKE)
    places = [costs.pairs.index(pair) for pair in theirs.bits]
    budget = float(loss[np.arange(len(places)), places].sum())
    best = choose_bits(costs, loss=loss, most_loss=budget, alike=ALIKE)
    small = mixed("mobilenet_v3_large")
    return {
        "resnet18.latency_gain_percent": _gain(best.seconds, all_eight.seconds),
        "resnet18.hawq_bits_gain_percent": _gain(theirs.seconds, all_eight.seconds),
        "resnet18.four_bits_gain_percent": _gain(all_four.seconds, all_eight.seconds),
        "mobilenet_v3.latency_gain_percent": _gain(
            small["fastest"].seconds, small["eight"].seconds
        ),
    }


def _gain(seconds: float, before: float) -> float:
    return 100.0 * (1.0 - seconds / before)
