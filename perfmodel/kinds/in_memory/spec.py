"""What a spec file says of arrays that compute in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, TypeAlias

from perfmodel.hardware.engine import Engine
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import show

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=1e6)]
Bits: TypeAlias = Annotated[Quantity, Of("count", positive=True, whole=True, ceiling=32)]
Extra: TypeAlias = Annotated[Quantity, Of("count", ceiling=1024)]
Share: TypeAlias = Annotated[Quantity, Of("share")]
Time: TypeAlias = Annotated[Quantity, Of("time")]
Energy: TypeAlias = Annotated[Quantity, Of("energy")]
Volts: TypeAlias = Annotated[Quantity, Of("voltage", positive=True, ceiling=20.0)]
Area: TypeAlias = Annotated[Quantity, Of("area")]


class InMemoryArrays(Engine):
    """Memory arrays whose rows take inputs and whose columns make sums of products.

    `units` are arrays. A weight takes `cells_per_weight` rows and one column for each `cell_bits`
    of it; an input enters in steps of at most `input_step_bits`. Times and energies hold at
    `nominal_voltage`.
    """

    OTHERWISE = "does not compute in memory"
    PEAKS_GROW_WITH = ("rows", "columns")

    rows: Count
    """Rows of cells."""
    columns: Count
    """Columns of cells."""
    cell_bits: Bits = Quantity(value=1.0)
    """Bits of a weight in one cell."""
    cells_per_weight: Count = Quantity(value=1.0)
    """Rows that a weight takes: 2 where a pair of cells holds its sign."""
    extra_columns: Extra = Quantity(value=0.0)
    """Further columns of each weight, such as those in which a digital array carries its sums."""
    rows_active: Count | None = None
    """Rows that are read at once; all where left out."""
    columns_per_conversion: Count = Quantity(value=1.0)
    """Columns of a weight that are summed before one conversion."""
    converters: Count | None = None
    """Analogue-to-digital converters of an array; one a sum where left out."""
    adc_bits: Bits | None = None
    """Bits of a conversion; a digital array has none."""
    input_step_bits: Bits = Quantity(value=1.0)
    """Bits of an input that a step takes at most: 1 for bit-serial inputs, a DAC's bits."""
    most_steps: Count | None = None
    """Steps of an input at most: further bits lengthen them (of pulses)."""
    pulses: bool = False
    """Whether a step of b bits is 2^b - 1 pulses long."""
    sign_apart: bool = False
    """Whether the sign of an input takes no bit: of b bits b - 1 are steps, at least one."""
    narrowing: bool = False
    """Whether a later step is converted at fewer bits: less by those that went before."""
    pipelined: bool = False
    """Whether conversions overlap with the next step's read."""
    read_time: Time
    """Time of a step beside its pulses: set-up, read, and conversion where not stated apart."""
    pulse_time: Time = Quantity(value=0.0)
    """Time of a pulse."""
    conversion_time: Time = Quantity(value=0.0)
    """Time of a conversion, whatever its bits."""
    conversion_bit_time: Time = Quantity(value=0.0)
    """Time of a conversion for each of its bits."""
    adder_time: Time = Quantity(value=0.0)
    """Delay of one full adder of a digital array: sums ripple through rows and columns."""
    registers: Count = Quantity(value=1.0)
    """Registers that cut a column of adders into parts."""
    write_time: Time = Quantity(value=0.0)
    """Time to write a row of cells; arrays are written side by side."""
    nominal_voltage: Volts = Quantity(value=1.0)
    """Supply at which times and energies hold."""
    voltage: Volts | None = None
    """Supply; the nominal one where left out."""
    threshold_voltage: Volts = Quantity(value=0.3)
    """Of the alpha-power law that gives times at other voltages."""
    input_density: Share = Quantity(value=0.5)
    """Mean share of an input's bits (or pulses) that are one; a spike rate."""
    weight_density: Share = Quantity(value=0.5)
    """Mean share of a weight's bits that are one."""
    array_energy: Energy = Quantity(value=0.0)
    """Energy of an array in a step, whatever is in it: control, clocks, pre-charge."""
    row_energy: Energy = Quantity(value=0.0)
    """Energy of driving a row for a bit of an input that is one."""
    cell_energy: Energy = Quantity(value=0.0)
    """Energy of a cell for a bit of an input and of a weight that are both one."""
    dac_energy: Energy = Quantity(value=0.0)
    """Energy of a row's digital-to-analogue converter in a step."""
    pulse_energy: Energy = Quantity(value=0.0)
    """Energy of integrating one pulse, of each sum."""
    conversion_energy: Energy = Quantity(value=0.0)
    """Energy of a conversion, whatever its bits."""
    conversion_bit_energy: Energy = Quantity(value=0.0)
    """Energy of a conversion for each of its bits (successive approximation)."""
    conversion_level_energy: Energy = Quantity(value=0.0)
    """Energy of a conversion for each of its 2^bits levels (flash; Walden's figure of merit)."""
    digital_energy: Energy = Quantity(value=0.0)
    """Energy of what follows a conversion: shift and add, registers."""
    write_energy: Energy = Quantity(value=0.0)
    """Energy of writing a cell."""
    cell_area: Area = Quantity(value=0.0)
    """Area of a cell."""
    row_area: Area = Quantity(value=0.0)
    """Area of a row's driver and converter."""
    column_area: Area = Quantity(value=0.0)
    """Area at the foot of a column, converters apart."""
    converter_area: Area = Quantity(value=0.0)
    """Area of a converter."""
    array_area: Area = Quantity(value=0.0)
    """Area of all else that an array has, its share of buffers and routers with it."""
    chip_area: Area = Quantity(value=0.0)
    """Area beside the arrays."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield those of parts larger than the whole, and of a threshold above the supply."""
        for name, whole in (("rows_active", self.rows), ("converters", self.columns)):
            part = getattr(self, name)
            if part is not None and part.value > whole.value:
                message = f"{part.value:g} of {whole.value:g}"
                yield Flaw((name,), message, f"at most {whole.value:g}")
        supply = self.voltage or self.nominal_voltage
        least = min(supply.value, self.nominal_voltage.value)
        if self.threshold_voltage.value >= least:
            message = f"{show(self.threshold_voltage.value, 'voltage')} leaves nothing to switch"
            yield Flaw(("threshold_voltage",), message, f"below {show(least, 'voltage')}")
