"""Precisions: formats by tensor role (weights, activations, KV cache), and their grammar.

``w4a16kv8`` states widths, ``w=q4_k_m,a=fp16,kv=q8_0`` formats by role, and a suffix ``+2:4`` makes
weights sparse. `Precision` answers how many bits each storage slot of a graph takes, and in which
format a product of two slots is computed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from perfmodel.arrays import Value
from perfmodel.errors import Fault, input_error, nearest
from perfmodel.formats.format import Format, find, format_named, formats
from perfmodel.formats.gguf import is_gguf
from perfmodel.formats.sparsity import Sparsity, parse_sparsity
from perfmodel.settings import FaultList

_WIDTHS = re.compile(
    r"w(?P<w>\d+(?:\.\d+)?)(?:g(?P<g>\d+))?a(?P<a>\d+)(?:kv(?P<kv>\d+))?", re.ASCII
)
_EXPECTED = "one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8"


@dataclass(frozen=True, slots=True)
class Precision:
    """Formats of weights, activations and KV cache.

    Any of them may have an array of bits (`with_bits`): storage then varies over the points, with
    an unchanged compute format.
    """

    weights: Format
    activations: Format
    kv: Format
    text: str = ""
    sparsity: Sparsity | None = None
    # Caches by slot: every network queries the same few slots many times.
    _bits: dict[str, Value] = field(
        default_factory=dict[str, Value], init=False, repr=False, compare=False
    )
    _formats: dict[str, Format] = field(
        default_factory=dict[str, Format], init=False, repr=False, compare=False
    )

    def bits(self, slot: str) -> Value:
        """Return the stored bits per element of a slot.

        Parameters
        ----------
        slot
            ``role``, ``role:tag``, or a fixed format: ``=int8``, ``weight=int8+2:4`` (sparse).
        """
        if slot not in self._bits:
            self._bits[slot] = self._bits_of(slot)
        return self._bits[slot]

    def _bits_of(self, slot: str) -> Value:
        """Return the stored bits of a slot, without the cache."""
        if "=" in slot:
            fixed, sparsity = fixed_format(slot.partition("=")[2])
            return fixed.bits if sparsity is None else sparsity.storage_bits(fixed.bits)
        role, _, tag = slot.partition(":")
        if role == "weight":
            if tag == "vector":
                return self.vector_bits
            stored = self.weights.bits_of(tag)
            return stored if self.sparsity is None else self.sparsity.storage_bits(stored)
        return self.kv.bits if role == "kv" else self.activations.bits

    @property
    def vector_bits(self) -> Value:
        """Bits of biases and normalisation weights: as floating-point activations, else 32."""
        if self.activations.is_float:
            return self.activations.bits
        return 32

    def format_of(self, slot: str) -> Format:
        """Return the format of a slot (mixtures: the base format; sparse: that of non-zeros)."""
        if slot not in self._formats:
            self._formats[slot] = self._format_of(slot)
        return self._formats[slot]

    def _format_of(self, slot: str) -> Format:
        """Return the format of a slot, without the cache."""
        if "=" in slot:
            return fixed_format(slot.partition("=")[2])[0]
        role = slot.partition(":")[0]
        return {"weight": self.weights, "kv": self.kv}.get(role, self.activations)

    def sparsity_of(self, slot: str) -> Sparsity | None:
        """Return the sparsity of a slot: its own if the format is fixed, else that of weights."""
        if "=" in slot:
            return fixed_format(slot.partition("=")[2])[1]
        return self.sparsity if slot.startswith("weight") else None

    def with_bits(
        self, *, weights: Value = None, activations: Value = None, kv: Value = None
    ) -> Precision:
        """Return the precision with other bits per element (numbers or arrays) for some roles."""
        changes = {
            role: getattr(self, role).with_bits(bits)
            for role, bits in (("weights", weights), ("activations", activations), ("kv", kv))
            if bits is not None
        }
        return replace(self, **changes) if changes else self

    def __str__(self) -> str:
        return self.text or f"w={self.weights.name},a={self.activations.name},kv={self.kv.name}"


@lru_cache(maxsize=4096)
def fixed_format(text: str) -> tuple[Format, Sparsity | None]:
    """Return the format of one tensor, and its sparsity if any.

    Parameters
    ----------
    text
        ``int8``, ``int4g128``, or sparse ``int8+2:4``, ``fp16+s0.5``.

    Raises
    ------
    InputError
        Unknown format or sparsity.
    """
    name, mark, pattern = text.partition("+")
    faults = FaultList()
    stored = faults.trying(format_named, name)
    sparsity = faults.trying(parse_sparsity, pattern) if mark else None
    faults.settle()
    assert stored is not None
    return stored, sparsity


def stored_bits(text: str) -> float:
    """Return the stored bits per element of a fixed format, with its sparsity if any."""
    stored, sparsity = fixed_format(text)
    return float(stored.bits if sparsity is None else sparsity.storage_bits(stored.bits))


def compute_format(left: Format, right: Format) -> str:
    """Return the compute format of a product of two operands.

    The floating-point one if only one operand is floating point, because the other is converted;
    otherwise the wider one.
    """
    if left.is_float != right.is_float:
        return left.compute if left.is_float else right.compute
    return left.compute if _width(left.compute) > _width(right.compute) else right.compute


def _width(compute: str) -> int:
    """Return the bits of a compute format; 19 for TF32."""
    digits = re.sub(r"\D", "", compute)
    return 19 if compute == "tf32" else int(digits or 0)


#: Formats in which an engine may run a compute format that it has no peak for, nearest first.
FALLBACKS: dict[str, tuple[str, ...]] = {
    "fp4": ("fp4", "fp8", "fp16", "bf16", "fp32"),
    "fp6": ("fp6", "fp8", "fp16", "bf16", "fp32"),
    "fp8": ("fp8", "fp16", "bf16", "fp32"),
    "fp16": ("fp16", "fp32"),
    "bf16": ("bf16", "fp32"),
    "tf32": ("tf32", "fp32"),
    "fp32": ("fp32",),
    "fp64": ("fp64",),
    "int4": ("int4", "int8", "int16", "fp16", "fp32"),
    "int8": ("int8", "int16", "fp16", "fp32"),
    "int16": ("int16", "int32", "fp32"),
    "int32": ("int32", "fp32"),
}


def _width_format(bits: str, group: str | None) -> Format:
    """Return the format of a width: floating point for 16 and 32 bits, else an integer."""
    if bits == "1.58":
        return format_named("ternary")
    if bits in {"16", "32"}:
        return format_named(f"fp{bits}")
    return format_named(f"int{bits}" + (f"g{group}" if group else ""))


@lru_cache(maxsize=1024)
def parse_precision(text: str) -> Precision:
    """Parse a precision string.

    Parameters
    ----------
    text
        ``fp16`` (every role), ``q4_0`` (a weight-only format: activations and KV stay in fp16),
        ``w4a16kv8`` (widths; 16 and 32 are floating point), ``w4g128a16`` (a scale and a zero point
        per 128 weights) or ``w=q4_k_m,a=fp16,kv=q8_0``, optionally with ``head=fp16`` for the head
        and the embedding table. A suffix ``+2:4`` or ``+s0.9`` (fraction of zeros) makes the
        weights sparse.

    Raises
    ------
    InputError
        The text has none of these forms; lists every fault.
    """
    clean = text.strip().lower()
    dense, mark, pattern = clean.partition("+")
    if mark:
        return replace(parse_precision(dense), text=clean, sparsity=parse_sparsity(pattern))
    if "=" in clean:
        return _parse_roles(clean, text)
    match = _WIDTHS.fullmatch(clean)
    if match:
        faults = FaultList()
        widths = (match["w"], match["g"]), (match["a"], None), (match["kv"] or match["a"], None)
        parts = [faults.trying(_width_format, *width) for width in widths]
        faults.settle()
        return Precision(*(part for part in parts if part is not None), text=clean)
    weights = find(clean)
    if weights is None:
        names = [*formats(), "w16a16", "w8a8", "w4a16", "w4a16kv8", "w8a16"]
        raise input_error(
            f"'{text}' is not a precision",
            "precision",
            expected=_EXPECTED,
            suggestion=nearest(clean, names),
        )
    half = format_named("fp16")
    weight_only = is_gguf(weights) or weights.family in {"ternary", "codebook"}
    if weight_only:
        return Precision(weights, half, half, clean)
    return Precision(weights, weights, weights, clean)


def _parse_roles(clean: str, text: str) -> Precision:
    """Return the precision of a text that states formats by role."""
    roles: dict[str, Format] = {}
    faults = FaultList()
    for part in clean.split(","):
        key, _, name = (p.strip() for p in part.partition("="))
        if key not in {"w", "a", "kv", "head"} or not name or key in roles:
            faults.append(Fault(f"'{part}' in '{text}'", path="precision", expected=_EXPECTED))
            continue
        stored = faults.trying(format_named, name)
        if stored is not None:
            roles[key] = stored
    if "w" not in roles and not faults:
        faults.append(Fault(f"'{text}' names no weight format", "precision", expected=_EXPECTED))
    faults.settle()
    activations = roles.get("a", format_named("fp16"))
    weights = roles["w"]
    if "head" in roles:
        weights = _with_head(weights, roles["head"])
    return Precision(weights, activations, roles.get("kv", activations), clean)


def _with_head(weights: Format, head: Format) -> Format:
    """Return a weight format that stores head and embeddings in another format."""
    parts = dict.fromkeys(("head", "embedding"), ((1.0, head),))
    overrides = dict(weights.overrides) | parts
    return replace(weights, overrides=tuple(overrides.items()), block=weights.block or weights.name)


def as_precision(value: str | Precision) -> Precision:
    """Return the precision of a text; a `Precision` is returned unchanged."""
    return value if isinstance(value, Precision) else parse_precision(value)
