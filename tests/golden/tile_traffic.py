"""Tiled traffic of single nests: closed forms, staircases, levels, chains and bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

import perfmodel as pm
from tests.golden import internals
from tests.golden.figures import Figures, Value, condensed, numbers, tried
from tests.golden.internals import Conventions, TileNest, Widths

NESTS = {
    "gemm": TileNest(out_rows=48, out_channels=100, in_channels=30),
    "batched_gemm": TileNest(out_rows=12, out_channels=20, in_channels=16, groups=8),
    "conv": TileNest(14, 14, 32, 16, 3, 3),
    "strided": TileNest(9, 7, 12, 8, 5, 3, 2, 2, batch=2),
    "dilated": TileNest(12, 12, 8, 8, 3, 3, row_dilation=2, column_dilation=2),
    "depthwise": TileNest(14, 14, 1, 1, 3, 3, groups=24),
    "grouped": TileNest(7, 7, 8, 4, 3, 3, groups=4),
}
WIDTHS = {"bytes": Widths(1, 1, 1, 4), "halves": Widths(2, 0.5, 2, 4)}
CONVENTIONS = {
    f"{b}/{h}": Conventions(buffering=b, halo=h)
    for b in ("single", "double")
    for h in ("refetched", "kept")
}
CAPACITIES = np.array([64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0])


def finite(values: Any) -> list[float | None]:
    """Return numbers in a row, with None for what is infinite."""
    flat = np.asarray(values, dtype=float).reshape(-1).tolist()
    return [v if math.isfinite(v) else None for v in flat]


def stairs() -> Figures:
    """Yield staircases: their steps, and the bytes at some capacities."""
    for name, nest in NESTS.items():
        for width, widths in WIDTHS.items():
            for way, conventions in CONVENTIONS.items():
                found = internals.staircase(nest, widths, conventions)
                key = f"staircase/{name}/{width}/{way}"
                rows = np.stack([found.capacity_bytes, found.traffic_bytes], axis=1).tolist()
                yield from condensed(rows, (), key)
                for capacity, moved in zip(CAPACITIES, finite(found(CAPACITIES)), strict=True):
                    yield f"{key}/at/{capacity:g}", moved
        uneven = Conventions(allocation="uneven")
        found = internals.staircase(nest, WIDTHS["bytes"], uneven)
        yield from condensed(found.traffic_bytes.tolist(), (), f"staircase/{name}/uneven")


def closed() -> Figures:
    """Yield closed forms and bounds of products, convolutions and attention."""
    rng = np.random.default_rng(11)
    product = TileNest.product(*np.floor(np.exp(rng.uniform(0, 6, (3, 20, 1)))))
    for way, conventions in CONVENTIONS.items():
        found = internals.gemm_traffic(product, CAPACITIES, conventions=conventions)
        yield from numbers(finite(found.total), path=f"gemm/{way}")
    least = internals.compulsory_bound(product, Widths())
    yield from numbers(finite(least), path="gemm/compulsory")
    bound = internals.relaxed_bound(product, CAPACITIES, Widths())
    yield from numbers(finite(bound), path="gemm/relaxed_bound")
    root = internals.root_bound(product, CAPACITIES, Widths())
    yield from numbers(finite(root), path="gemm/root_bound")
    p, c = np.floor(np.exp(rng.uniform(1, 4, (2, 12, 1))))
    for way, conventions in CONVENTIONS.items():
        for stride in (1, 2):
            nest = TileNest(p, p, c, c, 3, 3, stride, stride)
            found = internals.convolution_traffic(nest, CAPACITIES, conventions=conventions)
            yield from numbers(finite(found.total), path=f"convolution/{way}/{stride:g}")
        nest = TileNest(p, p, kernel_rows=3, kernel_columns=3, groups=c)
        found = internals.depthwise_traffic(nest, CAPACITIES, conventions=conventions)
        yield from numbers(finite(found.total), path=f"depthwise/{way}")
    root = internals.root_bound(TileNest(p, p, c, c, 3, 3), CAPACITIES, Widths())
    yield from numbers(finite(root), path="convolution/root_bound")
    for fused in (True, False):
        for causal in (True, False):
            found = internals.attention_traffic(
                p,
                4 * p,
                64.0,
                64.0,
                16 * CAPACITIES,
                sharing=2.0,
                heads=4.0,
                causal=causal,
                fused=fused,
            )
            yield from numbers(finite(found.total), path=f"attention/{fused}/{causal}")


def several() -> Figures:
    """Yield traffic over several levels, and of chains of operators."""
    for name, nest in NESTS.items():
        for way, conventions in CONVENTIONS.items():
            if name == "dilated" and conventions.halo == "kept":
                continue  # several levels keep no halo of a dilated kernel
            key = f"levels/{name}/{way}"
            widths = WIDTHS["bytes"]
            front = internals.levels_front(nest, widths, 2048, 256, conventions)
            yield f"{key}/front", len(front)
            best = internals.two_levels(nest, widths, 2048, 256, 64.0, 4.0, conventions)
            yield from numbers({"objective": best.objective, "bytes": finite(best.bytes)}, (), key)
    for name in ("batched_gemm", "depthwise", "grouped"):
        many = internals.multilevel_tiling(
            NESTS[name], WIDTHS["bytes"], (4096, 1024, 128), (64.0, 8.0, 1.0), thin=1.5
        )
        yield f"levels/{name}/three/objective", many.objective
    rows = {
        "products": [
            TileNest(out_rows=16, in_channels=8, out_channels=24),
            TileNest(out_rows=16, in_channels=24, out_channels=8),
        ],
        "convolutions": [TileNest(10, 10, 6, 3, 3, 3), TileNest(8, 8, 8, 6, 3, 3)],
    }
    for name, nests in rows.items():
        for way, conventions in CONVENTIONS.items():
            found = internals.chain(nests, WIDTHS["bytes"], conventions)
            steps = np.stack([found.capacity_bytes, found.traffic_bytes], axis=1).tolist()
            yield from condensed(steps, (), f"chain/{name}/{way}")
            yield from numbers(finite(found.unfused(CAPACITIES)), (), f"chain/{name}/{way}/apart")


def networks() -> Iterator[tuple[str, Value]]:
    """Yield the traffic of networks of the library against the capacity of a buffer."""
    for name, settings in (
        ("resnet18", {}),
        ("mobilenet_v2", {}),
        ("mlperf_tiny_kws", {}),
        ("bert_base", {"tokens": 64}),
        ("llama_3_2_1b", {"phase": "prefill", "prompt": 64}),
    ):
        for options in ({}, {"halo": "kept"}, {"keep": 0.5}, {"buffering": "single"}):
            words = "/".join(f"{k}={v}" for k, v in options.items()) or "plain"
            yield from tried(
                f"network/{name}/{words}",
                lambda n=name, o=options, s=settings: numbers(
                    pm.traffic(n, "2**14..2**21", **o, set=s).to_records()
                ),
            )


def figures() -> Figures:
    """Yield all of them."""
    yield from stairs()
    yield from closed()
    yield from several()
    yield from networks()
