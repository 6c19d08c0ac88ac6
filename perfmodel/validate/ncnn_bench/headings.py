"""What a heading of ncnn's benchmark page says of a device: cores, their clocks and counts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

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
        (r"\bA(?:5|7|9|17|53|55|57|72|73|75|76|77|78|510|520|710|715|720)(?:AE|C)?\b", "cortex_a"),
        (r"\bX[1-4]\b", "cortex_x"),
        (r"Neoverse[- ]?N1|Ampere[^@]*Altra", "neoverse_n1"),
        (r"FTC66[0-9]", "ftc663"),
        (r"Kun ?Peng ?920|TaiShan|TSV110", "taishan_v110"),
        (r"Zen ?2|Threadripper 3\d{3}|Ryzen \d 3\d{3}", "zen2_avx2"),
        (r"Zen ?3|Ryzen \d 5\d{3}|5700g", "zen3_avx2"),
    )
)
_SAME: Final = {
    "cortex_a715": "cortex_a710", "cortex_x2": "cortex_x3", "cortex_x4": "cortex_x3",
}  # fmt: skip

#: Qualcomm's own names do not say which core it is; its chips do. Clusters, the fastest first.
_KRYO: Final = {
    "820": ("kryo_2016", "kryo_2016"),
    "821": ("kryo_2016", "kryo_2016"),
    "636": ("cortex_a73", "cortex_a53"),
    "660": ("cortex_a73", "cortex_a53"),
    "835": ("cortex_a73", "cortex_a53"),
    "670": ("cortex_a75", "cortex_a55"),
    "710": ("cortex_a75", "cortex_a55"),
    "845": ("cortex_a75", "cortex_a55"),
    "675": ("cortex_a76", "cortex_a55"),
    "730": ("cortex_a76", "cortex_a55"),
    "765": ("cortex_a76", "cortex_a55"),
    "855": ("cortex_a76", "cortex_a76", "cortex_a55"),
    "865": ("cortex_a77", "cortex_a77", "cortex_a55"),
    "870": ("cortex_a77", "cortex_a77", "cortex_a55"),
    "778": ("cortex_a78", "cortex_a78", "cortex_a55"),
    "888": ("cortex_x1", "cortex_a78", "cortex_a55"),
    "8 Gen 1": ("cortex_x3", "cortex_a710", "cortex_a510"),
    "8 Gen 2": ("cortex_x3", "cortex_a710", "cortex_a710", "cortex_a510"),
}

#: Headings that name a product alone: (pattern, core, cores, clock, boost), clocks in GHz.
_PRODUCTS: Final = (
    (r"MacBook.*\bM1\b", "apple_firestorm", 4, 3.2, 3.2),
    (r"MacBook.*\bM3\b", "apple_firestorm", 4, 4.05, 4.05),
    (r"MacBook Pro \(15-inch, 2019\)", "skylake_avx2", 6, 2.6, 4.5),
    (r"Jetson Orin Nano|Orin Nano", "cortex_a78", 6, 1.5, 1.5),
    (r"Jetson Nano", "cortex_a57", 4, 1.43, 1.43),
    (r"Raspberry Pi Zero 2", "cortex_a53", 4, 1.0, 1.0),
    (r"Raspberry Pi 5", "cortex_a76", 4, 2.4, 2.4),
    (r"RK3588", "cortex_a76", 4, 2.4, 2.4),
    (r"KunPeng 920 3211K", "taishan_v110", 24, 2.6, 2.6),
    (r"KunPeng 920 7260", "taishan_v110", 64, 2.6, 2.6),
    (r"D\d+ps", "neoverse_n1", 64, 3.0, 3.0),
    (r"c5\.4xlarge", "cascade_lake_avx512", 8, 3.4, 3.6),
    (r"Celeron N5105", "tremont", 4, 2.8, 2.9),
    (r"Atom x5-Z8350", "silvermont", 4, 1.68, 1.92),
    (r"Ryzen 9 5950X", "zen3_avx2", 16, 3.8, 4.9),
    (r"i7-13700K", "raptor_cove", 8, 5.1, 5.4),
    (r"i7-11800H", "tiger_lake_avx512", 8, 3.8, 4.6),
    (r"i7-7700K", "skylake_avx2", 4, 4.4, 4.5),
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
    for pattern, core, count, clock, boost in _PRODUCTS:
        if re.search(pattern, text, re.IGNORECASE) and not _CLOCK.search(text):
            return (Cluster(core, count, clock * 1e9, boost * 1e9),)
    found: list[Cluster] = []
    kryo = _kryo(text)
    for part in text.split("+"):
        clocks = [float(n) * (1e9 if unit in "Gg" else 1e6) for n, unit in _CLOCK.findall(part)]
        core = kryo[-1] if kryo else _core(part)
        graphics = kryo and re.search(r"Adreno|GPU|Mali", part)
        if not core or graphics or not (clocks or found):
            continue
        if not clocks:
            clocks = [found[-1].clock_hz]
        found.append(Cluster(core, _count(part), min(clocks), max(clocks)))
    if kryo:  # which of a chip's cores they are, follows from their clocks
        found.sort(key=lambda cluster: cluster.boost_hz, reverse=True)
        found = [replace(c, core=kryo[min(i, len(kryo) - 1)]) for i, c in enumerate(found)]
    if found:
        return tuple(found)
    for pattern, core, count, clock, boost in _PRODUCTS:
        if re.search(pattern, text, re.IGNORECASE):
            return (Cluster(core, count, clock * 1e9, boost * 1e9),)
    return ()


def _kryo(text: str) -> tuple[str, ...]:
    if not re.search(r"Kr?yr?o", text):
        return ()
    for chip, cores in _KRYO.items():
        if re.search(rf"Snapdragon {chip}(?:\D|$)", text):
            return cores
    return ()


def _core(part: str) -> str:
    for pattern, device in _CORES:
        match = pattern.search(part)
        if match:
            if device.startswith("cortex_"):
                digits = re.sub(r"\D", "", match.group())
                device += digits
            return _SAME.get(device, device)
    return ""


def _count(part: str) -> int:
    if re.search(r"Quad[- ]Core", part, re.IGNORECASE):
        return 4
    for pattern in _COUNT:
        match = pattern.search(part)
        if match:
            return int(match.group(1))
    return 1


def cores_at_work(found: tuple[Cluster, ...], threads: int, powersave: int) -> Cores:
    """Return the cores that a run keeps busy.

    ncnn binds threads to the little cores (powersave 1), to the big ones (2), or to none (0), where
    the fastest are taken first. A loop is cut in equal parts, so the slowest core decides.
    """
    # The tables above and the headings list the fastest cluster first, but for some.
    order = sorted(found, key=lambda c: (_RANK.get(c.core, 1), c.boost_hz), reverse=True)
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
    "cortex_a53": 0, "cortex_a55": 0, "cortex_a510": 0, "cortex_a520": 0,
    "cortex_x1": 2, "cortex_x3": 2,
}  # fmt: skip
