"""Quantities (numbers with unit and provenance), and the base classes of specs.

A field ``Annotated[Quantity, Of("time")]`` accepts ``"30 us"`` or a mapping with value, source and
confidence; `Of` states its dimension and range, which validation, JSON Schema and `Machine.vary`
share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from perfmodel import units
from perfmodel.frozen_model import FrozenModel
from perfmodel.pydantic_faults import subclass

Confidence: TypeAlias = Literal["datasheet", "measured", "fitted", "estimated"]
"""Kind of evidence for a number, from a data sheet to an estimate."""


class Spec(FrozenModel):
    """Base of every part of a spec file: frozen, without unknown keys, built on first use."""

    model_config = ConfigDict(allow_inf_nan=False, validate_default=False)

    def __hash__(self) -> int:
        # Mappings inside keep the generated hash from working; equal specs dump equal.
        return hash((type(self), self.model_dump_json()))


class AsItself:
    """Mark a field that is serialised by the class of its value, not by the declared class.

    `pydantic.SerializeAsAny` does the same, but before pydantic 2.14 it fails on a class that has
    only been validated as part of another one and is therefore not built yet.
    """

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema = handler(source)
        inner: dict[str, Any] = cast("dict[str, Any]", schema)
        while inner["type"] == "definitions":
            inner = inner["schema"]
        inner["serialization"] = core_schema.wrap_serializer_function_ser_schema(
            _built, schema=core_schema.any_schema()
        )
        return schema


def _built(value: Any, handler: SerializerFunctionWrapHandler) -> Any:
    if isinstance(value, BaseModel):
        type(value).model_rebuild()  # no-op if already built
    return handler(value)


def read_as(class_of: Callable[[Mapping[str, Any]], type[BaseModel] | None]) -> WrapValidator:
    """Return a validator that reads a mapping as a subclass selected by its keys.

    Parameters
    ----------
    class_of
        Mapping of the file -> class; None selects the field's declared class.
    """

    def read(stated: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        model = None
        if isinstance(stated, Mapping):
            model = class_of(cast("Mapping[str, Any]", stated))
        return handler(stated) if model is None else subclass(model, stated, info.context)

    return WrapValidator(read)


def default_of(info: FieldInfo) -> Any:
    """Return the default of a field.

    The arguments of `FieldInfo.get_default` differ between versions of pydantic.
    """
    factory = cast("Callable[[], Any] | None", info.default_factory)
    return info.default if factory is None else factory()


class SpecDocument(Spec):
    """A spec stored in a separate file: compared, hashed and written by its content."""

    def __hash__(self) -> int:
        return hash(self.content_hash)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self.content_hash == cast("SpecDocument", other).content_hash

    @cached_property
    def content_hash(self) -> str:
        """Hash of the spec's content, sixteen hexadecimal digits."""
        from perfmodel.hardware.spec_yaml import content_hash

        return content_hash(self)

    def to_yaml(self) -> str:
        """Return the text of a spec file that reads back as an equal spec."""
        from perfmodel.hardware.spec_yaml import to_yaml

        return to_yaml(self)


class Quantity(Spec, NDArrayOperatorsMixin):
    """A number in SI units with its provenance.

    In a spec file: a text with its unit, or a mapping ``{value: "51.2 GB/s", source: ...}``. In
    Python a plain number is in SI units.
    """

    # Arithmetic uses the number only, so that a law works both on a spec and on facts, which
    # `perfmodel.hardware.fact_views` types as the spec's fields.

    value: float = Field(json_schema_extra={"type": ["number", "string"]})
    """Number with its unit."""
    source: str | None = None
    """Key of `sources`; falls back to the source of the entry, then of the device."""
    confidence: Confidence | None = None
    """datasheet, measured, fitted or estimated; same fallback as `source`."""
    note: str | None = None
    """Remarks for the reader: conditions, derivation."""
    fitted_on: str | None = None
    """Data used to fit the number."""
    measured_at: str | None = None
    """Conditions of a measurement (clock, temperature, library)."""

    def __ne__(self, other: object) -> bool:
        return not self == other  # the mixin's operator would compare numbers only

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.float64]:
        return np.asarray(self.value, dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        numbers = (each.value if isinstance(each, Quantity) else each for each in inputs)
        return getattr(ufunc, method)(*numbers, **options)


class Rate(Quantity):
    """A bandwidth in B/s or, if `per_clock`, in bytes per clock of the engine the memory feeds."""

    per_clock: SkipJsonSchema[bool] = False
    """Value in bytes per clock instead of B/s; derived from the unit, not a key of spec files."""


@dataclass(frozen=True, slots=True)
class Of:
    """Dimension and range of a `Quantity` field: ``Annotated[Quantity, Of("time")]``.

    Parameters
    ----------
    dimension : str
        A key of `perfmodel.units.DIMENSIONS`.
    positive : bool
        Whether zero is a fault.
    ceiling : float
        Largest valid value; 0 selects the plausibility limit of the dimension.
    floor : float
        Smallest valid value; 0 for none.
    integral : bool
        Whether only integers are valid.
    bare : bool
        Whether a spec file may state a number without a unit (the key names the unit).
    per_clock : bool
        Whether a bandwidth may be in bytes per clock; for fields of type `Rate`.
    """

    dimension: str
    positive: bool = False
    ceiling: float = 0.0
    floor: float = 0.0
    integral: bool = False
    bare: bool = False
    per_clock: bool = False

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        def convert(stated: Any, info: core_schema.ValidationInfo) -> Any:
            from_file = bool(cast("Mapping[str, Any]", info.context or {}).get("spec_file"))
            return self.convert(stated, from_file)

        return core_schema.with_info_before_validator_function(convert, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        text = self.text_schema()
        mapping = {"allOf": [handler(schema)], "properties": {"value": text}}
        return {"anyOf": [text, mapping]}

    def text_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the text with its unit."""
        dimension = units.DIMENSIONS[self.dimension]
        number = r"[0-9][0-9_]*(\.[0-9]*)?([eE][+-]?[0-9]+)?"
        if self.floor < 0.0:
            number = f"-?{number}"
        if self.takes_bare:
            kinds: list[dict[str, Any]] = [{"type": "number"}, {"type": "string"}]
            return {"anyOf": kinds, "examples": [dimension.example]}
        accepted = [*units.units_of(self.dimension)]
        if self.per_clock:
            accepted += units.units_of("bandwidth_per_clock")
        choices = "|".join(sorted(accepted)).replace("^", r"\^")
        examples = [dimension.example, *(["64 B/clock"] if self.per_clock else [])]
        pattern = f"{number} ?({choices})"
        if names := units.named_values(self.dimension):
            pattern = f"({pattern}|{'|'.join(names)})"
        return {"type": "string", "pattern": f"^{pattern}$", "examples": examples}

    def convert(self, stated: Any, from_file: bool) -> Any:
        """Return a stated value as a `Quantity` or as its keyword arguments."""
        if isinstance(stated, Quantity):
            self._check(stated.value)
            return stated
        if isinstance(stated, Mapping):
            filled = dict(cast("Mapping[str, Any]", stated))
            if from_file and "per_clock" in filled:
                raise _fault("unknown key 'per_clock'", 'a unit such as "64 B/clock"')
            if "value" in filled:
                number = self._number(filled["value"], from_file)
                filled |= number if isinstance(number, dict) else {"value": number}
            return filled
        if stated is None:
            raise _fault("has no value", self._expected())
        number = self._number(stated, from_file)
        return number if isinstance(number, dict) else {"value": number}

    @property
    def takes_bare(self) -> bool:
        """Whether a number without a unit is accepted."""
        return self.bare or units.DIMENSIONS[self.dimension].unit in ("1", "clock")

    def _number(self, stated: Any, from_file: bool) -> float | dict[str, Any]:
        dimension = units.DIMENSIONS[self.dimension]
        if isinstance(stated, bool) or not isinstance(stated, (int, float, str)):
            shown = str(stated).lower() if isinstance(stated, bool) else type(stated).__name__
            raise _fault(f"{shown} is not {dimension.noun}", self._expected())
        if isinstance(stated, str):
            per_clock = self.per_clock and units.dimension(stated) == "bandwidth_per_clock"
            try:
                value = units.parse(stated, "bandwidth_per_clock" if per_clock else self.dimension)
            except units.UnitError as error:
                raise _fault(error.message, error.expected, error.suggestion) from None
            self._check(value)
            return {"value": value, "per_clock": per_clock} if self.per_clock else value
        if from_file and not self.takes_bare:
            raise _fault(f"{stated} has no unit", self._expected())
        try:
            value = float(stated)
        except OverflowError:
            raise _fault("is absurdly large", self._expected()) from None
        self._check(value)
        return value

    @property
    def least(self) -> float:
        """Smallest valid value."""
        return self.floor or (units.LEAST if self.positive else 0.0)

    @property
    def most(self) -> float:
        """Largest valid value."""
        return self.ceiling or units.DIMENSIONS[self.dimension].limit

    def flaw(self, value: float, *, shown: bool = True) -> tuple[str, str]:
        """Return the fault of a number in SI units and the expected range.

        Parameters
        ----------
        shown : bool
            Whether the message includes a zero or negative number, which a reader of the file sees
            anyway.

        Returns
        -------
        tuple of str
            Message and expectation; ``""`` twice for a valid number.
        """
        tiny = 0 < value < units.LEAST
        if self.least <= value <= self.most and not (
            tiny or (self.integral and value != int(value))
        ):
            return "", ""
        dimension = units.DIMENSIONS[self.dimension]
        if not math.isfinite(value):
            return "is not finite", dimension.noun
        if (value < 0 and self.floor >= 0) or (self.positive and value == 0):
            sign = "zero" if value == 0 else "negative"
            bound = "above zero" if self.positive else "of zero or more"
            shown_value = f"{units.show(value, self.dimension)} " if shown else ""
            return f"{shown_value}is {sign}", f"{dimension.noun} {bound}"
        if self.integral and value != int(value):
            return f"{value:.9g} is not a whole number", "a whole number above zero"
        if tiny:
            return (
                f"{value:g} {dimension.unit} is absurdly small",
                f"zero, or at least {units.LEAST:g} {dimension.unit}",
            )
        if value > self.most:
            word = "too large" if self.ceiling else "absurd"
            limit = units.show(self.most, self.dimension)
            return f"{units.show(value, self.dimension)} is {word}", f"at most {limit}"
        if value < self.floor:
            limit = units.show(self.floor, self.dimension)
            return f"{units.show(value, self.dimension)} is too small", f"at least {limit}"
        return "", ""

    def _check(self, value: float) -> None:
        if not math.isfinite(value):
            raise _fault(f"{value} is not finite", self._expected())
        message, expected = self.flaw(value, shown=False)
        if message:
            raise _fault(message, expected)

    def _expected(self) -> str:
        dimension = units.DIMENSIONS[self.dimension]
        if dimension.unit == "1":
            return f"{dimension.noun}, such as {dimension.example}"
        return f'{dimension.noun} with its unit, such as "{dimension.example}"'


def limit_of(info: FieldInfo) -> Of | None:
    """Return the limits of a spec field of quantities (one or a mapping); None for other fields."""
    return _limit(info.annotation, tuple(info.metadata))


def _limit(annotation: Any, metadata: tuple[Any, ...]) -> Of | None:
    for extra in metadata:
        if isinstance(extra, Of):
            return extra
    for part in get_args(annotation):
        limits = _limit(part, tuple(getattr(part, "__metadata__", ())))
        if limits is not None:
            return limits
    return None


def _fault(message: str, expected: str, suggestion: str = "") -> PydanticCustomError:
    # pydantic interprets braces as fields of the message template.
    template = message.replace("{", "(").replace("}", ")")
    context = {"expected": expected, "suggestion": suggestion}
    return PydanticCustomError("quantity", template, context)  # pyright: ignore[reportArgumentType]


def _grid_intensities() -> Mapping[str, float]:
    from perfmodel.hardware.technology.ownership import grid_intensities

    return grid_intensities()


units.add_named_values("carbon_intensity", _grid_intensities)
