"""Parameters and operations of the spiking Legendre memory unit."""

from __future__ import annotations

import perfmodel as pm

#: Workload -> share of its weights that are not zero, as the authors characterize it.
_NETWORKS = {"27": ("l2mu_braille", 1 - 0.13), "7": ("l2mu_braille_7", 1 - 0.21)}


def predicted() -> dict[str, float]:
    """Return claim -> count, or megabytes."""
    found: dict[str, float] = {}
    for letters, (name, kept) in _NETWORKS.items():
        event, dense = pm.workload(name), pm.workload(name, execution="clocked")
        found[f"parameters_{letters}"] = float(event.weights)
        found[f"footprint_{letters}_mb"] = 4 * float(event.weights) / 1e6
        found[f"dense_{letters}"] = float(dense.macs)
        found[f"accumulates_{letters}"] = kept * float(event.macs)
    return found
