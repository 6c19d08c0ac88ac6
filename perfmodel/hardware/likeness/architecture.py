"""What decides how code runs on a machine: its family, and the extensions of its cores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, cast

from perfmodel.errors import Fault
from perfmodel.hardware.device import Device
from perfmodel.hardware.facts import facts_of
from perfmodel.hardware.likeness.products import HardwareProduct, catalogue
from perfmodel.hardware.runtime import Runtime

_IDEAL: Final = Runtime(name="ideal")
#: Facts of an engine that hold for any core of its family, or that the catalogue's facts replace.
_OF_ANY: Final = ("peaks", "vector_peaks", "clock", "boost_clock", "units")


class Architecture(NamedTuple):
    """A family of machines, and what a machine has beyond its family's least member.

    Attributes
    ----------
    family
        Key of the catalogue's families; empty where none is stated and no tags tell it.
    has
        Keys of its extensions.
    """

    family: str
    has: frozenset[str]

    def __str__(self) -> str:
        what = str(_families()[self.family]["what"]) if self.family else "of no stated family"
        names = [named(one) for one in sorted(self.has)]
        return f"{what} with {' and '.join(names)}" if names else what


def named(extension: str) -> str:
    """Return what an extension is called."""
    return str(catalogue()["extensions"][extension])


def _families() -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", catalogue()["families"])


def of_device(device: Device) -> Architecture:
    """Return the architecture of a device of the library, as its tags or the catalogue state it."""
    return _of(catalogue()["cores"].get(device.name, {}), frozenset(device.tags), by_tags=True)


def of_product(product: HardwareProduct) -> Architecture:
    """Return the architecture of a known product."""
    return _of(catalogue()["products"][product.sketch.name], product.sketch.tags, by_tags=False)


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


def unlike(product: HardwareProduct, device: Device) -> str:
    """Return why a device's numbers say nothing of a product's; empty where they may."""
    wanted, had = of_product(product), of_device(device)
    if wanted.family != had.family:
        return f"{device.name} is {had}, and the {product.sketch.title} is {wanted}"
    more = sorted(had.has - wanted.has)
    if more:
        names = " and ".join(named(one) for one in more)
        return f"{device.name} has {names}, which the {product.sketch.title} lacks"
    return ""


def none_like(product: HardwareProduct) -> str:
    """Return what is needed of a product that no device of the library is like."""
    return (
        f"a spec of the {product.sketch.title} with its own numbers: it is {of_product(product)}, "
        "and no device of the library is that and no more, so that nothing can be copied"
    )


def copy_fault(
    product: HardwareProduct, device: Device, given: Iterable[str], runtime: str
) -> Fault | None:
    """Return the fault of a copy across architectures, with what would be needed.

    Parameters
    ----------
    given
        Facts that are set.
    runtime
        Runtime that is named; empty for the copied one's.
    """
    why = unlike(product, device)
    if not why:
        return None
    same = of_product(product).family == of_device(device).family
    missing = [path for path in _of_the_core(device) if path not in set(given)] if same else []
    if same and runtime and not missing:
        return None
    needed = f"a device that is {of_product(product)}"
    if same:
        facts = ", ".join(missing) or "nothing more"
        needed += f"; or --set of what its own core does ({facts})"
        needed += "" if runtime else " and --runtime"
    expected = f"{needed}; or a spec with its own numbers under a name of your own"
    return Fault(why, file="--from", expected=expected)


def _of_the_core(device: Device) -> list[str]:
    """Return the facts of the main engine that are of its core."""
    stem = f"engines.{device.main_engine}."
    return [
        path
        for path in facts_of(device, _IDEAL).values
        if path.startswith(stem) and path.removeprefix(stem).split(".")[0] not in _OF_ANY
    ]
