"""Slices of experts: base bits and residual bits as items of a pipeline.

With nested quantisation (matryoshka bits) the weights of a higher precision are those of a lower
one and a residual: a request of few bits can be computed as soon as the base is there (D2MoE, arXiv
2504.15299, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from perfmodel.schedule.stream import Load

__all__ = ["bit_slices"]


def bit_slices(
    requests: npt.ArrayLike,
    slice_bytes: Sequence[float],
    bandwidth_bytes_per_s: float,
    request_s: float | Sequence[float],
    *,
    resident: Sequence[int] = (),
    expert_s: float = 0.0,
) -> list[Load]:
    """Return the slices of a layer's experts as items, each expert's in ascending bits.

    Parameters
    ----------
    requests
        Tokens that ask each expert for each level of bits, ``(experts, levels)``. A slice is
        needed where its level or a higher one is asked for.
    slice_bytes
        Bytes of each slice of an expert, ``(levels,)``: the base, then residuals.
    bandwidth_bytes_per_s
        Of the storage.
    request_s
        Seconds of computing one request, for each level or for all.
    resident
        Slices of each expert that are in memory already: 0 for none.
    expert_s
        Seconds that a level of an expert takes whatever the number of requests (dequantising).
    """
    requested: npt.NDArray[np.float64] = np.asarray(requests, dtype=np.float64)
    experts, levels = requested.shape
    each = [float(request_s)] * levels if isinstance(request_s, int | float) else list(request_s)
    items: list[Load] = []
    for e in range(experts):
        needed = np.flatnonzero(requested[e])
        if not len(needed):
            continue
        above = -1
        resident_bits = resident[e] if e < len(resident) else 0
        for k in range(int(needed[-1]) + 1):
            count = float(requested[e, k])
            size = 0.0 if k < resident_bits else float(slice_bytes[k])
            work = count * each[k] + (expert_s if count else 0.0)
            items.append(
                Load(
                    f"expert {e} slice {k}",
                    size / bandwidth_bytes_per_s,
                    work,
                    size,
                    parent=above,
                    requests=float(requested[e, k:].sum()),
                )
            )
            above = len(items) - 1
    return items
