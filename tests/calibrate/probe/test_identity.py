"""What is read of a host, from files and values made up, with most of it missing at times."""

from pathlib import Path

import pytest

from perfmodel.calibrate.probe import HostCache, identify
from perfmodel.table import plain

_CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model name\t: AMD EPYC
flags\t\t: fpu sse2 avx avx2 fma avx512f avx512_vnni

processor\t: 1
vendor_id\t: AuthenticAMD
"""
_ARM = """processor\t: 0
Features\t: fp asimd asimdhp asimddp
CPU implementer\t: 0x41

processor\t: 1
Features\t: fp asimd

Hardware\t: BCM2712
"""


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_linux(tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    files = {"proc/cpuinfo": _CPUINFO, "proc/meminfo": "MemTotal:       1024 kB\nMemFree: 3 kB\n"}
    for cpu in (0, 1):
        files[f"{cpus}/cpu{cpu}/topology/thread_siblings_list"] = "0-1\n"
    for index, (level, kind, size, ways, shared) in enumerate(
        (
            (1, "Data", "32K", 8, "0-1"),
            (1, "Instruction", "32K", 8, "0-1"),
            (3, "Unified", "32768K", 16, "0-3,8-9"),
            (2, "Unified", "1M", 8, "0"),
        )
    ):
        at = f"{cpus}/cpu0/cache/index{index}"
        files |= {
            f"{at}/level": f"{level}\n",
            f"{at}/type": f"{kind}\n",
            f"{at}/size": f"{size}\n",
            f"{at}/ways_of_associativity": f"{ways}\n",
            f"{at}/coherency_line_size": "64\n",
            f"{at}/shared_cpu_list": f"{shared}\n",
        }
    found = identify(_write(tmp_path, files), "Linux", "x86_64")
    assert (found.vendor, found.model, found.family) == ("AuthenticAMD", "AMD EPYC", 25)
    assert found.flags == ("sse2", "avx", "avx2", "fma", "avx512f", "avx512_vnni")
    assert (found.cores, found.threads, found.memory_bytes) == (1, 2, 1 << 20)
    assert found.caches == (
        HostCache(1, 32 << 10, 8, 64, 2),
        HostCache(2, 1 << 20, 8, 64, 1),
        HostCache(3, 32 << 20, 16, 64, 6),
    )
    assert found.notes == ()


def test_linux_on_arm(tmp_path: Path) -> None:
    files = {"proc/cpuinfo": _ARM, "proc/device-tree/model": "Raspberry Pi 5 Model B\0"}
    found = identify(_write(tmp_path, files), "Linux", "aarch64")
    assert (found.vendor, found.model) == ("Arm", "Raspberry Pi 5 Model B")
    assert found.threads == 2
    assert found.flags == ("asimd", "asimdhp", "asimddp")
    assert found.notes == (
        "the number of cores could not be found",
        "the caches could not be found",
        "the size of memory could not be found",
    )


def test_macos() -> None:
    values = {
        "machdep.cpu.brand_string": "Apple M2",
        "hw.physicalcpu": "8",
        "hw.logicalcpu": "8",
        "hw.memsize": str(16 << 30),
        "hw.cachelinesize": "128",
        "hw.perflevel0.l1dcachesize": str(128 << 10),
        "hw.perflevel0.l2cachesize": str(16 << 20),
        "hw.perflevel0.cpusperl2": "4",
        "hw.optional.arm.FEAT_DotProd": "1",
    }
    found = identify(system="Darwin", machine="arm64", sysctl=values.get)
    assert (found.vendor, found.model, found.cores) == ("Apple", "Apple M2", 8)
    assert found.caches == (
        HostCache(1, 128 << 10, None, 128, None),
        HostCache(2, 16 << 20, None, 128, 4),
    )
    assert found.flags == ("asimd", "asimddp")


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows", "Plan 9"])
def test_nothing_to_be_found_is_said(tmp_path: Path, system: str) -> None:
    found = identify(tmp_path, system, "riscv64", lambda name: None)
    assert found.model is None
    assert found.caches == ()
    assert "the model of the processor could not be found" in found.notes
    assert plain(found)["caches"] == []


@pytest.mark.parametrize("text", ["", "K", "-3K", "32Q", "0K", "3.5M"])
def test_sizes_that_are_none(tmp_path: Path, text: str) -> None:
    at = "sys/devices/system/cpu/cpu0/cache/index0"
    _write(tmp_path, {f"{at}/level": "1", f"{at}/type": "Data", f"{at}/size": text})
    assert identify(tmp_path, "Linux", "x86_64").caches == ()


def test_this_host_is_identified() -> None:
    found = identify()
    assert found.threads
    assert [c.level for c in found.caches] == sorted(c.level for c in found.caches)
