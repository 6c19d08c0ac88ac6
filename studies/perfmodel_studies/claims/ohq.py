"""OHQ's gain over eight bits, from sensitivities and on a machine that are public."""

from __future__ import annotations

import numpy as np

from perfmodel_studies.claims.apq import DEVICE, mixed
from perfmodel_studies.mixed_bits import bit_costs, choose_bits

#: Of each layer of ResNet-18 but the first and the last: trace of the Hessian over its weights,
#: squared change of the weights at 4 and at 8 bits (HAWQ-V3, Yao et al., ICML 2021; ILP.ipynb).
HAWQ = (
    (0.06857826, 6.743, 0.0235),
    (0.03162379, 3.9691, 0.0125),
    (0.03298575, 3.3281, 0.0102),
    (0.01205663, 2.6796, 0.0082),
    (0.02222431, 4.7277, 0.0145),
    (0.00596336, 10.5966, 0.0344),
    (0.06931772, 0.6827, 0.0023),
    (0.00807129, 9.0942, 0.0287),
    (0.00372905, 4.8857, 0.0148),
    (0.00530698, 10.7599, 0.0333),
    (0.00209011, 21.7546, 0.0682),
    (0.00737569, 0.8603, 0.0027),
    (0.00210454, 14.5324, 0.0448),
    (0.00151197, 10.9651, 0.0336),
    (0.00158041, 18.7706, 0.0576),
    (0.00078146, 36.4044, 0.113),
    (0.00451841, 3.1572, 0.0102),
    (0.00098745, 29.6994, 0.0947),
    (0.00072944, 17.4016, 0.0532),
)
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
