"""How the constants of ST's runtime on the STM32N6 were fitted: rows of the STM32 model zoo."""

from __future__ import annotations

from typing import Final

from perfmodel.calibrate import Constant
from perfmodel.evaluate.case import Cases
from perfmodel.evaluate.refit import Refit

from perfmodel_studies.readers.npus.flat import Flat

__all__ = ["CONSTANTS", "RUNTIME", "refits_of"]

RUNTIME: Final = "st_edge_ai_n6"

#: Priors: ten MobileNets and two EfficientNets tell the shares of convolutions apart only loosely.
CONSTANTS: Final = (
    Constant("runtime.kernels.conv.peak_share", 0.75, 0.02, 1.0, prior=0.2),
    Constant("runtime.kernels.conv.bandwidth_share", 0.3, 0.001, 1.0),
    Constant("runtime.kernels.depthwise.bandwidth_share", 0.0457, 0.001, 1.0, prior=0.2),
    Constant("runtime.kernels.elementwise.silu.result_share", 1e-4, 1e-7, 1.0),
    Constant("runtime.per_operator", 1e-5, 1e-9, 1e-3),
)


def refits_of(cases: Cases) -> list[Refit]:
    """Return how the constants of the accelerator's rows were fitted, a family left out at a time.

    Parameters
    ----------
    cases
        Of a data set with such rows; empty where there are none, or of one family alone.
    """
    asked = [(case, q) for case, q in cases.asked("latency_s") if case.runtime == RUNTIME]
    families = [case.group for case, _ in asked]
    if len(set(families)) < 2:
        return []
    flat = Flat(asked)
    return [
        Refit("latency_s, STM32N6", flat.measured, families, CONSTANTS, flat, "family of networks")
    ]
