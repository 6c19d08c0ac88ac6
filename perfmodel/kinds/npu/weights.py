"""Share of a network's weights that a neural processor loads anew in each run.

Weights that stay in a memory next to the engine from one run to the next need not be loaded; the
policies were read off measured rows of vendors' processors (docs/npu.md). The kind `npu` calls
`loaded_share`.
"""

from __future__ import annotations

from perfmodel.arrays import Value, namespace


def loaded_share(policy: str, stored: Value, room: Value) -> Value:
    """Return the share of the weights that a run loads, between 0 and 1.

    Parameters
    ----------
    policy
        As in `NeuralProcessor.weights`.
    stored
        Bytes of all weights.
    room
        Capacity for weights next to the engine, bytes.

    Returns
    -------
    number or array
        ``streamed``: 1. ``remainder``: ``max(0, 1 - room / stored)``. ``contexts``: 1 where
        ``stored > room``, else 0.

    Notes
    -----
    ``weights = loaded_share * weights / bandwidth``
        measured rows; docs/npu.md
    """
    xp = namespace(stored, room)
    if policy == "remainder":
        return xp.maximum(0.0, 1.0 - room / xp.maximum(stored, 1.0))
    if policy == "contexts":
        return 1.0 * (stored > room)
    return 1.0
