"""Well-known products without a spec in the library, with a few facts to compare them by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from perfmodel import units
from perfmodel.hardware.likeness.distance import Likeness, Sketch, catalogue, near


@dataclass(frozen=True, slots=True)
class HardwareProduct:
    """A product with the source of its facts.

    Attributes
    ----------
    sketch : Sketch
    source : str
        Key of the catalogue's sources.
    confidence : str
        ``datasheet`` if a cited document states the facts, else ``estimated``.
    aliases : tuple of str
    """

    sketch: Sketch
    source: str
    confidence: str
    aliases: tuple[str, ...] = ()


@cache
def products() -> dict[str, HardwareProduct]:
    """Return every product of the catalogue by name; library devices take precedence."""
    entries = cast("dict[str, dict[str, Any]]", catalogue()["products"])
    return {name: _product(name, entry) for name, entry in entries.items()}


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
    """Return the product of a name or alias; None if the catalogue lacks it."""
    wanted = _folded(name)
    for known, product in products().items():
        if wanted in map(_folded, (known, *product.aliases)):
            return product
    return None


def _folded(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def group_of(product: HardwareProduct) -> list[str]:
    """Return the tag that restricts the search for the device nearest to a product."""
    return [tag for tag in catalogue()["nearest_among"] if tag in product.sketch.tags][:1]


def command(product: HardwareProduct, like: Likeness) -> str:
    """Return the command line that derives a spec of a product from the nearest device."""
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
    """Return advice on a product that the library lacks; ``""`` for an unknown name."""
    product = find(name)
    if product is None:
        return ""
    from perfmodel.hardware.likeness.architecture import none_like, unlike

    alike = near(product.sketch, group_of(product), 1, directories, lambda d: unlike(product, d))
    if not alike:
        return none_like(product)
    like = alike[0]
    ratios = [
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
        f"is {like.name}, with {' and '.join(ratios)}: {command(product, like)}"
    )


def _ratio(ratio: float, noun: str) -> str:
    same = abs(ratio - 1.0) < 0.03
    return f"the same {noun}" if same else f"{ratio:.3g} times the {noun}"
