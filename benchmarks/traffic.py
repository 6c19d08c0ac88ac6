"""Tiled traffic: points per second of staircases and closed forms beside an exhaustive search.

    python benchmarks/traffic.py [--json]

One run, one core, CPU time; the bodies take turns. A Llama point is the six distinct products of a
Llama-3-8B layer (queries, keys or values, output, gate or up, down, attention): their dimensions,
the sequence and the capacity all differ from point to point.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from measure import Sample, one_core, side_by_side

#: Rows, columns, channels out and in, kernel, stride of the distinct layers of ResNet-18.
_RESNET18 = [
    (112, 112, 64, 3, 7, 2),
    (56, 56, 64, 64, 3, 1),
    (28, 28, 128, 64, 3, 2),
    (28, 28, 128, 128, 3, 1),
    (28, 28, 128, 64, 1, 2),
    (14, 14, 256, 128, 3, 2),
    (14, 14, 256, 256, 3, 1),
    (14, 14, 256, 128, 1, 2),
    (7, 7, 512, 256, 3, 2),
    (7, 7, 512, 512, 3, 1),
    (7, 7, 512, 256, 1, 2),
]
_LLAMA, _GEMMS, _CONVOLUTIONS, _CAPACITIES = 10_000, 100_000, 1_000, 200_000
#: The nest of the exhaustive search: rows, columns and depth of a product.
_SEARCHED = (256, 512, 512)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    asked = parser.parse_args()
    where = one_core()
    lines = measured()
    if asked.json:
        print(json.dumps({"cpu": where, "lines": lines}))
        return 0
    print(f"{where}; CPU time; median (lowest, highest)")
    for name, unit, values in lines:
        print(f"{name:58}{values[0]:>12,.4g} ({values[1]:,.4g} .. {values[2]:,.4g}) {unit}")
    return 0


def measured() -> list[tuple[str, str, list[float]]]:
    """Name, unit, and median, lowest and highest of each line."""
    import numpy as np

    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "traffic"))
    from exhaustive import search

    from perfmodel.cost.traffic.closed_forms import (
        attention_traffic,
        convolution_traffic,
        gemm_traffic,
    )
    from perfmodel.cost.traffic.nest import Conventions, TileNest, Widths
    from perfmodel.cost.traffic.staircase import staircase
    from perfmodel.cost.traffic.staircase_batch_lookup import batched

    rng = np.random.default_rng(1)
    layers = [
        TileNest(
            out_rows=p,
            out_columns=q,
            out_channels=k,
            in_channels=c,
            kernel_rows=r,
            kernel_columns=r,
            row_stride=s,
            column_stride=s,
        )
        for p, q, k, c, r, s in _RESNET18
    ]
    stairs = [staircase(layer, Widths()) for layer in layers]
    capacities = np.exp(rng.uniform(np.log(2**12), np.log(2**22), _CAPACITIES))

    def llama(i: int) -> None:
        n = _LLAMA
        rows = np.floor(np.exp(rng.uniform(0, np.log(8192), n)))
        keys = rows + np.floor(np.exp(rng.uniform(0, np.log(8192), n)))
        hidden, wide = (np.floor(x * rng.uniform(0.25, 2, n)) for x in (4096, 14336))
        shared = np.floor(hidden / 4)
        capacity = np.exp(rng.uniform(np.log(2**15), np.log(2**26), n)) + i
        columns = np.stack([hidden, shared, hidden, wide, hidden])
        depth = np.stack([hidden, hidden, hidden, hidden, wide])
        nest = TileNest.product(rows, columns, depth)
        total = gemm_traffic(nest, capacity, Widths(weight=0.5)).total.sum(axis=0)
        total += attention_traffic(
            rows, keys, 128, 128, capacity, sharing=4, heads=8, causal=True
        ).total
        assert total.shape == (n,)

    def gemms(i: int) -> None:
        m, n, k = np.floor(np.exp(rng.uniform(0, np.log(4096), (3, _GEMMS))))
        capacity = np.exp(rng.uniform(np.log(2**10), np.log(2**24), _GEMMS))
        nest = TileNest.product(m, n, k)
        assert gemm_traffic(nest, capacity + i).total.shape == (_GEMMS,)

    def convolutions(i: int) -> None:
        pixels, k, c = (
            np.floor(np.exp(rng.uniform(0, np.log(256), _CONVOLUTIONS))) for _ in range(3)
        )
        capacity = np.exp(rng.uniform(np.log(2**13), np.log(2**20), _CONVOLUTIONS))
        nest = TileNest(pixels, pixels, 2 * k, 2 * c, 3, 3)
        found = convolution_traffic(nest, capacity + i)
        assert found.total.shape == (_CONVOLUTIONS,)

    m, n, k = _SEARCHED
    nest = TileNest(out_rows=m, out_channels=n, in_channels=k)

    def exhaustive(i: int) -> None:
        search(nest, Widths(1, 1, 1, 4 + i % 2), Conventions(), unit=1.0)

    times = side_by_side(
        {
            "stairs": (lambda i: batched(stairs, capacities + i), 1),
            "llama": (llama, 1),
            "gemms": (gemms, 1),
            "convolutions": (convolutions, 1),
            "exhaustive": (exhaustive, 1),
        },
        rounds=5,
    )
    looked_up = len(layers) * _CAPACITIES
    one = times["exhaustive"]
    rates = [
        ("staircases looked up, 11 layers of ResNet-18", "layer-points/s", "stairs", looked_up),
        ("closed form, Llama-3-8B layers of six nests", "points/s", "llama", _LLAMA),
        ("closed form, GEMMs", "points/s", "gemms", _GEMMS),
        ("closed form, 3x3 convolutions", "points/s", "convolutions", _CONVOLUTIONS),
    ]
    lines = [
        (name, unit, _summary(times[key].each(lambda s, count=count: count / s)))
        for name, unit, key, count in rates
    ]
    lines.append((f"exhaustive search, a GEMM of {m} x {n} x {k}", "s", _summary(one)))
    for name, key, count in (
        ("search / look-up of a layer", "stairs", looked_up),
        ("search / closed form of a GEMM", "gemms", _GEMMS),
    ):
        ratio = sorted(e / (t / count) for e, t in zip(one.values, times[key].values, strict=True))
        lines.append((name, "x", [ratio[len(ratio) // 2], ratio[0], ratio[-1]]))
    return lines


def _summary(sample: Sample) -> list[float]:
    return [sample.median, sample.low, sample.high]


if __name__ == "__main__":
    sys.exit(main())
