"""Identity of the host's processor from the operating system: model, caches, memory.

Linux is read through ``/proc`` and ``/sys``, macOS through ``sysctl``. Unknown values are left out,
with a note. Nothing here raises.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

#: Vector and matrix instruction sets that are reported, of all that a processor lists.
_TELLING = (
    "sse2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "amx_tile",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "sve2",
    "sme",
)
_ARM_IMPLEMENTERS = {"0x41": "Arm", "0x51": "Qualcomm", "0x61": "Apple", "0xc0": "Ampere"}


@dataclass(frozen=True, slots=True)
class HostCache:
    """A level of data or unified cache.

    Attributes
    ----------
    level : int
    size_bytes : int
        Capacity of one such cache.
    ways, line_bytes, shared_by : int or None
        Associativity, bytes of a line, hardware threads that share one cache.
    """

    level: int
    size_bytes: int
    ways: int | None = None
    line_bytes: int | None = None
    shared_by: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Known facts of the host, without measuring.

    Attributes
    ----------
    system, machine : str
        As named by Python's `platform`: Linux, x86_64.
    vendor, model : str or None
    family : int or None
        Family of an x86 processor.
    cores, threads : int or None
        Physical cores; hardware threads that this process may use.
    flags : tuple of str
        Vector and matrix extensions.
    caches : tuple of Cache
        Nearest first.
    memory_bytes : int or None
    notes : tuple of str
        Facts that could not be determined.
    """

    system: str
    machine: str
    vendor: str | None = None
    model: str | None = None
    family: int | None = None
    cores: int | None = None
    threads: int | None = None
    flags: tuple[str, ...] = ()
    caches: tuple[HostCache, ...] = ()
    memory_bytes: int | None = None
    notes: tuple[str, ...] = ()

    def cache(self, level: int) -> HostCache | None:
        """Return the cache of a level, if there is one."""
        return next((c for c in self.caches if c.level == level), None)


def _sysctl(name: str) -> str | None:
    """Return the value of a `sysctl` name, or None."""
    try:
        done = subprocess.run(
            ["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def identify(
    root: Path = Path("/"),
    system: str | None = None,
    machine: str | None = None,
    sysctl: Callable[[str], str | None] = _sysctl,
) -> Identity:
    """Identify the host.

    Parameters
    ----------
    root : Path
        Folder that contains ``proc`` and ``sys``.
    system, machine : str, optional
        Override the values of `platform`.
    sysctl : callable
        Name -> value on macOS.
    """
    known = Identity(system or platform.system(), machine or platform.machine())
    if known.system == "Linux":
        known = _linux(known, root)
    elif known.system == "Darwin":
        known = _darwin(known, sysctl)
    facts = {
        "the model of the processor": known.model,
        "the number of cores": known.cores,
        "the caches": known.caches,
        "the size of memory": known.memory_bytes,
    }
    notes = tuple(f"{noun} could not be found" for noun, value in facts.items() if not value)
    threads = os.cpu_count() if known.threads is None else known.threads
    return replace(known, threads=threads, notes=notes)


def _linux(known: Identity, root: Path) -> Identity:
    """Return what Linux says of the processor."""
    entries = _cpuinfo(_text(root / "proc/cpuinfo"))
    first = entries[0] if entries else {}
    flags = set((first.get("flags") or first.get("Features") or "").split())
    implementer = first.get("CPU implementer")
    vendor = first.get("vendor_id") or _ARM_IMPLEMENTERS.get(implementer or "")
    model = first.get("model name") or _text(root / "proc/device-tree/model").rstrip("\0\n")
    memory = re.search(r"^MemTotal:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    cpus = root / "sys/devices/system/cpu"
    return replace(
        known,
        vendor=vendor or None,
        model=model or None,
        family=int(first["cpu family"]) if first.get("cpu family", "").isdigit() else None,
        cores=_linux_cores(cpus),
        threads=len(entries) or None,
        flags=tuple(flag for flag in _TELLING if flag in flags),
        caches=_linux_caches(cpus / "cpu0/cache"),
        memory_bytes=int(memory[1]) * 1024 if memory else None,
    )


def _cpuinfo(text: str) -> list[dict[str, str]]:
    """Return the entries of ``/proc/cpuinfo`` that are processors."""
    entries: list[dict[str, str]] = []
    for block in text.split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines() if ":" in line)
        entry = {key.strip(): value.strip() for key, _, value in pairs}
        if "processor" in entry:
            entries.append(entry)
    return entries


def _linux_cores(cpus: Path) -> int | None:
    """Return the number of physical cores: distinct sets of sibling threads."""
    groups = {_text(path) for path in cpus.glob("cpu[0-9]*/topology/thread_siblings_list")}
    return len(groups - {""}) or None


def _linux_caches(folder: Path) -> tuple[HostCache, ...]:
    """Return the data caches of a core, by level."""
    caches: list[HostCache] = []
    for index in sorted(folder.glob("index[0-9]*")):
        level, ways, line = (
            _positive_integer(_text(index / name))
            for name in ("level", "ways_of_associativity", "coherency_line_size")
        )
        size, shared = _bytes_of(_text(index / "size")), _text(index / "shared_cpu_list").strip()
        if level and size and _text(index / "type").strip() != "Instruction":
            caches.append(HostCache(level, size, ways, line, _members(shared)))
    return tuple(sorted(caches, key=lambda cache: cache.level))


def _darwin(known: Identity, sysctl: Callable[[str], str | None]) -> Identity:
    """Return what macOS says of the processor."""

    def number(name: str) -> int | None:
        return _positive_integer(sysctl(name) or "")

    line = number("hw.cachelinesize")
    caches: list[HostCache] = []
    for level, name in enumerate(("l1dcachesize", "l2cachesize", "l3cachesize"), 1):
        size = number(f"hw.perflevel0.{name}") or number(f"hw.{name}")
        if size:
            shared = number("hw.perflevel0.cpusperl2") if level == 2 else None
            caches.append(HostCache(level, size, None, line, shared))
    model = sysctl("machdep.cpu.brand_string")
    vendor = sysctl("machdep.cpu.vendor") or ("Apple" if "Apple" in (model or "") else None)
    features = [
        word
        for name in ("features", "leaf7_features")
        for word in (sysctl(f"machdep.cpu.{name}") or "").lower().split()
    ]
    if known.machine == "arm64":
        features += ["asimd"] + (["asimddp"] if sysctl("hw.optional.arm.FEAT_DotProd") else [])
    return replace(
        known,
        vendor=vendor,
        model=model,
        cores=number("hw.physicalcpu"),
        threads=number("hw.logicalcpu"),
        flags=tuple(flag for flag in _TELLING if flag in features),
        caches=tuple(caches),
        memory_bytes=number("hw.memsize"),
    )


def _text(path: Path) -> str:
    """Return the contents of a file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _positive_integer(text: str) -> int | None:
    """Return a positive integer from text, else ``None``."""
    text = text.strip()
    return int(text) if text.isdigit() and int(text) > 0 else None


def _bytes_of(text: str) -> int | None:
    """Return the bytes of ``32K`` or ``8M``."""
    parts = re.fullmatch(r"(\d+)([KMG]?)", text.strip())
    if parts is None:
        return None
    return int(parts[1]) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[parts[2]] or None


def _members(text: str) -> int | None:
    """Return the number of members of a list such as ``0-3,8-11``."""
    count = 0
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            return None
        count += int(last) - int(first) + 1 if dash else 1
    return count
