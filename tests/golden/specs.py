"""Specs: the facts of every device, the constants of every runtime, grades and neighbours."""

from __future__ import annotations

import math
from typing import Any

import perfmodel as pm
from tests.golden import internals
from tests.golden.figures import Figures, digest, numbers, rounded, tried
from tests.golden.graphs import canonical

#: Parts of a spec that are documents and prose, not numbers.
PROSE = ("fitted_on", "note", "source", "sources", "title", "url", "year")


def devices() -> Figures:
    """Yield the facts of every device under its own runtime, and its grade."""
    for name in pm.hardware.list():
        device = pm.hardware(name)
        facts = {path: float(v) for path, v in device.machine(None).facts.items()}
        yield f"device/{name}/facts", len(facts)
        yield (
            f"device/{name}/content",
            digest(sorted((path, rounded(v)) for path, v in facts.items())),
        )
        yield (
            f"device/{name}/logarithms",
            math.fsum(math.log1p(abs(v)) for v in facts.values() if math.isfinite(v)),
        )
        yield f"device/{name}/default_runtime", device.default_runtime
        yield (
            f"device/{name}/structure",
            digest(
                [(e.name, e.kind) for e in device.engines],
                [(m.name, m.kind, canonical(m.roles), canonical(m.feeds)) for m in device.memories],
            ),
        )
        graded = internals.grade(device)
        yield f"device/{name}/grade", graded.letter
        yield f"device/{name}/score", graded.score


def runtimes() -> Figures:
    """Yield every constant of every runtime by its path."""
    for runtime in internals.runtimes():
        stated = runtime.model_dump(exclude_none=True)
        yield f"constants/{runtime.name}/count", sum(1 for _ in numbers(stated, PROSE))
        for path, value in numbers(stated, PROSE):
            yield f"constants/{runtime.name}/{path}", value
        yield f"constants/{runtime.name}/words", digest(words(stated))


def words(stated: Any) -> Any:
    """Return the words of a spec that choose something, without prose."""
    if isinstance(stated, dict):
        return [(k, words(v)) for k, v in sorted(stated.items()) if k not in PROSE]
    if isinstance(stated, list | tuple):
        return [words(v) for v in stated]
    return stated if isinstance(stated, str) else ""


def nearest(name: str) -> list[dict[str, Any]]:
    """Return the devices of the library that are most like one of them."""
    summary, _ = internals.summary_of(pm.hardware(name))
    return internals.as_records(internals.nearest_devices(summary))


def neighbours() -> Figures:
    """Yield the nearest devices of some."""
    for name in ("rtx_4090", "raspberry_pi_5", "stm32h743", "edge_tpu", "apple_m1", "vu9p"):
        yield from tried(
            f"near/{name}",
            lambda name=name: numbers(nearest(name)),
        )


def figures() -> Figures:
    """Yield all of them."""
    yield from devices()
    yield from runtimes()
    yield from neighbours()
