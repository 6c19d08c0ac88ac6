"""Spec of an FPGA: resources of its fabric, and the design configured into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, cast

from pydantic import ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from perfmodel.errors import nearest, one_of
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ZERO, Bits, Energy, LargeCount, Portion
from perfmodel.hardware.quantity import AsItself, Of, Quantity
from perfmodel.kinds.fpga.design_styles import DESIGN_STYLES, FpgaDesign, design_style
from perfmodel.pydantic_faults import subclass

Perhaps: TypeAlias = Annotated[Quantity, Of("count", integral=True, ceiling=1e8)]


def _design(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> FpgaDesign:
    """Validate a design as the spec class of its style."""
    if isinstance(value, FpgaDesign) and type(value) is not FpgaDesign:
        return value
    if isinstance(value, Mapping):
        name = str(cast("Mapping[str, Any]", value).get("style", ""))
        if name in DESIGN_STYLES:
            return subclass(design_style(name).DESIGN, value, info.context)
        meant = nearest(name, DESIGN_STYLES)
        expected = "" if meant else one_of(DESIGN_STYLES)
        context = {"name": name, "expected": expected, "suggestion": meant}
        raise PydanticCustomError("style", "no style is named '{name}'", context)
    return handler(value)


AnyDesign: TypeAlias = Annotated[FpgaDesign, AsItself(), WrapValidator(_design)]


class FpgaSpec(Engine):
    """Programmable logic with finite look-up tables, flip-flops, DSP slices and memory blocks.

    The resources of a design are summed and compared with these; one that does not fit is a result.
    """

    lut: LargeCount
    """Look-up tables (of six inputs in AMD's parts of the 7 series and later)."""
    ff: LargeCount
    """Flip-flops."""
    dsp: LargeCount
    """DSP slices."""
    bram: Perhaps
    """Memory blocks of 18 Kb; a block of 36 Kb counts as two."""
    uram: Perhaps = ZERO
    """UltraRAM blocks of 288 Kb."""
    dsp_wide_bits: Bits = Quantity(value=25.0)
    """Bits of the wider operand of a DSP slice, sign included: 25 in the 7 series (DSP48E1), 27 in
    UltraScale (DSP48E2) and Versal (DSP58)."""
    dsp_narrow_bits: Bits = Quantity(value=18.0)
    """Bits of the narrower operand: 18, or 24 in Versal."""
    toggle: Portion | None = None
    """Share of clocks in which a signal of the fabric changes; an eighth if left out, as in AMD's
    power estimator."""
    lut_energy: Energy | None = None
    """Joules of a look-up table and its wires for a change of its signals; those of the other
    resources follow. Without any the fabric has no energy."""
    ff_energy: Energy | None = None
    """Joules of a flip-flop and its share of the clock's tree."""
    dsp_energy: Energy | None = None
    """Joules of a DSP slice."""
    bram_energy: Energy | None = None
    """Joules of a memory block of 18 Kb."""
    uram_energy: Energy | None = None
    """Joules of an UltraRAM block."""
    design: AnyDesign
    """Design configured into the fabric, by its ``style``."""

    WHAT = "an FPGA"
    CLOCK = "200 MHz"
    OTHERWISE = "is no FPGA"
    PEAKS_GROW_WITH = ("dsp",)

    @model_validator(mode="after")
    def _made_for_its_clock(self) -> FpgaSpec:
        design = self.design
        known = "target_clock" in type(design).model_fields
        if known and getattr(design, "target_clock", None) is None:
            # Circuits are synthesised for the stated clock; a varied clock runs the same circuits.
            clocked = design.model_copy(update={"target_clock": self.clock})
            object.__setattr__(self, "design", clocked)
        return self
