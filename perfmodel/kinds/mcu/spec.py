"""What a spec file says of a microcontroller's cores."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, TypeAlias

from pydantic import model_validator

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity

Lanes: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=64.0)]
Rate: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=8.0)]
Clocks: TypeAlias = Annotated[Quantity, Of("clocks", ceiling=1e6)]
Slower: TypeAlias = Annotated[Quantity, Of("count", positive=True, ceiling=100.0)]
Volts: TypeAlias = Annotated[Quantity, Of("voltage", positive=True, ceiling=10.0)]
Exponent: TypeAlias = Annotated[Quantity, Of("count", ceiling=3.0)]
Joules: TypeAlias = Annotated[Quantity, Of("energy")]
Watts: TypeAlias = Annotated[Quantity, Of("power")]


#: Formats of which a spec may say how many more clocks they take than int8.
RELATIVE_FORMATS: Final = ("int16", "fp16", "fp32")


class Microcontroller(Engine):
    """In-order cores without a large cache, one or a cluster of `units`.

    Clocks of a kernel are those that its library states on a Cortex-M4, times how many more this
    core takes: stated in `relative_conv` and its likes, else counted from `simd_macs`,
    `load_clocks` and `issue` (`perfmodel.kinds.mcu.cores`).
    """

    # Networks are quantised for such parts; floating point is there, and slow or large.
    FORMATS_FIRST: ClassVar[tuple[str, ...]] = ("int8", "fp16", "bf16", "fp32", "int16")
    WHAT = "microcontroller's cores"
    CLOCK = "80 MHz"
    OTHERWISE = "is no microcontroller"

    simd_macs: Lanes = Quantity(value=1.0)
    """Multiply-accumulates of 8 bits (widened, if need be) of one instruction: 2 with the DSP
    extension, 4 for XpulpV2, 1 without either."""
    load_clocks: Clocks = Quantity(value=1.0)
    """Clocks of a load from SRAM in a run of loads."""
    issue: Rate = Quantity(value=1.0)
    """Instructions a clock that such loops sustain: 1 for a core of single issue."""
    relative_conv: Slower | None = None
    """Clocks of convolutions, and of all that is no product, over those on a Cortex-M4, where
    measured rows tell."""
    relative_depthwise: Slower | None = None
    """Likewise of depthwise convolutions; as `relative_conv` where left out."""
    relative_gemm: Slower | None = None
    """Likewise of matrix products; as `relative_conv` where left out."""
    relative_int16: Slower | None = None
    """Clocks of products in int16 over those in int8; of the stated peaks where left out."""
    relative_fp16: Slower | None = None
    """Likewise in fp16."""
    relative_fp32: Slower | None = None
    """Likewise in fp32."""
    float_clocks: Clocks | None = None
    """Clocks of a floating-point operation in software; left out where there is a unit for it."""
    fork_clocks: Clocks = Quantity(value=0.0)
    """Clocks of starting the other cores on a kernel and of waiting for the last one."""
    double_buffered: bool = True
    """Whether a DMA fills the nearest memory while the cores work; else they wait for it."""
    supply: Volts | None = None
    """Voltage of the supply, volts; `nominal_supply` where left out."""
    nominal_supply: Volts | None = None
    """Voltage at which `clock_energy` and `leakage` were stated."""
    supply_exponent: Exponent = Quantity(value=2.0)
    """How energy goes with the supply: 2 where it is the cores' own voltage; 1 behind a linear
    regulator, whose current is the cores'; 0 behind a switching one."""
    clock_energy: Joules | None = None
    """Energy of a busy clock at the nominal supply."""
    leakage: Watts | None = None
    """Power that does not go with the clock, at the nominal supply; it goes with the root of what
    `clock_energy` goes with."""

    @model_validator(mode="after")
    def _clocked(self) -> Microcontroller:
        # Facts of their own: what a varied peak in int8 says of others would be nothing.
        for name in RELATIVE_FORMATS:
            own, base = self.peaks.get(name), self.peaks.get("int8")
            if getattr(self, f"relative_{name}") is None and own is not None and base is not None:
                ratio = Quantity(value=base.value / own.value)
                object.__setattr__(self, f"relative_{name}", ratio)
        return self
