"""Which format each role of tensor takes, and the grammar of precision strings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from perfmodel.arrays import Value
from perfmodel.errors import Fault, InputError, nearest
from perfmodel.formats.format import Format, find, format_named, formats
from perfmodel.formats.sparsity import Sparsity, parse_sparsity

_WIDTHS = re.compile(
    r"w(?P<w>\d+(?:\.\d+)?)(?:g(?P<g>\d+))?a(?P<a>\d+)(?:kv(?P<kv>\d+))?", re.ASCII
)
_EXPECTED = "one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8"


@dataclass(frozen=True, slots=True)
class Precision:
    """Formats of weights, activations and KV cache.

    Any of them may carry an array of bits (`with_bits`): storage then varies over the points while
    the compute format stays the category it is.
    """

    weights: Format
    activations: Format
    kv: Format
    text: str = ""
    sparsity: Sparsity | None = None
    # What slots were asked for: the same few of every network, again and again.
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
        """Bits of biases and normalisation weights: never below the activation's accumulator."""
        if self.activations.is_float:
            return self.activations.bits
        return 32

    def format_of(self, slot: str) -> Format:
        """Return the format of a slot (mixtures: the base format; sparse: that of what is kept)."""
        if slot not in self._formats:
            self._formats[slot] = self._format_of(slot)
        return self._formats[slot]

    def _format_of(self, slot: str) -> Format:
        if "=" in slot:
            return fixed_format(slot.partition("=")[2])[0]
        role = slot.partition(":")[0]
        return {"weight": self.weights, "kv": self.kv}.get(role, self.activations)

    def sparsity_of(self, slot: str) -> Sparsity | None:
        """Return the sparsity of a slot: its own where its format is fixed, else the weights'."""
        if "=" in slot:
            return fixed_format(slot.partition("=")[2])[1]
        return self.sparsity if slot.startswith("weight") else None

    def with_bits(
        self, *, weights: Value = None, activations: Value = None, kv: Value = None
    ) -> Precision:
        """Return the precision with other bits per element (numbers or arrays) for some roles."""
        changed = self
        if weights is not None:
            changed = replace(changed, weights=self.weights.with_bits(weights))
        if activations is not None:
            changed = replace(changed, activations=self.activations.with_bits(activations))
        if kv is not None:
            changed = replace(changed, kv=self.kv.with_bits(kv))
        return changed

    def __str__(self) -> str:
        return self.text or f"w={self.weights.name},a={self.activations.name},kv={self.kv.name}"


@lru_cache(maxsize=4096)
def fixed_format(text: str) -> tuple[Format, Sparsity | None]:
    """Return the format of one tensor, and its sparsity where it has one.

    Parameters
    ----------
    text
        ``int8``, ``int4g128``, or with zeros left out ``int8+2:4``, ``fp16+s0.5``.

    Raises
    ------
    InputError
        No such format, no such sparsity.
    """
    name, mark, pattern = text.partition("+")
    faults: list[Fault] = []
    found, sparsity = find(name), None
    if found is None:
        try:
            format_named(name)
        except InputError as error:
            faults += error.faults
    if mark:
        try:
            sparsity = parse_sparsity(pattern)
        except InputError as error:
            faults += error.faults
    if faults or found is None:
        raise InputError(faults)
    return found, sparsity


def stored_bits(text: str) -> float:
    """Return the bits that a value of a fixed format takes in storage, zeros left out."""
    found, sparsity = fixed_format(text)
    return float(found.bits if sparsity is None else sparsity.storage_bits(found.bits))


def compute_format(left: Format, right: Format) -> str:
    """Return the format in which a pair is multiplied.

    Floating point when either operand is (the other is unpacked to it); the wider one otherwise.
    """
    if left.is_float and right.is_float:
        return left.compute if _width(left.compute) > _width(right.compute) else right.compute
    if left.is_float or right.is_float:
        return left.compute if left.is_float else right.compute
    return left.compute if _width(left.compute) > _width(right.compute) else right.compute


def _width(compute: str) -> int:
    digits = re.sub(r"\D", "", compute)
    return 19 if compute == "tf32" else int(digits or 0)


#: Formats an engine may run a compute format in when it has no peak for it, nearest first.
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


def _width_format(bits: str, group: str | None, role: str) -> Format:
    if bits == "1.58":
        return format_named("ternary")
    if (role != "weight" and bits in {"16", "32"}) or bits in {"16", "32"}:
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
        per 128 weights) or ``w=q4_k_m,a=fp16,kv=q8_0``; ``head=fp16`` beside these is the format of
        the head and of the table of embeddings. A suffix ``+2:4`` or ``+s0.9`` (fraction of zeros)
        makes the weights sparse.

    Raises
    ------
    InputError
        The text is none of these; every fault at once.
    """
    clean = text.strip().lower()
    dense, mark, pattern = clean.partition("+")
    if mark:
        return replace(parse_precision(dense), text=clean, sparsity=parse_sparsity(pattern))
    if "=" in clean:
        return _parse_roles(clean, text)
    match = _WIDTHS.fullmatch(clean)
    if match:
        kv = match["kv"] or match["a"]
        faults: list[Fault] = []
        parts: list[Format] = []
        for bits, group, role in (
            (match["w"], match["g"], "weight"),
            (match["a"], None, "activation"),
            (kv, None, "kv"),
        ):
            try:
                parts.append(_width_format(bits, group, role))
            except InputError as error:
                faults.extend(error.faults)
        if faults:
            raise InputError(faults)
        return Precision(*parts, text=clean)
    found = find(clean)
    if found is None:
        names = [*formats(), "w16a16", "w8a8", "w4a16", "w4a16kv8", "w8a16"]
        raise InputError(
            [
                Fault(
                    f"'{text}' is not a precision",
                    path="precision",
                    expected=_EXPECTED,
                    suggestion=nearest(clean, names),
                )
            ]
        )
    half = format_named("fp16")
    weight_only = found.source.startswith("ggml") or found.family in {"ternary", "codebook"}
    if weight_only:
        return Precision(found, half, half, clean)
    return Precision(found, found, found, clean)


def _parse_roles(clean: str, text: str) -> Precision:
    roles: dict[str, Format] = {}
    faults: list[Fault] = []
    for part in clean.split(","):
        key, _, name = (p.strip() for p in part.partition("="))
        if key not in {"w", "a", "kv", "head"} or not name or key in roles:
            faults.append(Fault(f"'{part}' in '{text}'", path="precision", expected=_EXPECTED))
            continue
        try:
            roles[key] = format_named(name)
        except InputError as error:
            faults.extend(error.faults)
    if "w" not in roles and not faults:
        faults.append(Fault(f"'{text}' names no weight format", "precision", expected=_EXPECTED))
    if faults:
        raise InputError(faults)
    activations = roles.get("a", format_named("fp16"))
    weights = roles["w"]
    if "head" in roles:
        weights = _with_head(weights, roles["head"])
    return Precision(weights, activations, roles.get("kv", activations), clean)


def _with_head(weights: Format, head: Format) -> Format:
    """Return weights whose head and embeddings have a format of their own."""
    parts = dict.fromkeys(("head", "embedding"), ((1.0, head),))
    overrides = dict(weights.overrides) | parts
    return replace(weights, overrides=tuple(overrides.items()), block=weights.block or weights.name)


def as_precision(value: str | Precision) -> Precision:
    """Return a precision from its text, or as it is."""
    return value if isinstance(value, Precision) else parse_precision(value)
