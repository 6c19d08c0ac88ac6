"""What a spec file says of an FPGA: what its fabric has, and the design that is in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, cast

from pydantic import ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from perfmodel.errors import nearest, one_of
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import AsItself, Of, Quantity
from perfmodel.kinds.fpga.styles import STYLES, FpgaDesign, style
from perfmodel.pydantic_faults import subclass

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e8)]
Perhaps: TypeAlias = Annotated[Quantity, Of("count", whole=True, ceiling=1e8)]
Bits: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=64)]


def _design(given: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> FpgaDesign:
    """Read a design as the spec class of its style."""
    if isinstance(given, FpgaDesign) and type(given) is not FpgaDesign:
        return given
    if isinstance(given, Mapping):
        name = str(cast("Mapping[str, Any]", given).get("style", ""))
        if name in STYLES:
            return subclass(style(name).DESIGN, given, info.context)
        meant = nearest(name, STYLES)
        expected = "" if meant else one_of(STYLES)
        context = {"name": name, "expected": expected, "suggestion": meant}
        raise PydanticCustomError("style", "no style is named '{name}'", context)
    return handler(given)


AnyDesign: TypeAlias = Annotated[FpgaDesign, AsItself(), WrapValidator(_design)]


class FpgaSpec(Engine):
    """Programmable logic with finite look-up tables, flip-flops, DSP slices and memory blocks.

    What a design takes of them is added up and compared; what does not fit is a result.
    """

    lut: Count
    """Look-up tables (of six inputs in AMD's parts of the 7 series and later)."""
    ff: Count
    """Flip-flops."""
    dsp: Count
    """DSP slices."""
    bram: Perhaps
    """Memory blocks of 18 Kb; a block of 36 Kb counts as two."""
    uram: Perhaps = Quantity(value=0.0)
    """UltraRAM blocks of 288 Kb."""
    dsp_wide_bits: Bits = Quantity(value=25.0)
    """Bits of the wider operand of a DSP slice, sign included: 25 in the 7 series (DSP48E1), 27 in
    UltraScale (DSP48E2) and Versal (DSP58)."""
    dsp_narrow_bits: Bits = Quantity(value=18.0)
    """Bits of its narrower operand: 18, and 24 in Versal."""
    design: AnyDesign
    """What is configured into the fabric, by its ``style``."""

    WHAT = "an FPGA"
    CLOCK = "200 MHz"
    OTHERWISE = "is no FPGA"
    PEAKS_GROW_WITH = ("dsp",)

    @model_validator(mode="after")
    def _made_for_its_clock(self) -> FpgaSpec:
        design = self.design
        known = "target_clock" in type(design).model_fields
        if known and getattr(design, "target_clock", None) is None:
            # Circuits are made for the clock that the spec states; one that is varied runs them.
            made = design.model_copy(update={"target_clock": self.clock})
            object.__setattr__(self, "design", made)
        return self
