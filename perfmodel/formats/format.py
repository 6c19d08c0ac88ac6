"""Numeric formats: stored bits per element including scales and zero points, and compute format.

An element of e bits in groups of G that share a scale of s and a zero point of z bits takes ``e +
(s + z) / G`` bits. ``workloads/stored/formats.yaml`` has the layouts with their sources (IEEE 754,
OCP OFP8 and MX, llama.cpp's ggml-common.h, GPTQ, AWQ); `find` also knows integers of any width,
groups by a suffix (``int4g128``) and mixtures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from perfmodel.arrays import Value
from perfmodel.errors import input_error, nearest
from perfmodel.specfile import shipped


@dataclass(frozen=True, slots=True)
class Format:
    """Storage format of a tensor.

    Attributes
    ----------
    name
        Name of the format.
    element_bits
        Bits of one stored element, a number or an array of shape ``(points,)``.
    family
        ``float``, ``int``, ``ternary``, ``codebook`` or ``block_float``.
    compute
        Format of an unpacked element as a multiplier operand (``fp16``, ``int8`` ...).
    group
        Number of elements that share one scale; 0 without stored scales.
    scale_bits, zero_bits
        Bits of a group's scale and of its zero point (or minimum).
    overrides
        Tensor tag -> shares and formats, for mixtures that store some tensors wider (``q4_k_m``).
    source
        Definition of the layout.
    block
        For mixtures, name of the format of every tensor without an override.
    """

    name: str
    element_bits: Value
    family: str
    compute: str
    group: int = 0
    scale_bits: float = 0.0
    zero_bits: float = 0.0
    overrides: tuple[tuple[str, tuple[tuple[float, Format], ...]], ...] = ()
    source: str = ""
    note: str = field(default="", compare=False)
    block: str = ""

    @property
    def bits(self) -> Value:
        """Stored bits per element, ``element_bits + (scale_bits + zero_bits) / group``."""
        if not self.group:
            return self.element_bits
        return self.element_bits + (self.scale_bits + self.zero_bits) / self.group

    def bits_of(self, tag: str) -> Value:
        """Return the stored bits per element of a tensor with this tag (``attn_v``, ``head``)."""
        for name, parts in self.overrides:
            if name == tag:
                return sum(share * part.bits for share, part in parts)
        return self.bits

    def parts_of(self, tag: str) -> tuple[tuple[float, str], ...]:
        """Return (share of the elements, name of its format) for a tensor with this tag."""
        for name, parts in self.overrides:
            if name == tag:
                return tuple((share, part.name) for share, part in parts)
        return ((1.0, self.block or self.name),)

    def with_bits(self, element_bits: Value) -> Format:
        """Return the format with another number (or an array) of bits per element.

        Everything else is preserved: the name, by which runtimes state constants of kernels, and
        the overrides of a mixture. With the same number of bits the result equals the format.
        """
        return replace(self, element_bits=element_bits)

    @property
    def is_float(self) -> bool:
        """Whether the compute format is floating point."""
        return self.compute.startswith(("fp", "bf", "tf"))


def layouts() -> Mapping[str, Any]:
    """Return the content of ``workloads/stored/formats.yaml``."""
    return shipped("workloads", "stored/formats.yaml")


@cache
def blocks() -> tuple[dict[str, Format], dict[str, Format]]:
    """Return all formats of the file by name, and the plain ones that are not mixtures.

    Some names are in both: a model file in ``q4_0`` stores its head in another format, a single
    tensor in ``q4_0`` does not.
    """
    known: dict[str, Format] = {}
    plain: dict[str, Format] = {}
    for layout in layouts()["layouts"]:
        for name, own in layout["formats"].items():
            stated = {**layout["all"], **own}
            known.pop(name, None)  # a mixture takes the position where it is listed
            if "block" in own:
                stated["overrides"] = tuple(
                    (tag, tuple((share, plain[part]) for part, share in parts.items()))
                    for tag, parts in own["overrides"].items()
                )
                known[name] = replace(plain[own["block"]], name=name, **stated)
            else:
                known[name] = plain[name] = Format(name, **{"compute": name, **stated})
    return known, plain


def formats() -> dict[str, Format]:
    """Return every built-in format by name."""
    return dict(blocks()[0])


def find(name: str) -> Format | None:
    """Return the format named `name`, or ``None``.

    Accepts aliases, a ``gN`` suffix for groups of N elements, and mixtures:
    ``mix(int8:0.25/int2:0.75)`` stores shares of a tensor (such as experts) in different formats.
    """
    known = blocks()[0]
    key = name.strip().lower()
    key = layouts()["aliases"].get(key, key)
    if key in known:
        return known[key]
    if key.startswith("mix(") and key.endswith(")"):
        return _mixture(key)
    if key.startswith("int") and key[3:].isdecimal() and key[3] != "0" and len(key) <= 5:
        # Circuits use integers of any width, including unnamed ones.
        return _integer(int(key[3:])) if int(key[3:]) <= 64 else None
    base, mark, group = key.rpartition("g")
    if mark and group.isdigit() and 0 < int(group) <= 65536 and base in known:
        plain = known[base]
        if plain.family == "int" and not plain.group:
            # One fp16 scale per group; the zero point has the width of an element (AWQ, GPTQ).
            zero = float(plain.element_bits)
            return replace(plain, name=key, group=int(group), scale_bits=16.0, zero_bits=zero)
    return None


def _mixture(text: str) -> Format | None:
    """Return a mixture of formats; its compute format is that of its widest part.

    It stores ``sum(share * bits)`` bits per element.
    """
    parts: list[tuple[float, Format]] = []
    for part in text[4:-1].split("/"):
        name, _, written = part.partition(":")
        try:
            share = float(written)
        except ValueError:
            return None
        component = None if name.startswith("mix(") else find(name)
        if component is None or not 0.0 < share <= 1.0:
            return None
        parts.append((share, component))
    if not parts or abs(sum(share for share, _ in parts) - 1.0) > 1e-9:
        return None
    _, widest = max(parts, key=lambda part: part[1].bits)
    bits = sum(share * part.bits for share, part in parts)
    return Format(text, bits, widest.family, widest.compute, note="shares of a tensor")


def format_named(name: str) -> Format:
    """Return the format named `name`.

    Raises
    ------
    InputError
        Unknown format; the nearest name is suggested.
    """
    known = find(name)
    if known is None:
        raise input_error(
            f"unknown format '{name}'",
            "precision",
            expected="a format such as fp16, int8, int4g128, mxfp4, q4_0 or ternary",
            suggestion=nearest(name.lower(), [*blocks()[0], *layouts()["aliases"]]),
        )
    return known


def _integer(bits: int) -> Format:
    """Return the integer format of a width, computed in the next of 4, 8, 16 or 32 bits."""
    compute = "int4" if bits <= 4 else "int8" if bits <= 8 else "int16" if bits <= 16 else "int32"
    return Format(f"int{bits}", bits, "int", compute)
