"""Well-known products that the library has no spec of, each with the facts that place it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from perfmodel import units
from perfmodel.hardware.likeness.distance import Likeness, Sketch, near
from perfmodel.specfile import shipped

#: The nearest of a product is looked for among devices with the first of these tags that it has.
_FIRST: Final = ("phone", "laptop", "mcu", "fpga", "gpu", "datacenter", "x86", "sbc", "npu")


@dataclass(frozen=True, slots=True)
class HardwareProduct:
    """A product, and where its facts are from.

    Attributes
    ----------
    sketch : Sketch
    source : str
        Key of the catalogue's sources.
    confidence : str
        ``datasheet`` where a document at hand says it, else ``estimated``.
    aliases : tuple of str
    """

    sketch: Sketch
    source: str
    confidence: str
    aliases: tuple[str, ...] = ()


def catalogue() -> dict[str, Any]:
    """Return the file of known products as it stands."""
    return cast("dict[str, Any]", shipped("hardware_specs", "known_products.yaml"))


@cache
def products() -> dict[str, HardwareProduct]:
    """Return every product of the catalogue by name; a name of the library hides it."""
    given = cast("dict[str, dict[str, Any]]", catalogue()["products"])
    return {name: _product(name, entry) for name, entry in given.items()}


def title_of(source: str) -> str:
    """Return the title of a document that the catalogue cites."""
    return str(catalogue()["sources"][source]["title"])


def _product(name: str, entry: dict[str, Any]) -> HardwareProduct:
    peaks = {k: units.parse(v, "compute") for k, v in entry.get("peaks", {}).items()}
    rate = entry.get("bandwidth")
    sketch = Sketch(
        name,
        str(entry["title"]),
        None if rate is None else units.parse(rate, "bandwidth"),
        peaks,
        "",
        frozenset(entry.get("tags", ())),
        entry.get("year"),
    )
    return HardwareProduct(
        sketch,
        str(entry["source"]),
        str(entry.get("confidence", "estimated")),
        tuple(entry.get("aliases", ())),
    )


def find(name: str) -> HardwareProduct | None:
    """Return the product that a name stands for; None where the catalogue lacks it."""
    wanted = _folded(name)
    for known, product in products().items():
        if wanted in map(_folded, (known, *product.aliases)):
            return product
    return None


def _folded(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def group_of(product: HardwareProduct) -> list[str]:
    """Return the tag among whose devices the nearest of a product is looked for."""
    return [tag for tag in _FIRST if tag in product.sketch.tags][:1]


def command(product: HardwareProduct, like: Likeness) -> str:
    """Return the command line that makes a spec of a product from the device most like it."""
    words = [f"perfmodel hardware new {product.sketch.name} --from {like.name}"]
    if product.sketch.bandwidth is not None:
        rate = units.show(product.sketch.bandwidth, "bandwidth")
        words.append(f'--set memories.main.bandwidth="{rate}"')
    if like.engine and like.format in product.sketch.peaks:
        floating = like.format.startswith(("fp", "bf", "tf"))
        rate = units.show(
            product.sketch.peaks[like.format], "compute", unit="FLOP/s" if floating else "OP/s"
        )
        words.append(f'--set engines.{like.engine}.peaks.{like.format}="{rate}"')
    return " ".join(words)


def advice(name: str, directories: Iterable[str | Path] = ()) -> str:
    """Return what to do about a product that the library lacks; ``""`` for an unknown name."""
    product = find(name)
    if product is None:
        return ""
    from perfmodel.hardware.likeness.architecture import none_like, unlike

    alike = near(product.sketch, group_of(product), 1, directories, lambda d: unlike(product, d))
    if not alike:
        return none_like(product)
    like = alike[0]
    said = [
        _ratio(ratio, noun)
        for ratio, noun in (
            (like.bandwidth_ratio, "bandwidth"),
            (like.peak_ratio, f"{like.format} peak"),
        )
        if ratio is not None
    ]
    year = f" ({product.sketch.year})" if product.sketch.year else ""
    return (
        f"a spec of the {product.sketch.title}{year}, which the library has not; nearest by facts "
        f"is {like.name}, with {' and '.join(said)}: {command(product, like)}"
    )


def _ratio(ratio: float, noun: str) -> str:
    same = abs(ratio - 1.0) < 0.03
    return f"the same {noun}" if same else f"{ratio:.3g} times the {noun}"
