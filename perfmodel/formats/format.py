"""Numeric formats: storage bits, with scales and zero points, apart from the compute format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from perfmodel.arrays import Value
from perfmodel.errors import Fault, InputError, nearest


@dataclass(frozen=True, slots=True)
class Format:
    """How a tensor is stored.

    Attributes
    ----------
    name
        Name of the format.
    element_bits
        Bits of one stored element, a number or an array of shape ``(points,)``.
    family
        ``float``, ``int``, ``ternary``, ``codebook`` or ``block_float``.
    compute
        Format in which a multiplier takes the element once it is unpacked (``fp16``, ``int8`` ...).
    group
        Elements that share one scale; 0 when there is none to store.
    scale_bits, zero_bits
        Bits of a group's scale and of its zero point (or minimum).
    overrides
        Tensor tag -> format, for mixtures that store some tensors wider (``q4_k_m``).
    source
        Where the layout is defined.
    block
        Mixtures: name of the format of every tensor without an override.
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
        """Stored bits per element, group scales and zero points included."""
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
        """Return the shares of a tensor with this tag, and the name of the format of each."""
        for name, parts in self.overrides:
            if name == tag:
                return tuple((share, part.name) for share, part in parts)
        return ((1.0, self.block or self.name),)

    def with_bits(self, element_bits: Value) -> Format:
        """Return the format with another number (or an array) of bits per element.

        All else is as it was: what a runtime states for the format's kernels, and the tensors that
        a mixture stores wider. Its own number of bits is the format itself.
        """
        return replace(self, element_bits=element_bits)

    @property
    def is_float(self) -> bool:
        """Whether an unpacked element is a floating-point number to the multiplier."""
        return self.compute.startswith(("fp", "bf", "tf"))


def _float(name: str, bits: int, note: str = "", compute: str = "") -> Format:
    return Format(name, bits, "float", compute or name, note=note, source="IEEE 754-2019")


_OCP = "OCP Microscaling Formats (MX) Specification v1.0, 2023"
_BITMOD = "Chen et al., BitMoD, HPCA 2025: an 8-bit scale per 128 weights"
_OCP8 = "OCP 8-bit Floating Point Specification (OFP8), 2023"


def _integer(bits: int) -> Format:
    compute = "int4" if bits <= 4 else "int8" if bits <= 8 else "int16" if bits <= 16 else "int32"
    return Format(f"int{bits}", bits, "int", compute)


def _microscaling(name: str, bits: int, compute: str) -> Format:
    return Format(name, bits, "block_float", compute, 32, 8.0, source=_OCP)


_PLAIN: tuple[Format, ...] = (
    _float("fp64", 64),
    _float("fp32", 32),
    _float("tf32", 32, "stored as fp32, multiplied with a 10-bit mantissa"),
    _float("fp16", 16),
    _float("bf16", 16, "8-bit exponent, 7-bit mantissa"),
    Format("fp8_e4m3", 8, "float", "fp8", source=_OCP8),
    Format("fp8_e5m2", 8, "float", "fp8", source=_OCP8),
    Format("fp6", 6, "float", "fp8"),
    Format("fp4", 4, "float", "fp4", note="E2M1, no scale counted"),
    _microscaling("mxfp8", 8, "fp8"),
    _microscaling("mxfp6", 6, "fp6"),
    _microscaling("mxfp4", 4, "fp4"),
    _microscaling("mxint8", 8, "int8"),
    Format("nvfp4", 4, "block_float", "fp4", 16, 8.0, source="NVIDIA Blackwell: fp8 scale per 16"),
    *(_integer(bits) for bits in (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64)),
    Format("uint8", 8, "int", "int8"),
    Format("bool", 8, "int", "int8", note="one byte an element as frameworks store it"),
    Format("ternary", 2, "ternary", "int8", note="two bits per weight in {-1, 0, 1}"),
    Format(
        "ternary_packed", 1.6, "ternary", "int8", note="five ternary weights a byte (3**5 < 2**8)"
    ),
    Format(
        "ternary_head_int8",
        2,
        "ternary",
        "int8",
        block="ternary",
        overrides=tuple(
            (tag, ((1.0, Format("int8", 8, "int", "int8")),)) for tag in ("head", "embedding")
        ),
        note="a ternary model whose head and embeddings stay in 8 bits",
    ),
    Format(
        "ternary_head_fp16",
        2,
        "ternary",
        "int8",
        block="ternary",
        overrides=tuple(
            (tag, ((1.0, Format("fp16", 16, "float", "fp16")),)) for tag in ("head", "embedding")
        ),
        note="a ternary model whose head and embeddings stay in 16 bits (bitnet.cpp's I2_S files)",
    ),
    *(
        Format(f"bitmod{bits}", bits, "codebook", "int8", 128, 8.0, source=_BITMOD)
        for bits in (3, 4, 6)
    ),
    Format("bfp16", 8, "block_float", "int8", 16, 8.0, note="8-bit mantissas, exponent per 16"),
    Format("bfp8", 4, "block_float", "int4", 16, 8.0, note="4-bit mantissas, exponent per 16"),
)

_ALIASES: Mapping[str, str] = {
    "f32": "fp32",
    "f16": "fp16",
    "float32": "fp32",
    "float16": "fp16",
    "float": "fp32",
    "half": "fp16",
    "double": "fp64",
    "bfloat16": "bf16",
    "fp8": "fp8_e4m3",
    "e4m3": "fp8_e4m3",
    "e5m2": "fp8_e5m2",
    "q8": "int8",
    "w1.58": "ternary",
}


def formats() -> dict[str, Format]:
    """Return every built-in format by name."""
    from perfmodel.formats.gguf import GGUF

    return {f.name: f for f in (*_PLAIN, *GGUF)}


_KNOWN: dict[str, Format] = {}


def find(name: str) -> Format | None:
    """Return the format called `name`, or ``None``.

    Aliases and a ``gN`` group suffix are allowed, and mixtures: ``mix(int8:0.25/int2:0.75)`` stores
    shares of a tensor (some of its experts) in one format each.
    """
    if not _KNOWN:
        _KNOWN.update(formats())
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key in _KNOWN:
        return _KNOWN[key]
    if key.startswith("mix(") and key.endswith(")"):
        return _mixture(key)
    if key.startswith("int") and key[3:].isdecimal() and key[3] != "0" and len(key) <= 5:
        # Circuits have integers of any width, named or not.
        return _integer(int(key[3:])) if int(key[3:]) <= 64 else None
    base, mark, group = key.rpartition("g")
    if mark and group.isdigit() and 0 < int(group) <= 65536 and base in _KNOWN:
        found = _KNOWN[base]
        if found.family == "int" and not found.group:
            # One fp16 scale per group, the zero point in the elements' own width (AWQ, GPTQ files).
            zero = float(found.element_bits)
            return replace(found, name=key, group=int(group), scale_bits=16.0, zero_bits=zero)
    return None


def _mixture(text: str) -> Format | None:
    """Return a mixture; its products are those of its widest part."""
    parts: list[tuple[float, Format]] = []
    for part in text[4:-1].split("/"):
        name, _, written = part.partition(":")
        try:
            share = float(written)
        except ValueError:
            return None
        found = None if name.startswith("mix(") else find(name)
        if found is None or not 0.0 < share <= 1.0:
            return None
        parts.append((share, found))
    if not parts or abs(sum(share for share, _ in parts) - 1.0) > 1e-9:
        return None
    _, widest = max(parts, key=lambda part: part[1].bits)
    bits = sum(share * part.bits for share, part in parts)
    return Format(text, bits, widest.family, widest.compute, note="shares of a tensor")


def format_named(name: str) -> Format:
    """Return the format called `name`.

    Raises
    ------
    InputError
        No such format; the nearest name is suggested.
    """
    found = find(name)
    if found is None:
        raise InputError(
            [
                Fault(
                    f"unknown format '{name}'",
                    path="precision",
                    expected="a format such as fp16, int8, int4g128, mxfp4, q4_0 or ternary",
                    suggestion=nearest(name.lower(), [*_KNOWN, *_ALIASES]),
                )
            ]
        )
    return found
