"""Derivation of a new device's spec from the nearest device of the library.

`new` selects the device to copy by the stated facts, words or product, sets these facts in the copy
(`perfmodel.hardware.spec_copy`), and refuses a copy across architectures. `near` lists the nearest
devices without copying.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

from perfmodel.errors import Fault, InputError, input_error, no_such
from perfmodel.hardware import library
from perfmodel.hardware.device import Device
from perfmodel.hardware.similarity import known_products as products
from perfmodel.hardware.similarity.architecture import (
    architecture_mismatch,
    copy_fault,
    no_comparable_device,
)
from perfmodel.hardware.similarity.distance import (
    DeviceMatches,
    DeviceSummary,
    nearest_devices,
    summary_of,
    wanted_summary,
)
from perfmodel.hardware.spec_copy.device_copy import Confidence, NewSpec, copy_device, name_faults
from perfmodel.settings import gathered

#: Kinds whose kernel times are counted in clocks, independently of the peaks.
_KINDS_COUNTED_IN_CLOCKS: Final = ("mcu", "simd")


def new(
    name: str,
    base: str | Path | Device | None = None,
    set: Mapping[str, Any] | None = None,
    *,
    like: str | Iterable[str] = (),
    kind: str = "",
    bandwidth: str | float | None = None,
    peak: str | float | None = None,
    format: str = "",
    title: str = "",
    source: str = "",
    confidence: Confidence = "estimated",
    runtime: str = "",
    directories: Iterable[str | Path] = (),
) -> NewSpec:
    """Return the spec of a new device, copied from one of the library.

    Parameters
    ----------
    name
        Name of the device in snake case. If the library knows facts of a product of this name but
        has no spec of it (gtx_1630), these facts are set too, and only a device of the same family,
        with no extension that the product lacks, is copied. A name that the library already has is
        allowed; the new file then replaces that device wherever the file's folder is named.
    base
        Device to copy. By default the one nearest to the stated facts.
    set
        Facts by path: memories.main.bandwidth="25 GB/s", power.busy="7 W". Plain numbers are in SI
        units.
    like
        Words in the name, title or tags of the device to copy: "phone qualcomm".
    kind
        Hardware kind of one of its engines: roofline, tensor_core, npu, mcu, ...
    bandwidth
        Bandwidth of the main memory. It is used to select the device to copy, and is set in the
        copy.
    peak
        Dense peak compute rate, such as "8 TOP/s". It is used to select the device to copy, and is
        set in the copy.
    format
        Compute format of the peak. By default that of the largest peak of the copied device.
    title
        Full name of the product.
    source
        Document that states the numbers that are set.
    confidence
        Confidence of the numbers that are set: estimated, datasheet or measured.
    runtime
        Default runtime. By default that of the copied device.
    directories
        Further folders of spec files.

    Returns
    -------
    NewSpec
        Spec with ``device`` for predictions, ``text`` and ``save(path)`` for the file, and
        ``changes``.

    Raises
    ------
    InputError
        Lists every fault of the name, the facts and the words; no criterion to select a device by;
        a product with another architecture than the device.

    Examples
    --------
    >>> new("my_board", "rk3588", {"memories.main.bandwidth": "25 GB/s"}).base
    'rk3588'
    """
    faults = gathered()
    faults += name_faults(name, directories)
    if confidence not in get_args(Confidence):
        message = f"there is no confidence '{confidence}'"
        faults.append(no_such(message, confidence, get_args(Confidence), "confidence"))
    named = not faults and name in library.entries("devices", directories)
    if named and base is None and not (like or kind or bandwidth or peak):
        base = name  # a device of the library with facts set, under its own name
    wanted, known = (
        faults.trying(wanted_summary, bandwidth, peak, format, kind),
        products.find(name),
    )
    settings, why = dict(set or {}), ""
    if base is None and wanted is not None:
        choice = faults.trying(
            _select_base, name, wanted, known, _split_words(like), kind, directories
        )
        base, why = choice or (None, "")
    device = None if base is None else faults.trying(library.hardware, base, directories)
    if known is not None and device is not None:
        crossing = copy_fault(known, device, settings, runtime)
        faults.extend([] if crossing is None else [crossing])
    faults.settle()
    assert device is not None
    assert wanted is not None
    if known is not None and not source:
        source = products.title_of(known.source)
    for path, value in _facts_to_set(device, wanted, known).items():
        settings.setdefault(path, value)
    if known is not None and not title:
        title = known.summary.title
    return copy_device(
        name,
        device,
        settings,
        title=title,
        source=source,
        confidence=confidence,
        runtime=runtime,
        why=why,
        directories=directories,
    )


def near(
    device: str | Path | Device | None = None,
    *,
    like: str | Iterable[str] = (),
    kind: str = "",
    bandwidth: str | float | None = None,
    peak: str | float | None = None,
    format: str = "",
    most: int | None = 5,
    directories: Iterable[str | Path] = (),
) -> DeviceMatches:
    """Return the library devices nearest to a device, a product or facts.

    Parameters
    ----------
    device
        A device, or a known product of which the library has no spec, in place of facts.
    like
        Words in the names, titles or tags of the devices.
    kind
        Hardware kind of one of their engines.
    bandwidth
        Bandwidth of the main memory that is sought.
    peak
        Dense peak compute rate that is sought.
    format
        Compute format of the peak. By default the one with the largest peak of each device.
    most
        Number of devices to list. In Python, None lists all.
    directories
        Further folders of spec files.

    Raises
    ------
    InputError
        Unknown device or word, or no criterion to find devices by.

    Examples
    --------
    >>> near(bandwidth="25 GB/s", peak="8 TOP/s", format="int8", like="npu")[0].kind
    'npu'
    """
    if most is not None and most < 0:
        raise input_error(f"{most} devices", path="most", expected="a whole number from 0")
    wanted = wanted_summary(bandwidth, peak, format, kind)
    if device is not None:
        if bandwidth is not None or peak is not None:
            raise input_error(
                "a device and facts exclude each other",
                file="near",
                expected="a device, or --bandwidth and --peak",
            )
        known = products.find(device) if isinstance(device, str) else None
        spec = None if known else library.hardware(device, directories)
        wanted = known.summary if known else summary_of(spec)[0] if spec else wanted
    elif wanted.bandwidth is None and not wanted.peaks and not like and not kind:
        raise InputError(_no_criterion_fault())
    return DeviceMatches(nearest_devices(wanted, _split_words(like), most, directories))


def _no_criterion_fault() -> Fault:
    return Fault(
        "nothing to find a device by", expected="a device, or --bandwidth, --peak, --kind or --like"
    )


def _split_words(like: str | Iterable[str]) -> list[str]:
    texts = [like] if isinstance(like, str) else list(like)
    return [word for text in texts for word in text.replace(",", " ").split()]


def _select_base(
    name: str,
    wanted: DeviceSummary,
    known: products.HardwareProduct | None,
    words: list[str],
    kind: str,
    directories: Iterable[str | Path],
) -> tuple[str, str]:
    """Return the name of the device to copy and the reason for the choice."""
    if wanted.bandwidth is None and not wanted.peaks:
        if known is not None:
            wanted, words = known.summary, words or products.group_of(known)
        elif not words and not kind:
            raise input_error(
                "nothing to choose a device by",
                file="--from",
                expected="a device to copy, or --like, --kind, --bandwidth "
                f"or --peak; '{name}' is not a known product",
            )
    excluded = None if known is None else partial(architecture_mismatch, known)
    matches = nearest_devices(wanted, words, 2, directories, excluded)
    if not matches:
        assert known is not None
        raise input_error(
            f"nothing to copy for '{name}'", file="--from", expected=no_comparable_device(known)
        )
    best, others = matches[0], matches[1:]
    ratios = [
        f"{noun} {ratio:.3g} times the wanted"
        for noun, ratio in (
            ("bandwidth", best.bandwidth_ratio),
            (f"{best.format} peak", best.peak_ratio),
        )
        if ratio is not None
    ]
    criteria = [*words, kind] if kind else words
    by = " and ".join(ratios) or f"the first by name of those with {' and '.join(criteria)}"
    then = f"; next is {others[0].name}" if others else ""
    return best.name, f"{by}{then}"


def _facts_to_set(
    device: Device, wanted: DeviceSummary, known: products.HardwareProduct | None
) -> dict[str, float]:
    """Return the facts to set: the user's, else those known of the product."""
    summary, engines = summary_of(device)
    rate = wanted.bandwidth or (known.summary.bandwidth if known else None)
    facts: dict[str, float] = {} if rate is None else {"memories.main.bandwidth": rate}
    peaks = dict(wanted.peaks) or (dict(known.summary.peaks) if known else {})
    if "" in peaks:
        best = max(summary.peaks, key=lambda each: summary.peaks[each])
        peaks = {best: peaks[""]}
    clocked = {
        e.name: e.clock.value
        for e in device.engines
        if e.kind in _KINDS_COUNTED_IN_CLOCKS and e.clock
    }
    for name, peak in peaks.items():
        if name not in engines:
            continue
        clock = clocked.get(engines[name])
        if clock is not None:
            # Kernel times of such a core are in clocks; a peak is reached by scaling the clock.
            facts.setdefault(f"engines.{engines[name]}.clock", clock * peak / summary.peaks[name])
            continue
        head = f"engines.{engines[name]}.peaks."
        facts[head + name] = peak
        # Other formats of the engine scale alike: their ratios are properties of the architecture.
        for other, engine in engines.items():
            if engine == engines[name] and other not in peaks:
                facts.setdefault(head + other, summary.peaks[other] * peak / summary.peaks[name])
    return facts
