"""Plan of a hardwired model, the answer of `hardwire`: chips, and their costs.

A model whose weights are wired into metal needs chips of a certain area (`sizing`), design, masks
and wafers (`price`), and then power and space for the years of its use
(`perfmodel.cost.cost_of_ownership`). `HardwiredPlan` puts the three together, as low and high
estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from perfmodel.cost.cost_of_ownership import Ownership
from perfmodel.errors import Fault
from perfmodel.formats import Precision, as_precision
from perfmodel.hardware.device import Device
from perfmodel.hardware.library import hardware
from perfmodel.hardware.machine import Machine
from perfmodel.kinds.hardwired.price import HardwiredPrice, hardwired_price
from perfmodel.kinds.hardwired.sizing import HardwiredSize, hardwired_size
from perfmodel.resolve import DeviceLike, WorkloadLike
from perfmodel.settings import gathered, split
from perfmodel.table import Result, plain
from perfmodel.workload.library import find
from perfmodel.workload.workload import Workload


@dataclass(frozen=True, repr=False)
class HardwiredPlan(Result):
    """A hardwired model: size, price and cost of ownership.

    Attributes
    ----------
    workload, device, precision
        Names of the inputs.
    size
        Metal area and number of chips.
    price
        Design, masks and chips, as low and high estimates.
    ownership
        Cost of `systems` over `years` with `updates` of the weights, low and high estimates.
    systems, years, updates
        Inputs, as passed in.
    """

    noun = "hardwired"

    workload: str
    device: str
    precision: str
    size: HardwiredSize
    price: HardwiredPrice
    ownership: Ownership
    systems: float
    years: float
    updates: float

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-ready values; costs as ``[low, high]``."""
        size, price = self.size, self.price
        names = ("workload", "device", "precision", "systems", "years", "updates")
        return plain(
            {
                **{name: getattr(self, name) for name in names},
                "weights": size.weights,
                "looked_up_weights": size.looked_up_weights,
                "metal_m2": size.metal_m2,
                "chips": price.chips,
                "fits": bool(size.fits),
                "die_usd": price.die_usd,
                "chip_usd": price.chip_usd,
                "shared_masks_usd": price.masks.shared_usd,
                "own_masks_usd": price.masks.again_usd,
                "design_usd": price.design_usd,
                "once_usd": price.once_usd,
                "again_usd": price.again_usd,
                **self.ownership._asdict(),
            }
        )

    @property
    def headline(self) -> str:
        """Model, device and precision in one line."""
        return f"{self.workload} in wires on {self.device}, {self.precision}"

    def glance(self) -> list[tuple[str, str]]:
        """Return rows for metal, chips, and their cost: once, per update, and over the years."""
        size, price, owned = self.size, self.price, self.ownership
        fits = "fits" if bool(size.fits) else "does not fit"
        many = f"{self.systems:g} system{'s' * (self.systems != 1)}"
        run = f"{many}, {self.years:g} years, weights changed {self.updates:g}x"
        metal = f"{float(size.weights):.4g}, {1e6 * float(size.metal_m2):.4g} mm2"
        capacity = f"{fits} the device's {float(size.device_chips):g}"
        own = f"{_money(price.masks.again_usd)} of the weights"
        rows = [
            ("weights in wires", metal),
            ("weights looked up", f"{float(size.looked_up_weights):.4g}"),
            ("chips", f"{float(price.chips):g} at the least; {capacity}"),
            ("a chip", _money(price.chip_usd)),
            ("design", _money(price.design_usd)),
            ("masks", f"{_money(price.masks.shared_usd)} shared, {own}"),
            ("paid once", _money(price.once_usd)),
            ("other weights", _money(price.again_usd)),
            (run, _money(owned.updated_usd)),
            ("emissions", f"{1e-3 * float(np.max(owned.updated_kg)):.4g} t of CO2 equivalent"),
        ]
        return rows


def _money(value: Any) -> str:
    low, high = np.broadcast_to(np.asarray(value, dtype=float), 2).tolist()
    unit, name = (1e6, "M USD") if high >= 1e6 else (1.0, "USD")
    both = f"{low / unit:.4g}" if low == high else f"{low / unit:.4g} to {high / unit:.4g}"
    return f"{both} {name}"


def hardwire(
    workload: WorkloadLike,
    device: DeviceLike = "hnlpu",
    *,
    systems: float = 1.0,
    years: float = 3.0,
    updates: float = 2.0,
    set: Mapping[str, Any] | None = None,
    precision: str | Precision = "w=fp4,a=fp16",
) -> HardwiredPlan:
    """Return the area and cost of a hardwired model, on chips like those of a device.

    Parameters
    ----------
    workload, set
        As for `predict`.
    device
        A device of the kind hardwired. Areas, powers and prices are those of its chips, in the
        number that the model needs.
    precision
        Formats of the model. The bits of the weights decide the area.
    systems
        Number of systems to own.
    years
        Years of use.
    updates
        Number of times that the weights change in these years. Each change needs new masks and new
        chips.

    Raises
    ------
    InputError
        Every fault at once.

    Examples
    --------
    >>> import perfmodel as pm
    >>> pm.hardwire("qwen3_8b", precision="w=int4,a=fp16").systems
    1.0
    """
    faults = gathered()
    settings = split(set or {})
    for name, value in (("systems", systems), ("years", years), ("updates", updates)):
        if not (np.isfinite(value) and value >= 0) or (name == "systems" and value < 1):
            least = "a number from 1" if name == "systems" else "a number from 0"
            faults.append(Fault(f"{value:g} {name}", path=name, expected=least))
    model = workload
    if not isinstance(workload, Workload):
        model = faults.trying(find, workload, settings.workload)
    elif settings.workload:
        model = faults.trying(workload.bind, settings.workload)
    target = device
    if isinstance(device, str | Path):
        target = faults.trying(hardware, device)
    machine = target.machine() if isinstance(target, Device) else target
    if isinstance(machine, Machine) and settings.facts:
        machine = faults.trying(machine.vary, settings.facts)
    formats = faults.trying(as_precision, precision)
    faults.settle()
    assert isinstance(model, Workload)
    assert isinstance(machine, Machine)
    assert formats is not None
    size = hardwired_size(model, machine, formats)
    price = hardwired_price(size)
    power = size.power_w * price.chips / size.device_chips
    owned = price.ownership(systems, power, years=years, updates=updates)
    return HardwiredPlan(
        model.name, machine.device.name, str(formats), size, price, owned, systems, years, updates
    )
