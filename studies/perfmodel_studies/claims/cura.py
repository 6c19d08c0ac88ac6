"""Parameters of CURA."""

from __future__ import annotations

import perfmodel as pm


def predicted() -> dict[str, float]:
    """Return claim -> count."""
    return {
        "fallalld_parameters": float(pm.workload("cura_fallalld").weights),
        "sst2_parameters": float(pm.workload("curasformer_sst2").weights),
    }
