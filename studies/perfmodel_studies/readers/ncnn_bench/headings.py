"""What a heading of ncnn's benchmark page says of a device: cores, their clocks and counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import perfmodel as pm

from perfmodel_studies.readers.ncnn_bench.chips import chips

__all__ = ["Cluster", "Cores", "clusters", "cores_at_work"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Alike cores of a chip.

    Attributes
    ----------
    core
        Device of the library that is one such core.
    count
        How many there are.
    clock_hz
        With all at work.
    boost_hz
        With one at work.
    """

    core: str
    count: int
    clock_hz: float
    boost_hz: float


@dataclass(frozen=True, slots=True)
class Cores:
    """Cores that a run keeps busy: so many, each as fast as the slowest of them."""

    core: str
    count: int
    clock_hz: float


#: Name in a heading -> device of the library, the longest first.
_CORES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), device)
    for pattern, device in (
        (
            r"(?:Cortex[- ]?|Core )A(?:5|7|9|17|5[357]|7[235678]|510|520|710|715|720)(?:AE|C)?\b",
            "cortex_a",
        ),
        (r"(?:Cortex[- ]?|Core )X[1-4]\b", "cortex_x"),
        (r"\bNeoverse[- ]?N1\b|\bAmpere[^@]*Altra\b", "neoverse_n1"),
        (r"\bFTC663\b", "ftc663"),
        (r"\bKun ?Peng ?920\b|\bTSV110\b", "taishan_v110"),
        # Desktop parts by number: others of the same thousand have older cores (3200G, 5500U).
        (r"\bZen ?2\b|\bThreadripper 39[679]0X\b", "zen2_avx2"),
        (r"\bRyzen \d 3(?:[36]00X?|[78]00X|800XT|9[05]0X)\b", "zen2_avx2"),
        (r"\bZen ?3\b|\bRyzen \d 5(?:600[XG]?|700[XG]|800X(?:3D)?|9[05]0X)\b", "zen3_avx2"),
    )
)

_CLOCK: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([GM])Hz", re.IGNORECASE)
_COUNT: Final = (
    re.compile(r"[GM]Hz\s*\)?\s*[x×*]\s*(\d+)", re.IGNORECASE),
    re.compile(r"(\d+)\s*[x×*]\s*\d+(?:\.\d+)?\s*[GM]Hz", re.IGNORECASE),
    re.compile(r"[x×*]\s*(\d+)"),
)


def clusters(heading: str) -> tuple[Cluster, ...]:
    """Return the clusters of a device, the fastest first; none where no core is known."""
    text = heading.replace("\u2011", "-")
    if not _CLOCK.search(text):
        return _product(text)
    named: list[Cluster] = []
    kryo = _kryo(text)
    for part in text.split("+"):
        clocks = [float(n) * (1e9 if unit in "Gg" else 1e6) for n, unit in _CLOCK.findall(part)]
        core = kryo[-1] if kryo else _core(part)
        graphics = kryo and re.search(r"Adreno|GPU|Mali", part)
        if not core or graphics or not (clocks or named):
            continue
        if not clocks:
            clocks = [named[-1].clock_hz]
        named.append(Cluster(core, _count(part), min(clocks), max(clocks)))
    if kryo:  # which of a chip's cores they are, follows from their clocks
        named.sort(key=lambda cluster: cluster.boost_hz, reverse=True)
        named = [replace(c, core=kryo[min(i, len(kryo) - 1)]) for i, c in enumerate(named)]
    return tuple(named) or _product(text)


def _product(text: str) -> tuple[Cluster, ...]:
    for product in chips().products:
        if re.search(rf"(?<![A-Za-z0-9])(?:{product.heading})(?![A-Za-z0-9])", text, re.IGNORECASE):
            boost = product.boost or product.clock
            core = _known(product.core)
            return (Cluster(core, product.count, product.clock.value, boost.value),)
    return ()


def _known(core: str) -> str:
    """Return the library's name of a core: one device may stand for several."""
    return pm.hardware(core).name


def _kryo(text: str) -> tuple[str, ...]:
    if not re.search(r"Kr?yr?o", text):
        return ()
    for name, chip in chips().snapdragons.items():
        if re.search(rf"Snapdragon {name}(?:\D|$)", text):
            return tuple(map(_known, chip.cores))
    return ()


def _core(part: str) -> str:
    for pattern, device in _CORES:
        match = pattern.search(part)
        if match:
            if device.startswith("cortex_"):
                digits = re.sub(r"\D", "", match.group())
                device += digits
            return _known(device)
    return ""


def _count(part: str) -> int:
    if re.search(r"Quad[- ]Core", part, re.IGNORECASE):
        return 4
    for pattern in _COUNT:
        match = pattern.search(part)
        if match:
            return int(match.group(1))
    return 1


def cores_at_work(available: tuple[Cluster, ...], threads: int, powersave: int) -> Cores:
    """Return the cores that a run keeps busy.

    ncnn binds threads to the little cores (powersave 1), to the big ones (2), or to none (0), where
    the fastest are taken first. A loop is cut in equal parts, so the slowest core decides.
    """
    # The tables above and the headings list the fastest cluster first, but for some.
    order = sorted(available, key=lambda c: (_RANK.get(c.core, 1), c.boost_hz), reverse=True)
    if powersave == 1 and len(order) > 1:
        order = [order[-1]]
    elif powersave == 2 and len(order) > 1:
        order = [c for c in order if c.core != order[-1].core] or order[:1]
    left, busy = threads, 0
    slowest = order[0]
    for cluster in order:
        slowest = cluster
        taken = min(left, cluster.count)
        busy += taken
        left -= taken
        if not left:
            break
    clock = slowest.boost_hz if threads == 1 else slowest.clock_hz
    return Cores(slowest.core, busy, clock)


#: Little cores rank below the others, however high they are clocked.
_RANK: Final = {
    "cortex_a53": 0,
    "cortex_a55": 0,
    "cortex_a510": 0,
    "cortex_a520": 0,
    "cortex_x1": 2,
    "cortex_x3": 2,
}
