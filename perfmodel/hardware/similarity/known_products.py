"""Well-known products without a spec in the library, and advice on deriving one.

``hardware_specs/known_products.yaml`` has a few facts of each. If a user names such a product,
`advice` states the nearest device and the command that copies its spec with these facts set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from perfmodel import units
from perfmodel.hardware.similarity.distance import (
    DeviceMatch,
    DeviceSummary,
    catalogue,
    nearest_devices,
)


@dataclass(frozen=True, slots=True)
class HardwareProduct:
    """A product with the source of its facts.

    Attributes
    ----------
    summary : DeviceSummary
    source : str
        Key of the catalogue's sources.
    confidence : str
        ``datasheet`` if a cited document states the facts, else ``estimated``.
    aliases : tuple of str
    """

    summary: DeviceSummary
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
    summary = DeviceSummary(
        name,
        str(entry["title"]),
        None if rate is None else units.parse(rate, "bandwidth"),
        peaks,
        "",
        frozenset(entry.get("tags", ())),
        entry.get("year"),
    )
    return HardwareProduct(
        summary,
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
    return [tag for tag in catalogue()["nearest_among"] if tag in product.summary.tags][:1]


def command(product: HardwareProduct, like: DeviceMatch) -> str:
    """Return the command line that derives a spec of a product from the nearest device."""
    words = [f"perfmodel hardware new {product.summary.name} --from {like.name}"]
    if product.summary.bandwidth is not None:
        rate = units.show(product.summary.bandwidth, "bandwidth")
        words.append(f'--set memories.main.bandwidth="{rate}"')
    if like.engine and like.format in product.summary.peaks:
        floating = like.format.startswith(("fp", "bf", "tf"))
        rate = units.show(
            product.summary.peaks[like.format], "compute", unit="FLOP/s" if floating else "OP/s"
        )
        words.append(f'--set engines.{like.engine}.peaks.{like.format}="{rate}"')
    return " ".join(words)


def advice(name: str, directories: Iterable[str | Path] = ()) -> str:
    """Return advice on a product that the library lacks; ``""`` for an unknown name."""
    product = find(name)
    if product is None:
        return ""
    from perfmodel.hardware.similarity.architecture import (
        architecture_mismatch,
        no_comparable_device,
    )

    alike = nearest_devices(
        product.summary,
        group_of(product),
        1,
        directories,
        lambda d: architecture_mismatch(product, d),
    )
    if not alike:
        return no_comparable_device(product)
    like = alike[0]
    ratios = [
        _ratio(ratio, noun)
        for ratio, noun in (
            (like.bandwidth_ratio, "bandwidth"),
            (like.peak_ratio, f"{like.format} peak"),
        )
        if ratio is not None
    ]
    year = f" ({product.summary.year})" if product.summary.year else ""
    return (
        f"a spec of the {product.summary.title}{year}, which the library has not; nearest by facts "
        f"is {like.name}, with {' and '.join(ratios)}: {command(product, like)}"
    )


def _ratio(ratio: float, noun: str) -> str:
    same = abs(ratio - 1.0) < 0.03
    return f"the same {noun}" if same else f"{ratio:.3g} times the {noun}"
