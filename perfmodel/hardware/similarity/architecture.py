"""Processor families and extensions: whether the numbers of one core apply to another.

A spec may be copied for a product only from a device of the same family (such as Arm Cortex-A, or
NVIDIA GPUs) without extensions that the product lacks (such as dot-product instructions).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, cast

from perfmodel.errors import Fault
from perfmodel.hardware.device import Device
from perfmodel.hardware.facts import facts_of
from perfmodel.hardware.runtime import ideal_runtime
from perfmodel.hardware.similarity.distance import catalogue
from perfmodel.hardware.similarity.known_products import HardwareProduct

#: Facts of an engine that hold for any core of its family, or that the catalogue supplies.
_NOT_CORE_SPECIFIC: Final = ("peaks", "vector_peaks", "clock", "boost_clock", "units")


class Architecture(NamedTuple):
    """A family of machines, and the extensions beyond the least capable member of the family.

    Attributes
    ----------
    family
        Key of the catalogue's families; empty if neither stated nor implied by tags.
    has
        Keys of its extensions.
    """

    family: str
    has: frozenset[str]

    def __str__(self) -> str:
        family = str(_families()[self.family]["what"]) if self.family else "of no stated family"
        names = [extension_name(extension) for extension in sorted(self.has)]
        return f"{family} with {' and '.join(names)}" if names else family


def extension_name(extension: str) -> str:
    """Return the display name of an extension."""
    return str(catalogue()["extensions"][extension])


def _families() -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", catalogue()["families"])


def of_device(device: Device) -> Architecture:
    """Return the architecture of a library device, from the catalogue or its tags."""
    return _of(catalogue()["cores"].get(device.name, {}), frozenset(device.tags), by_tags=True)


def of_product(product: HardwareProduct) -> Architecture:
    """Return the architecture of a known product."""
    return _of(catalogue()["products"][product.summary.name], product.summary.tags, by_tags=False)


def _of(stated: dict[str, Any], tags: frozenset[str], *, by_tags: bool) -> Architecture:
    families = _families()
    family = stated.get("family") or next(
        (
            name
            for name, entry in families.items()
            if any(tags.issuperset(group) for group in entry.get("tags", ()))
        ),
        "",
    )
    has = frozenset(cast("Iterable[str]", stated.get("has", ())))
    if by_tags and family:
        known = families[family].get("extensions", {})
        has |= {name for name, signs in known.items() if not tags.isdisjoint(signs)}
    return Architecture(str(family), has)


def architecture_mismatch(product: HardwareProduct, device: Device) -> str:
    """Return the reason why a device's numbers do not apply to a product; empty if they may."""
    wanted, actual = of_product(product), of_device(device)
    if wanted.family != actual.family:
        return f"{device.name} is {actual}, and the {product.summary.title} is {wanted}"
    more = sorted(actual.has - wanted.has)
    if more:
        names = " and ".join(extension_name(extension) for extension in more)
        return f"{device.name} has {names}, which the {product.summary.title} lacks"
    return ""


def no_comparable_device(product: HardwareProduct) -> str:
    """Return the message for a product without a comparable device in the library."""
    return (
        f"a spec of the {product.summary.title} with its own numbers: it is {of_product(product)}, "
        "and no device of the library is that and no more, so that nothing can be copied"
    )


def copy_fault(
    product: HardwareProduct, device: Device, paths: Iterable[str], runtime: str
) -> Fault | None:
    """Return the fault of a copy across architectures, with the settings that would resolve it.

    Parameters
    ----------
    paths
        Paths of the facts that are set.
    runtime
        Runtime named by the user; empty for that of the copied device.
    """
    why = architecture_mismatch(product, device)
    if not why:
        return None
    same = of_product(product).family == of_device(device).family
    missing = (
        [path for path in _core_specific_facts(device) if path not in set(paths)] if same else []
    )
    if same and runtime and not missing:
        return None
    needed = f"a device that is {of_product(product)}"
    if same:
        facts = ", ".join(missing) or "nothing more"
        needed += f"; or --set of what its own core does ({facts})"
        needed += "" if runtime else " and --runtime"
    expected = f"{needed}; or a spec with its own numbers under a name of your own"
    return Fault(why, file="--from", expected=expected)


def _core_specific_facts(device: Device) -> list[str]:
    """Return the paths of the main engine's facts that are specific to its core."""
    stem, facts = f"engines.{device.main_engine}.", facts_of(device, ideal_runtime())
    return [
        path
        for path in facts.values
        if path.startswith(stem)
        and path.removeprefix(stem).split(".")[0] not in _NOT_CORE_SPECIFIC
        and not facts.provenance[path].writer.startswith("table ")
    ]
