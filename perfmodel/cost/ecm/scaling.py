"""More cores on one memory: speed grows with their number until the memory is busy.

The scaling law of the model: Stengel et al., ICS 2015, section 3; Hofmann et al. 2020 (see
`perfmodel.cost.ecm.model`).
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace


def speedup_of_cores(cores: Value, single: Value, shared: Value) -> Value:
    """Return how much faster `cores` cores are than one.

    Parameters
    ----------
    cores
        At least 1.
    single
        Time of a line on one core, all levels together.
    shared
        Time of the line on the memory that the cores share, at its own bandwidth; at most `single`.
    """
    xp = namespace(cores, single, shared, 0.0)
    return xp.minimum(cores * 1.0, single / shared)


def cores_to_saturate(single: Value, shared: Value) -> Value:
    """Return the number of cores from which on more do not help: ``ceil(single / shared)``."""
    xp = namespace(single, shared, 0.0)
    return xp.ceil(single / shared)
