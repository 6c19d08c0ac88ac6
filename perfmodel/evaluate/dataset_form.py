"""The form of a data set: a YAML that says what each row of a file asks of a public function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

from pydantic import ConfigDict, Field

from perfmodel.errors import InputError
from perfmodel.expressions import parse_expression
from perfmodel.frozen import FrozenModel
from perfmodel.pydantic_faults import Flaw

#: Value or column -> pattern that its text has.
Patterns: TypeAlias = dict[str, str]


class _DatasetPart(FrozenModel):
    model_config = ConfigDict(allow_inf_nan=False)


class ConditionForm(_DatasetPart):
    """Rows that something applies to."""

    where: Patterns = Field(default_factory=dict)
    """Every text has its pattern (a regular expression that is searched for)."""
    unless: Patterns = Field(default_factory=dict)
    """No text has its pattern."""


class ReasonForm(ConditionForm):
    """Rows that cannot be predicted, and why."""

    reason: str
    """A template."""


class FactForm(ConditionForm):
    """A setting that some rows have."""

    value: str = ""
    """An expression, or a template with a ``{``."""
    fact: str = ""
    """Instead of a value the path of another fact of the row's device; where the device does not
    state that one, the row does not have the setting."""


#: Parameter of the workload or path of a fact -> number, expression, template, or some rows' own.
Settings: TypeAlias = dict[str, float | int | bool | str | FactForm]


class MeaningForm(_DatasetPart):
    """What a name means, where that is more than a text: a workload with settings of its own."""

    model: str
    """What the value's text is."""
    set: Settings = Field(default_factory=dict)
    """Settings of the row, which win over those that `RowForm` states."""
    values: dict[str, str | float] = Field(default_factory=dict)
    """Further values of the row, by name."""


class TextForm(_DatasetPart):
    """A text made of columns and of values stated before it."""

    text: str
    """A template: ``{column}`` stands for a cell or for a value."""
    drop: tuple[str, ...] = ()
    """Patterns that are cut out of it, one after the other."""
    match: str | None = None
    """Pattern of what is taken of it: the first group that took part, or all; else nothing."""
    case: Literal["lower", "snake"] | None = None
    """``snake`` also puts ``_`` for all but letters and digits."""
    names: dict[str, str | MeaningForm] | None = None
    """What stands in the file -> what it means, a template; compared after all of the above."""
    patterns: dict[str, str | MeaningForm] | None = None
    """Pattern -> what it means, a template, the first that fits; after `names`."""
    otherwise: str | None = None
    """A template, for a text that `names` and `patterns` do not have; else it is not known."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """Pattern -> why a text that is not known cannot be predicted, a template."""
    noun: str = ""
    """What is not known then, for the reason: ``model of the library``."""


class NumberForm(_DatasetPart):
    """A number worked out from columns and from values stated before it."""

    number: str
    """An expression; a cell that is empty makes the result empty. A comparison is 1 or 0."""
    digits: int | None = None
    """Significant digits that it is rounded to."""
    otherwise: float | None = None
    """What an empty result is taken for."""
    matched: dict[str, str] = Field(default_factory=dict)
    """Name -> ``{template} | pattern``: numbers in texts, by the first group of the pattern."""


class CellForm(_DatasetPart):
    """A cell of another table: that of its first row that fits; empty where none does."""

    table: str
    """Name of the table, of `DatasetForm.tables`."""
    column: str
    """Whose cell."""
    where: Patterns = Field(min_length=1)
    """Column of the table -> pattern that its cell has: a template, whose holes stand for texts."""


class TableForm(_DatasetPart):
    """A table beside the data set's own, such as the reports of what its rows are made of."""

    files: tuple[str, ...] = Field(min_length=1)
    """Where it may lie in the folder of data, the first that exists; without one it has no rows."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Columns that the file must have."""


ValueForm: TypeAlias = TextForm | NumberForm | CellForm | str


class DeviceFactForm(_DatasetPart):
    """A value that the row's device states."""

    fact: str
    """Path of a fact of the device under the row's runtime; empty where it does not state it."""


class MacsForm(_DatasetPart):
    """Multiply-accumulates that a row states of its network, by which another one is told."""

    value: str
    """An expression: those of an item of the workload (a frame, a token)."""
    low: float = Field(default=0.95, ge=0)
    """Least share that the workload's may be of them."""
    high: float = Field(default=1.05, gt=0)
    """Largest share."""
    reason: str
    """A template: why a row of which the workload has others is not predicted."""


class RowForm(_DatasetPart):
    """What a row asks: templates of the arguments of `perfmodel.predict` or `perfmodel.serve`."""

    ask: Literal["predict", "serve"] = "predict"
    """The public function. `serve` takes from `set` its requests (``prompt``, ``generate``,
    ``concurrency``) and how the model is split (``tensor``, ``data``, ``expert``, ``wide``)."""
    name: str
    """As reports name the row."""
    model: str
    """Workload of the library."""
    device: str | tuple[str, ...]
    """Device of the library; of several templates the first that names one."""
    values: dict[str, ValueForm | DeviceFactForm] = Field(default_factory=dict)
    """Further values that follow from the device, for the fields below and for `measured`:
    ``{tags}`` are its tags, parted by commas."""
    by_device: str | None = None
    """As errors by device name it; `device` where left out."""
    group: str = ""
    """Family of networks, weight format ...: a second way to group errors."""
    runtime: str = ""
    """Runtime; the device's own where empty."""
    precision: str = ""
    """Precision."""
    engine: str = ""
    """Engine; the runtime's where empty."""
    warm: bool = False
    """Measured over repeated runs."""
    set: Settings = Field(default_factory=dict)
    """Settings of all measurements of the row."""
    macs: MacsForm | None = None
    """What the row states of its network."""

    @property
    def devices(self) -> tuple[str, ...]:
        """The templates of its device."""
        return (self.device,) if isinstance(self.device, str) else self.device


class MeasuredForm(ConditionForm):
    """A measured quantity."""

    target: str
    """Name of the target that it counts for, a template."""
    metric: str = "latency_s"
    """Attribute of the prediction, or of what `serve` returns, that answers it."""
    value: str
    """An expression, SI; a row without that value was not measured."""
    model: str | None = None
    """Workload, where it is not the row's."""
    set: Settings = Field(default_factory=dict)
    """Settings beside the row's."""


class ConstantForm(ConditionForm):
    """A constant that a refit may move, in the rows that fit.

    A pattern of ``tags`` is held against the tags of the row's device, parted by commas.
    """

    start: float = Field(gt=0)
    """Where the search begins, SI."""
    low: float = Field(gt=0)
    """Least value."""
    high: float = Field(gt=0)
    """Greatest value."""
    prior: float = Field(default=0.0, ge=0)
    """Weight of a pull towards the start."""
    fact: str | None = None
    """Path of the fact that it sets; its own name where left out."""
    facts: tuple[str, ...] = ()
    """Paths, where it sets several."""
    times: str = ""
    """Another constant, where this one is a ratio to it: the rows that fit have their product."""


class LeftOutForm(_DatasetPart):
    """What is left out in turn, and judged on a fit without it."""

    what: str = "device"
    """``chip``, ``network``."""
    group: str = ""
    """A template of the rows that go together; the row's device where left out."""
    name: str = ""
    """As reports name it; the target where left out."""
    target: str = ""
    """Whose errors are reported, where measurements of several were fitted on."""


class RefitForm(ConditionForm):
    """How constants of the library's specs were fitted to rows of the data set."""

    target: str | tuple[str, ...]
    """Whose measurements were fitted on; several together."""
    warm: bool | None = None
    """Whether calls are fitted as repeated ones, where that is not as the rows are predicted."""
    unfitted: ConditionForm | None = None
    """Rows that are predicted and judged, and not fitted on."""
    left_out: tuple[LeftOutForm, ...] = (LeftOutForm(),)
    """Ways to leave rows out."""
    scale: float = Field(default=0.1, gt=0)
    """Relative error from which on a row counts less."""
    constants: dict[str, ConstantForm] = Field(min_length=1)
    """Constant -> its bounds."""


class DatasetForm(_DatasetPart):
    """A data set of measured rows."""

    schema_version: Literal[1]
    """Version of this form."""
    title: str
    """What was measured."""
    about: str = ""
    """Where it comes from, what its columns mean."""
    files: tuple[str, ...] = Field(min_length=1)
    """Where its file may lie in the folder of data, the first that exists."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Columns that the file must have."""
    tables: dict[str, TableForm] = Field(default_factory=dict)
    """Further tables by name, of which values are cells."""
    signed: tuple[str, ...] = ()
    """Columns whose numbers need not be above zero."""
    words: str = ""
    """Column of words ``name=value``, each of which is a value of the row (``m=64 n=4096``); a word
    that a row lacks is an empty value."""
    notes: tuple[str, ...] = ()
    """What a reader of the errors must know."""
    primary: str = "latency_s"
    """Target whose error is the data set's."""
    values: dict[str, ValueForm] = Field(default_factory=dict)
    """Values of a row by name, in order; a plain text is a template."""
    each: tuple[dict[str, ValueForm], ...] = ()
    """Rows of the data set that each row of the file is (a column for each device), by values that
    come before `values`; one where left out."""
    skip: tuple[ConditionForm, ...] = ()
    """Rows of the file that are no rows of the data set."""
    repeats: str = ""
    """A template; a row of which another one before it has the text is no row of the data set."""
    details: dict[str, str] = Field(default_factory=dict)
    """Further ways to group the errors of the primary target: name -> template."""
    unpredicted: tuple[ReasonForm, ...] = ()
    """Rows that count against the coverage, with the reason; the first that fits."""
    unmeasured: str = "nothing was measured"
    """Reason of a row without any measured quantity."""
    row: RowForm
    """What a row asks."""
    measured: tuple[MeasuredForm, ...] = Field(min_length=1)
    """What was measured of it."""
    refits: tuple[RefitForm, ...] = ()
    """How constants were fitted."""

    @staticmethod
    def structure_faults(data: Mapping[str, Any]) -> Iterator[Flaw]:
        """Yield expressions that cannot be read."""
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
