"""Schema of declared data sets: YAML that maps rows of a file to calls of `predict` or `serve`.

`DatasetForm` is the root. Values are texts with ``{placeholders}``, expressions over numeric
columns, or cells of other tables, each under a condition; `perfmodel.evaluate.row_values` evaluates
them for a row, and `perfmodel.evaluate.datasets` turns the result into validation cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

from pydantic import ConfigDict, Field

from perfmodel.errors import InputError
from perfmodel.expressions import parse_expression
from perfmodel.frozen_model import FrozenModel
from perfmodel.pydantic_faults import Flaw

#: Value or column -> pattern that its text must match.
Patterns: TypeAlias = dict[str, str]


class _DatasetPart(FrozenModel):
    model_config = ConfigDict(allow_inf_nan=False)


class ConditionForm(_DatasetPart):
    """Condition on rows: all of `where` and none of `unless` match."""

    where: Patterns = Field(default_factory=dict)
    """Patterns that must all match (regular expressions, searched for in the text)."""
    unless: Patterns = Field(default_factory=dict)
    """Patterns of which none may match."""


class ReasonForm(ConditionForm):
    """Condition for rows that cannot be predicted, with the reason."""

    reason: str
    """Template of the reason."""


class FactForm(ConditionForm):
    """A setting that applies to some rows."""

    value: str = ""
    """Expression, or template if it contains ``{``."""
    fact: str = ""
    """Path of a fact of the row's device, as an alternative to `value`; without that fact the row
    does not have the setting."""


#: Parameter of the workload or path of a fact -> number, expression, template, or `FactForm`.
Settings: TypeAlias = dict[str, float | int | bool | str | FactForm]


class MeaningForm(_DatasetPart):
    """Meaning of a name as a workload with settings, for cases where a text is not enough."""

    model: str
    """Text of the value."""
    set: Settings = Field(default_factory=dict)
    """Settings of the row, which override those of `RowForm`."""
    values: dict[str, str | float] = Field(default_factory=dict)
    """Further values of the row, by name."""


class TextForm(_DatasetPart):
    """A text value computed from columns and preceding values.

    The steps are applied in the order of the fields.
    """

    text: str
    """Template: ``{column}`` is replaced by a cell or a value."""
    drop: tuple[str, ...] = ()
    """Patterns to delete, in order."""
    match: str | None = None
    """Pattern to extract: its first matching group, or the entire match; empty without a match."""
    case: Literal["lower", "snake"] | None = None
    """Conversion to lower case; ``snake`` also replaces all but letters and digits by ``_``."""
    names: dict[str, str | MeaningForm] | None = None
    """Text in the file -> meaning, a template; compared after all of the above."""
    patterns: dict[str, str | MeaningForm] | None = None
    """Pattern -> meaning, a template; the first match applies, after `names`."""
    otherwise: str | None = None
    """Template for a text that matches none of `names` and `patterns`; otherwise it is unknown."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Pattern -> reason why an unknown text cannot be predicted, a template."""
    noun: str = ""
    """Noun for the unknown item in the default reason: ``model of the library``."""


class NumberForm(_DatasetPart):
    """A numeric value computed from columns and preceding values."""

    number: str
    """Expression; an empty cell makes the result empty. A comparison is 1 or 0."""
    digits: int | None = None
    """Number of significant digits to round to."""
    otherwise: float | None = None
    """Default for an empty result."""
    matched: dict[str, str] = Field(default_factory=dict)
    """Name -> ``{template} | pattern``: numbers extracted from texts by the pattern's first
    group."""


class CellForm(_DatasetPart):
    """A cell of another table, from the first matching row; empty without a match."""

    table: str
    """Name of the table in `DatasetForm.tables`."""
    column: str
    """Column of the cell."""
    where: Patterns = Field(min_length=1)
    """Column of the table -> pattern that its cell must match: a template, filled with literal
    texts."""


class TableForm(_DatasetPart):
    """An additional table of the data set, such as reports on the components of its rows."""

    files: tuple[str, ...] = Field(min_length=1)
    """Candidate paths in the folder of data, the first existing one is read; empty if none
    exists."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Required columns."""


ValueForm: TypeAlias = TextForm | NumberForm | CellForm | str


class DeviceFactForm(_DatasetPart):
    """A value read from the facts of the row's device."""

    fact: str
    """Path of a fact of the device under the row's runtime; the value is empty without it."""


class MacsForm(_DatasetPart):
    """Stated number of multiply-accumulates, to detect that a row's network is a different one."""

    value: str
    """Expression of the number per item of the workload (a frame, a token)."""
    low: float = Field(default=0.95, ge=0)
    """Smallest accepted ratio of the workload's number to the stated one."""
    high: float = Field(default=1.05, gt=0)
    """Largest accepted ratio."""
    reason: str
    """Template of the reason why a row with another number is not predicted."""


class RowForm(_DatasetPart):
    """Prediction of a row: templates of the arguments of `perfmodel.predict` or `serve`."""

    ask: Literal["predict", "serve"] = "predict"
    """Public function. `serve` reads from `set` its requests (``prompt``, ``generate``,
    ``concurrency``) and the parallelisation (``tensor``, ``data``, ``expert``, ``wide``)."""
    name: str
    """Name of the row in reports."""
    model: str
    """Workload of the library."""
    device: str | tuple[str, ...]
    """Device of the library; of several templates the first that names one."""
    values: dict[str, ValueForm | DeviceFactForm] = Field(default_factory=dict)
    """Further values that depend on the device, for the fields below and for `measured`: ``{tags}``
    are its tags, separated by commas."""
    by_device: str | None = None
    """Name in errors by device; `device` by default."""
    group: str = ""
    """Family of networks, weight format ...: a second way to group errors."""
    runtime: str = ""
    """Runtime; the device's default if empty."""
    precision: str = ""
    """Precision."""
    engine: str = ""
    """Engine; the runtime's if empty."""
    warm: bool = False
    """Whether it was measured over repeated runs."""
    set: Settings = Field(default_factory=dict)
    """Settings of all measurements of the row."""
    macs: MacsForm | None = None
    """Check of the network by its stated number of multiply-accumulates."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Templates of the device."""
        return (self.device,) if isinstance(self.device, str) else self.device


class MeasuredForm(ConditionForm):
    """A measured quantity."""

    target: str
    """Template of the name of the target to which its error contributes."""
    metric: str = "latency_s"
    """Corresponding attribute of the result of `predict` or `serve`."""
    value: str
    """Expression in SI units; rows with an empty value were not measured."""
    ask: Literal["predict", "serve"] | None = None
    """Public function, if different from the row's."""
    model: str | None = None
    """Workload, if different from the row's."""
    set: Settings = Field(default_factory=dict)
    """Settings in addition to the row's."""


class ConstantForm(ConditionForm):
    """A free constant of a refit, for the rows that match.

    A pattern of ``tags`` is matched against the tags of the row's device, separated by commas.
    """

    start: float = Field(gt=0)
    """Initial value in SI units."""
    low: float = Field(gt=0)
    """Lower bound."""
    high: float = Field(gt=0)
    """Upper bound."""
    prior: float = Field(default=0.0, ge=0)
    """Weight of the prior centred at the initial value, if `spread` does not state it."""
    spread: float = Field(default=math.e, gt=1)
    """Factor either way within which other runtimes have the constant (geometric standard
    deviation); the prior then weighs a deviation by it as a row's error by `RefitForm.scale`."""
    fact: str | None = None
    """Path of the fact that it sets; the constant's name by default."""
    facts: tuple[str, ...] = ()
    """Paths, if it sets several facts."""
    times: str = ""
    """Another constant to which this one is a ratio: matching rows use their product."""

    def weight(self, scale: float) -> float:
        """Return the weight of the prior in a fit of rows with errors of `scale`."""
        return scale / math.log(self.spread) if "spread" in self.model_fields_set else self.prior


class LeftOutForm(_DatasetPart):
    """Groups of a cross-validation: each is predicted by a fit without it."""

    what: str = "device"
    """Noun for a group, such as ``chip`` or ``network``."""
    group: str = ""
    """Template of the group of a row; the row's device by default."""
    name: str = ""
    """Name in reports; the target by default."""
    target: str = ""
    """Target whose errors are reported, if several targets are fitted."""


class RefitForm(ConditionForm):
    """Fit of constants of the library's specs to rows of the data set, for cross-validation."""

    target: str | tuple[str, ...]
    """Target, or targets, of the fitted measurements."""
    warm: bool | None = None
    """Whether runs are fitted as repeated ones; as the rows are predicted by default."""
    unfitted: ConditionForm | None = None
    """Rows that are predicted and evaluated, but not fitted."""
    left_out: tuple[LeftOutForm, ...] = (LeftOutForm(),)
    """Groupings for cross-validation."""
    scale: float = Field(default=0.1, gt=0)
    """Relative error above which the robust loss reduces the weight of a row."""
    constants: dict[str, ConstantForm] = Field(min_length=1)
    """Constant -> its initial value and bounds."""


class DatasetForm(_DatasetPart):
    """A data set of measured rows."""

    schema_version: Literal[1]
    """Version of the format."""
    title: str
    """Short description of the measurements."""
    about: str = ""
    """Origin of the data and meaning of its columns."""
    files: tuple[str, ...] = Field(min_length=1)
    """Candidate paths of its file in the folder of data; the first existing one is read."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Required columns."""
    tables: dict[str, TableForm] = Field(default_factory=dict)
    """Additional tables by name, for values that are cells of them."""
    signed: tuple[str, ...] = ()
    """Columns whose numbers may be zero or negative."""
    words: str = ""
    """Column of words ``name=value``, each of which is a value of the row (``m=64 n=4096``); a word
    that a row lacks is an empty value."""
    notes: tuple[str, ...] = ()
    """Remarks for the reader of the errors."""
    primary: str = "latency_s"
    """Target whose error is that of the data set."""
    no_evidence: tuple[str, ...] = ()
    """Targets that are compared, but are no evidence for intervals, since the measurement errs."""
    values: dict[str, ValueForm] = Field(default_factory=dict)
    """Values of a row by name, in order; a plain text is a template."""
    each: tuple[dict[str, ValueForm], ...] = ()
    """Expansion of each row of the file into several rows (such as one per device column), by
    values evaluated before `values`; one row by default."""
    skip: tuple[ConditionForm, ...] = ()
    """Rows of the file to ignore."""
    repeats: str = ""
    """Template of a key; rows that repeat the key of an earlier row are ignored."""
    details: dict[str, str] = Field(default_factory=dict)
    """Further ways to group the errors of the primary target: name -> template."""
    unpredicted: tuple[ReasonForm, ...] = ()
    """Rows that count against the coverage, with the reason; the first match applies."""
    unmeasured: str = "nothing was measured"
    """Reason for a row without any measured quantity."""
    row: RowForm
    """Prediction of a row."""
    measured: tuple[MeasuredForm, ...] = Field(min_length=1)
    """Measured quantities of a row."""
    refits: tuple[RefitForm, ...] = ()
    """Fits of constants, for cross-validation."""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield expressions that cannot be parsed."""
        measured = data.get("measured")
        entries = cast("list[Any]", measured) if isinstance(measured, list) else []
        for i, entry in enumerate(entries):
            if not isinstance(entry, Mapping):
                continue
            text = cast("Mapping[str, Any]", entry).get("value")
            if isinstance(text, str):
                try:
                    parse_expression(text)
                except InputError as error:
                    fault = error.faults[0]
                    yield Flaw(("measured", i, "value"), fault.message, fault.expected)
