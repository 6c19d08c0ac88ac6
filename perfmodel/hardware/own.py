"""Derive the spec of a new device from the nearest device of the library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

from perfmodel.errors import Fault, InputError, input_error, no_such
from perfmodel.hardware import library
from perfmodel.hardware.copying.spec import Confidence, NewSpec, copied, name_faults
from perfmodel.hardware.device import Device
from perfmodel.hardware.likeness import products
from perfmodel.hardware.likeness.architecture import copy_fault, none_like, unlike
from perfmodel.hardware.likeness.distance import Likenesses, Sketch, sketch, sketch_of
from perfmodel.hardware.likeness.distance import near as nearest_devices
from perfmodel.settings import gathered

#: Kinds whose kernel times are counted in clocks, independently of the peaks.
_BY_CLOCK: Final = ("mcu", "simd")


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
        Its name in snake case. Of a product that the library knows of without having its spec
        (rtx_2060), the facts that are known are set too, and only a device of its family and
        without extensions that it lacks is copied. The name of a device of the library is allowed
        too: where the folder of the file is named, the file stands for that device.
    base
        Device to copy. By default the one nearest to what is given.
    set
        A fact by path: memories.main.bandwidth="25 GB/s", power.busy="7 W"; a plain number is SI.
    like
        Words that the copied device has in its name, title or tags: "phone qualcomm".
    kind
        Kind of one of its engines: roofline, tensor_core, npu, mcu, ...
    bandwidth
        Bandwidth of its main memory. It decides which device is copied, and is set in the copy.
    peak
        Dense peak, such as "8 TOP/s". It decides which device is copied, and is set in the copy.
    format
        Compute format of the peak. By default that of the copied device's largest.
    title
        Full name of the product.
    source
        Document from which the numbers that are set are taken.
    confidence
        Of the numbers that are set: estimated, datasheet or measured.
    runtime
        Default runtime. By default that of the copied device.
    directories
        More folders of spec files.

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
    wanted, known = faults.trying(sketch, bandwidth, peak, format, kind), products.find(name)
    settings, why = dict(set or {}), ""
    if base is None and wanted is not None:
        choice = faults.trying(_chosen, name, wanted, known, _words(like), kind, directories)
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
    for path, value in _facts(device, wanted, known).items():
        settings.setdefault(path, value)
    if known is not None and not title:
        title = known.sketch.title
    return copied(
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
) -> Likenesses:
    """Return the library devices nearest to a device, a product or facts.

    Parameters
    ----------
    device
        A device, or a well-known product that the library has no spec of; instead of facts.
    like
        Words that the devices have in their names, titles or tags.
    kind
        Kind of one of their engines.
    bandwidth
        Wanted bandwidth of the main memory.
    peak
        Wanted dense peak.
    format
        Compute format of the peak. By default each device's best.
    most
        How many to list. In Python None for all.
    directories
        More folders of spec files.

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
    wanted = sketch(bandwidth, peak, format, kind)
    if device is not None:
        if bandwidth is not None or peak is not None:
            raise input_error(
                "a device and facts exclude each other",
                file="near",
                expected="a device, or --bandwidth and --peak",
            )
        known = products.find(device) if isinstance(device, str) else None
        spec = None if known else library.hardware(device, directories)
        wanted = known.sketch if known else sketch_of(spec)[0] if spec else wanted
    elif wanted.bandwidth is None and not wanted.peaks and not like and not kind:
        raise InputError(_nothing())
    return Likenesses(nearest_devices(wanted, _words(like), most, directories))


def _nothing() -> Fault:
    return Fault(
        "nothing to find a device by", expected="a device, or --bandwidth, --peak, --kind or --like"
    )


def _words(like: str | Iterable[str]) -> list[str]:
    texts = [like] if isinstance(like, str) else list(like)
    return [word for text in texts for word in text.replace(",", " ").split()]


def _chosen(
    name: str,
    wanted: Sketch,
    known: products.HardwareProduct | None,
    words: list[str],
    kind: str,
    directories: Iterable[str | Path],
) -> tuple[str, str]:
    """Return the name of the device to copy and the reason for the choice."""
    if wanted.bandwidth is None and not wanted.peaks:
        if known is not None:
            wanted, words = known.sketch, words or products.group_of(known)
        elif not words and not kind:
            raise input_error(
                "nothing to choose a device by",
                file="--from",
                expected="a device to copy, or --like, --kind, --bandwidth "
                f"or --peak; '{name}' is no product that is known",
            )
    excluded = None if known is None else partial(unlike, known)
    matches = nearest_devices(wanted, words, 2, directories, excluded)
    if not matches:
        assert known is not None
        raise input_error(f"nothing to copy for '{name}'", file="--from", expected=none_like(known))
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


def _facts(
    device: Device, wanted: Sketch, known: products.HardwareProduct | None
) -> dict[str, float]:
    """Return the facts to set: the user's, else those known of the product."""
    has, engines = sketch_of(device)
    rate = wanted.bandwidth or (known.sketch.bandwidth if known else None)
    facts: dict[str, float] = {} if rate is None else {"memories.main.bandwidth": rate}
    peaks = dict(wanted.peaks) or (dict(known.sketch.peaks) if known else {})
    if "" in peaks:
        best = max(has.peaks, key=lambda each: has.peaks[each])
        peaks = {best: peaks[""]}
    clocked = {e.name: e.clock.value for e in device.engines if e.kind in _BY_CLOCK and e.clock}
    for name, peak in peaks.items():
        if name not in engines:
            continue
        clock = clocked.get(engines[name])
        if clock is not None:
            # Kernel times of such a core are in clocks; a peak is reached by scaling the clock.
            facts.setdefault(f"engines.{engines[name]}.clock", clock * peak / has.peaks[name])
            continue
        head = f"engines.{engines[name]}.peaks."
        facts[head + name] = peak
        # Other formats of the engine scale alike: their ratios are properties of the architecture.
        for other, engine in engines.items():
            if engine == engines[name] and other not in peaks:
                facts.setdefault(head + other, has.peaks[other] * peak / has.peaks[name])
    return facts
