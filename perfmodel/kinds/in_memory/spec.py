"""Spec of arrays that compute in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, TypeAlias

from perfmodel.arrays import Value, namespace
from perfmodel.hardware.engine import Engine
from perfmodel.hardware.field_types import ONE, ZERO, Area, Energy, Share, Time
from perfmodel.hardware.quantity import Of, Quantity
from perfmodel.pydantic_faults import Flaw
from perfmodel.units import show

Count: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=1e6)]
Bits: TypeAlias = Annotated[Quantity, Of("count", positive=True, integral=True, ceiling=32)]
Volts: TypeAlias = Annotated[Quantity, Of("voltage", positive=True, ceiling=20.0)]

#: Exponent for velocity saturation of short channels (Sakurai and Newton, JSSC 25(2), 1990).
ALPHA = 1.3


def speed(voltage: Value, threshold: Value) -> Value:
    """Return a number proportional to the speed of logic: ``(V - Vt)^1.3 / V``.

    Alpha-power law of Sakurai and Newton, JSSC 25(2), 1990; voltages in volts.
    """
    xp = namespace(voltage, threshold)
    return xp.maximum(voltage - threshold, 1e-3) ** ALPHA / voltage


def speed_over(stated: float, threshold: float, voltage: Value) -> Value:
    """Return the speed of logic at a voltage over that at a stated one."""
    return speed(voltage, threshold) / speed(stated, threshold)


class InMemoryArrays(Engine):
    """Memory arrays with inputs on the rows and sums of products on the columns.

    `units` are arrays. A weight occupies `cells_per_weight` rows and one column per `cell_bits` of
    it; an input is applied in steps of at most `input_step_bits`. Times and energies are those at
    `nominal_voltage`.
    """

    OTHERWISE = "does not compute in memory"
    PEAKS_GROW_WITH = ("rows", "columns")

    rows: Count
    """Rows of cells."""
    columns: Count
    """Columns of cells."""
    cell_bits: Bits = ONE
    """Bits of a weight in one cell."""
    cells_per_weight: Count = ONE
    """Rows per weight: 2 where a pair of cells encodes its sign."""
    extra_columns: Annotated[Quantity, Of("count", ceiling=1024)] = ZERO
    """Further columns per weight, such as those for the carries of a digital array's sums."""
    rows_active: Count | None = None
    """Rows that are read at once; all if left out."""
    columns_per_conversion: Count = ONE
    """Columns of a weight that are summed before one conversion."""
    converters: Count | None = None
    """Analogue-to-digital converters per array; one per sum if left out."""
    adc_bits: Bits | None = None
    """Resolution of a conversion in bits; a digital array has none."""
    input_step_bits: Bits = ONE
    """Largest number of input bits per step: 1 for bit-serial inputs, otherwise the DAC's bits."""
    most_steps: Count | None = None
    """Largest number of steps per input: further bits lengthen the steps (pulses)."""
    pulses: bool = False
    """Whether a step of b bits lasts 2^b - 1 pulses."""
    sign_apart: bool = False
    """Whether the sign of an input is applied separately: of b bits b - 1 are steps, at least
    one."""
    narrowing: bool = False
    """Whether a later step is converted at fewer bits: reduced by those of the steps before."""
    pipelined: bool = False
    """Whether conversions overlap with the next step's read."""
    read_time: Time
    """Time of a step without its pulses: set-up, read, and conversion if not stated separately."""
    pulse_time: Time = ZERO
    """Time of a pulse."""
    conversion_time: Time = ZERO
    """Time of a conversion, independent of its bits."""
    conversion_bit_time: Time = ZERO
    """Time of a conversion per bit."""
    adder_time: Time = ZERO
    """Delay of one full adder of a digital array: sums ripple through rows and columns."""
    registers: Count = ONE
    """Registers that cut a column of adders into parts."""
    write_time: Time = ZERO
    """Time to write a row of cells; arrays are written in parallel."""
    nominal_voltage: Volts = ONE
    """Supply voltage at which times and energies are stated."""
    voltage: Volts | None = None
    """Supply voltage; the nominal one if left out."""
    threshold_voltage: Volts = Quantity(value=0.3)
    """Threshold voltage in the alpha-power law for times at other supplies."""
    input_density: Share = Quantity(value=0.5)
    """Mean share of 1-bits (or pulses) in an input; a spike rate."""
    weight_density: Share = Quantity(value=0.5)
    """Mean share of 1-bits in a weight."""
    array_energy: Energy = ZERO
    """Energy of an array per step, independent of the data: control, clocks, pre-charge."""
    row_energy: Energy = ZERO
    """Energy of driving a row for a 1-bit of an input."""
    cell_energy: Energy = ZERO
    """Energy of a cell for an input bit and a weight bit that are both 1."""
    dac_energy: Energy = ZERO
    """Energy of a row's digital-to-analogue converter per step."""
    pulse_energy: Energy = ZERO
    """Energy of integrating one pulse, per sum."""
    conversion_energy: Energy = ZERO
    """Energy of a conversion, independent of its bits."""
    conversion_bit_energy: Energy = ZERO
    """Energy of a conversion per bit (successive approximation)."""
    conversion_level_energy: Energy = ZERO
    """Energy of a conversion per level, of 2^bits levels (flash; Walden's figure of merit)."""
    digital_energy: Energy = ZERO
    """Energy of the stages after a conversion: shift and add, registers."""
    write_energy: Energy = ZERO
    """Energy of writing a cell."""
    cell_area: Area = ZERO
    """Area of a cell."""
    row_area: Area = ZERO
    """Area of a row's driver and converter."""
    column_area: Area = ZERO
    """Area at the foot of a column, converters excluded."""
    converter_area: Area = ZERO
    """Area of a converter."""
    array_area: Area = ZERO
    """Area of an array outside its cells, rows, columns and converters, with its share of buffers
    and routers."""
    chip_area: Area = ZERO
    """Area of the chip outside the arrays."""

    @property
    def peak_laws(self) -> Mapping[str, Callable[[Value], Value]]:
        """Growth of the peaks with the supply, in which logic is faster."""
        stated = (self.voltage or self.nominal_voltage).value
        return {"voltage": partial(speed_over, stated, self.threshold_voltage.value)}

    def flaws(self) -> Iterator[Flaw]:
        """Yield flaws of parts larger than the array, and of a threshold above the supply."""
        for name, most in (("rows_active", self.rows), ("converters", self.columns)):
            part = getattr(self, name)
            if part is not None and part.value > most.value:
                message = f"{part.value:g} of {most.value:g}"
                yield Flaw((name,), message, f"at most {most.value:g}")
        supply = self.voltage or self.nominal_voltage
        least = min(supply.value, self.nominal_voltage.value)
        if self.threshold_voltage.value >= least:
            message = f"{show(self.threshold_voltage.value, 'voltage')} leaves nothing to switch"
            yield Flaw(("threshold_voltage",), message, f"below {show(least, 'voltage')}")
