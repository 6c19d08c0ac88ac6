"""Spec of a microcontroller's cores."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, TypeAlias

from pydantic import model_validator

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ONE, ZERO, Energy, Multiple, Watts
from perfmodel.hardware.quantity import Of, Quantity

Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e6)]
Volts: TypeAlias = Annotated[Quantity, Of("voltage", positive=True, ceiling=10.0)]


#: Formats whose clocks a spec may state relative to int8.
RELATIVE_FORMATS: Final = ("int16", "fp16", "fp32")


class Microcontroller(Engine):
    """In-order cores without a large cache, single or a cluster of `units`.

    Clocks of a kernel are those that its library states on a Cortex-M4, times this core's factor:
    stated in `relative_conv` and similar fields, else counted from `simd_macs`, `load_clocks` and
    `issue` (`perfmodel.kinds.mcu.cores`).
    """

    # Networks are quantised for such parts; floating point is slow or needs a large unit.
    FORMATS_FIRST: ClassVar[tuple[str, ...]] = ("int8", "fp16", "bf16", "fp32", "int16")
    WHAT = "microcontroller's cores"
    CLOCK = "80 MHz"
    OTHERWISE = "is no microcontroller"

    simd_macs: Annotated[Quantity, Of("count", positive=True, ceiling=64.0)] = ONE
    """8-bit multiply-accumulates (widened where necessary) per instruction: 2 with the DSP
    extension, 4 for XpulpV2, 1 without either."""
    load_clocks: Clocks = ONE
    """Clocks of a load from SRAM within a sequence of loads."""
    issue: Annotated[Quantity, Of("count", positive=True, ceiling=8.0)] = ONE
    """Instructions per clock that such loops sustain: 1 for a single-issue core."""
    relative_conv: Multiple | None = None
    """Clocks of convolutions, and of all work without products, relative to those on a Cortex-M4;
    fitted to measured rows."""
    relative_depthwise: Multiple | None = None
    """The same for depthwise convolutions; as `relative_conv` if left out."""
    relative_gemm: Multiple | None = None
    """The same for matrix products; as `relative_conv` if left out."""
    relative_int16: Multiple | None = None
    """Clocks of products in int16 relative to int8; the ratio of the stated peaks if left out."""
    relative_fp16: Multiple | None = None
    """The same for fp16."""
    relative_fp32: Multiple | None = None
    """The same for fp32."""
    float_clocks: Clocks | None = None
    """Clocks of a floating-point operation in software; left out for cores with a unit for it."""
    fork_clocks: Clocks = ZERO
    """Clocks to start the other cores on a kernel and to wait for the last one."""
    double_buffered: bool = True
    """Whether a DMA fills the nearest memory while the cores work; if not, the cores wait for
    it."""
    supply: Volts | None = None
    """Supply voltage in volts; `nominal_supply` if left out."""
    nominal_supply: Volts | None = None
    """Voltage at which `clock_energy` and `leakage` are stated."""
    supply_exponent: Annotated[Quantity, Of("count", ceiling=3.0)] = Quantity(value=2.0)
    """Exponent of energy in the supply voltage: 2 where it is the cores' own voltage; 1 behind a
    linear regulator, whose current is the cores'; 0 behind a switching one."""
    clock_energy: Energy | None = None
    """Energy of a busy clock at the nominal supply."""
    loop_energy: Energy | None = None
    """Energy of a clock at the nominal supply in the loop for which the data sheet states a
    current, with the cores at the voltage that this clock needs; networks draw more."""
    leakage: Watts | None = None
    """Power that is independent of the clock, at the nominal supply; its exponent in the supply is
    half that of `clock_energy`."""

    @model_validator(mode="after")
    def _clocked(self) -> Microcontroller:
        # Explicit facts, so that varying the int8 peak leaves the other formats unchanged.
        for name in RELATIVE_FORMATS:
            own, base = self.peaks.get(name), self.peaks.get("int8")
            if getattr(self, f"relative_{name}") is None and own is not None and base is not None:
                ratio = Quantity(value=base.value / own.value)
                object.__setattr__(self, f"relative_{name}", ratio)
        return self
