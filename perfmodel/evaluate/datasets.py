"""Registry and reader of data sets, from packages with the entry point ``perfmodel.datasets``.

A data set is either a Python module or a declaration in YAML (`DatasetForm`) that maps the rows of
its file to predictions. `DeclaredDataset.load` reads the rows and resolves each to a workload, a
machine and measured quantities; a row that cannot be resolved becomes a case with a reason.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from perfmodel.ask import Device, Machine, PredictionInputs, Workload, hardware, resolve, workload
from perfmodel.calibrate import Constant
from perfmodel.catalog import module_of, packages
from perfmodel.errors import InputError
from perfmodel.evaluate.data_files import DataFolder, measured_table
from perfmodel.evaluate.dataset_form import (
    ConstantForm,
    DatasetForm,
    DeviceFactForm,
    FactForm,
    LeftOutForm,
    MacsForm,
    RefitForm,
    TableForm,
    ValueForm,
)
from perfmodel.evaluate.refit import Refit, refit
from perfmodel.evaluate.row_values import RowValues
from perfmodel.evaluate.validation_case import Cases, MeasuredQuantity, ValidationCase, served_load
from perfmodel.measurement_csv import CsvRow, read_rows
from perfmodel.settings import is_fact, split
from perfmodel.specfile import read, validate

P = ParamSpec("P")
R = TypeVar("R")

#: Entry point group of packages whose `READERS` map data sets to reader modules.
GROUP: Final = "perfmodel.datasets"


@cache
def _readers() -> Mapping[str, str | DeclaredDataset]:
    """Return data set -> name of its reader module, or the declaration in its YAML."""
    readers: dict[str, str | DeclaredDataset] = {}
    for package in packages(GROUP):
        folder = Path(str(package.__path__[0]))
        readers |= {
            path.stem: DeclaredDataset(path)
            for path in folder.glob("*.yaml")
            if path.stem != "peers"
        }
        readers |= package.READERS
    return dict(sorted(readers.items()))


def dataset_names() -> list[str]:
    """Return the names of all installed data sets."""
    return list(_readers())


def dataset(name: str) -> Any:
    """Return the reader of a data set: NAME, TITLE, PLACES and ``load(folder, devices)``."""
    reader = _readers()[name]
    if not isinstance(reader, str):
        return reader
    module, _, attribute = reader.partition(":")
    return getattr(module_of(module), attribute) if attribute else module_of(module)


def datasets() -> dict[str, str]:
    """Return name -> title of each data set."""
    return {name: dataset(name).TITLE for name in _readers()}


#: Arguments of `predict` that a row states by name.
_ARGUMENTS: Final = ("precision", "runtime", "engine")


@dataclass(frozen=True)
class DeclaredDataset:
    """Reader of a data set declared in YAML.

    Attributes
    ----------
    file
        The YAML file; its stem is the name of the data set.
    """

    file: Path

    @property
    def NAME(self) -> str:
        """Name of the data set."""
        return self.file.stem

    @property
    def TITLE(self) -> str:
        """Short description of the measurements."""
        return self.form.title

    @property
    def PLACES(self) -> tuple[str, ...]:
        """Candidate paths of its file in the folder of data."""
        return self.form.files

    @cached_property
    def form(self) -> DatasetForm:
        """Validated content of the YAML file.

        Raises
        ------
        InputError
            Lists every fault of the file with its location.
        """
        data, marks = read(self.file)
        return validate(DatasetForm, data, marks, self.file.name)

    def load(self, folder: DataFolder, devices: Sequence[str | Path] = ()) -> Cases:
        """Return the cases of the file, in the order of its rows.

        Raises
        ------
        InputError
            Missing file or columns, or cells that are not numbers; lists all faults.
        """
        form = self.form
        with measured_table(folder, self.NAME, form.files, form.columns) as (table, faults, note):
            reader = _CaseReader(form, devices)
            tables = {name: _additional_rows(folder, one) for name, one in form.tables.items()}
            cases: list[ValidationCase] = []
            for row in table:
                for own in form.each or ({},):
                    values = RowValues(table, row, faults, form.signed, form.words, tables)
                    case = reader.case(values, own)
                    cases += [] if case is None else [case]
        count = reader.repeated
        repeats = (
            (f"{count} further rows repeat a measurement under another name",) if count else ()
        )
        return Cases(
            self.NAME, cases, form.primary, (*form.notes, *repeats, *note), dict(form.details)
        )

    def refits(self, folder: DataFolder, devices: Sequence[str | Path] = ()) -> Sequence[Refit]:
        """Return the refits for cross-validation, with groups of rows left out."""
        cases = self.load(folder, devices)
        refits: list[Refit] = []
        for form in self.form.refits:
            several = [_refit(form, left_out, cases) for left_out in form.left_out]
            # They share one forward function and its cache.
            refits += [replace(refit, forward=several[0].forward) for refit in several]
        # A refit with a single group has no rows to fit when that group is left out.
        return [refit for refit in refits if len(set(refit.groups)) > 1]


def _additional_rows(folder: DataFolder, form: TableForm) -> Sequence[CsvRow]:
    """Return the rows of an additional table; none if its file does not exist."""
    path = folder.find(*form.files)
    if path is None:
        return ()
    table = read_rows(path)
    faults = table.missing(form.columns)
    if faults:
        raise InputError(faults)
    return table.rows


@dataclass
class _CaseReader:
    """Converter of rows to cases; equal predictions share a workload and a machine."""

    form: DatasetForm
    devices: Sequence[str | Path]
    _inputs: dict[tuple[Any, ...], PredictionInputs] = field(
        default_factory=dict[tuple[Any, ...], PredictionInputs]
    )
    _library: dict[tuple[Any, ...], Any] = field(default_factory=dict[tuple[Any, ...], Any])
    _texts: set[str] = field(default_factory=set[str])
    repeated: int = 0
    """Number of rows that repeat an earlier one."""

    def case(self, values: RowValues, own: Mapping[str, ValueForm]) -> ValidationCase | None:
        """Return the case of a row; ``None`` for an ignored row.

        Parameters
        ----------
        own
            Values of this expansion of the file's row (`DatasetForm.each`).
        """
        form, row = self.form, self.form.row
        reason = ""
        for name, value in (*own.items(), *form.values.items()):
            try:
                values.add(name, value)
            except InputError as error:
                reason = reason or str(error.faults[0])
                values.add(name, "")
        if any(values.fits(condition) for condition in form.skip):
            return None
        if form.repeats:
            text = values.text(form.repeats)
            if text in self._texts:
                self.repeated += 1
                return None
            self._texts.add(text)
        name, device = values.text(row.name), values.text(row.by_device or row.devices[0])
        stated = next((r.reason for r in form.unpredicted if values.fits(r)), None)
        reason = reason if stated is None else values.text(stated)
        if not reason:
            try:
                return self._predictable_case(values, name, device)
            except InputError as error:
                reason = str(error.faults[0])
        return ValidationCase(name, device, reason=reason)

    def _predictable_case(self, values: RowValues, name: str, device: str) -> ValidationCase:
        """Return the case of a row, with workload and machine resolved for each quantity."""
        row = self.form.row
        spec = self._device(values)

        def fact(path: str) -> Any:
            return spec.machine(values.text(row.runtime) or None).get(path)

        for key, value in ({"tags": ",".join(spec.tags)} | row.values).items():
            if isinstance(value, DeviceFactForm):
                values.state(key, fact(value.fact))
            else:
                values.add(key, value)
        settings = _settings({**row.set, **values.settings}, values, fact)
        arguments = {name: values.text(getattr(row, name)) for name in _ARGUMENTS}
        first: PredictionInputs | None = None
        quantities: list[MeasuredQuantity] = []
        for measured in self.form.measured:
            value = values.number(measured.value) if values.fits(measured) else None
            if value is None:
                continue
            own = {**settings, **_settings(measured.set, values, fact)}
            model = values.text(measured.model or row.model)
            ask = measured.ask or row.ask
            load = served_load(model, own) if ask == "serve" else None
            options, settings_ = arguments, own
            if load is not None:
                options, settings_ = {**arguments, **load.parameters, **load.choices}, {}
            inputs = self._resolved_inputs(model, spec, arguments, settings_)
            first = first or inputs
            if row.macs is not None:
                _check_macs(row.macs, values, inputs.workload)
            command = _command(ask, model, spec.name, options, settings_)
            target = values.text(measured.target)
            quantities.append(
                MeasuredQuantity(
                    target,
                    measured.metric,
                    value,
                    inputs.workload,
                    command + " --warm" * row.warm,
                    load,
                    None if inputs.device is first.device else inputs.device,
                    target not in self.form.no_evidence,
                )
            )
        if first is None:
            return ValidationCase(name, device, reason=self.form.unmeasured)
        return ValidationCase(
            name,
            device,
            first.device,
            quantities,
            first.precision,
            first.runtime,
            values.text(row.group),
            warm=row.warm,
            engine=first.engine,
            values=values,
        )

    def _device(self, values: RowValues) -> Device:
        """Return the first device of the library that a template names."""
        first: InputError | None = None
        for template in self.form.row.devices:
            try:
                return self._once(hardware, values.text(template), tuple(self.devices))
            except InputError as error:
                first = first or error
        assert first is not None
        raise first

    def _resolved_inputs(
        self, model: str, device: Device, arguments: Mapping[str, str], settings: Mapping[str, Any]
    ) -> PredictionInputs:
        """Return the inputs of a prediction; equal ones are resolved once and share a machine."""
        facts = tuple((k, v) for k, v in settings.items() if is_fact(k))
        key = (model, device.name, *arguments.values(), tuple(settings.items()))
        if key not in self._inputs:
            precision, runtime, engine = (arguments[name] or None for name in _ARGUMENTS)
            own = split(settings).workload
            network = self._once(workload, model, **own)
            others = {k: v for k, v in settings.items() if k not in own}
            inputs = resolve(network, device, precision, runtime, others, engine)
            # Share one machine between networks, so that values derived from its facts are cached.
            ran = inputs.device.runtime.name if isinstance(inputs.device, Machine) else ""
            shared = ("machine", device.name, arguments["runtime"], ran, facts)
            first = self._inputs.setdefault(shared, inputs)
            self._inputs[key] = inputs._replace(device=first.device, runtime=first.runtime)
        return self._inputs[key]

    def _once(self, find: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Return what the library has under a name, looking up hits and failures once."""
        key = (find, *arguments, *named.items())
        if key not in self._library:
            try:
                self._library[key] = find(*arguments, **named)
            except InputError as error:
                self._library[key] = error
        known = self._library[key]
        if isinstance(known, InputError):
            raise known
        return known


def _check_macs(form: MacsForm, values: RowValues, network: Workload) -> None:
    """Check the number of multiply-accumulates of a workload against that stated by a row.

    Raises
    ------
    InputError
        The numbers differ: it is another network.
    """
    stated = values.number(form.value)
    share = 1.0 if stated is None else float(network.macs / network.items()) / stated
    if not form.low <= share <= form.high:
        raise InputError(values.text(form.reason))


def _settings(
    stated: Mapping[str, Any], values: RowValues, fact: Callable[[str], Any]
) -> dict[str, Any]:
    """Return the settings that apply to a row, without empty ones."""
    out: dict[str, Any] = {}
    for name, value in stated.items():
        if isinstance(value, FactForm):
            if not values.fits(value):
                continue
            value = fact(value.fact) if value.fact else value.value
        number = None if value is None else values.setting(value)
        if number is not None:
            out[name] = number
    return out


def _command(
    word: str, model: str, device: str, options: Mapping[str, Any], settings: Mapping[str, Any]
) -> str:
    """Return the equivalent command line."""
    words = ["perfmodel", word, model, device]
    for name, value in options.items():
        if value:
            words += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    for name, value in settings.items():
        text = repr(value) if isinstance(value, float) else value
        words += ["--set", f"{name}={text}"]
    return shlex.join(words)


def _refit(form: RefitForm, left_out: LeftOutForm, cases: Cases) -> Refit:
    """Return the refit that a form declares, with one of its choices of groups."""

    def row(case: ValidationCase) -> RowValues:
        assert case.values is not None
        return case.values

    def group(case: ValidationCase) -> str:
        return row(case).text(left_out.group) if left_out.group else case.device

    unfitted = form.unfitted
    if form.warm is not None:
        cases = replace(cases, cases=[replace(case, warm=form.warm) for case in cases.cases])
    return refit(
        cases,
        form.target,
        [
            Constant(n, c.start, c.low, c.high, c.weight(form.scale), spread=c.spread)
            for n, c in form.constants.items()
        ],
        left_out=left_out.what,
        group=group,
        apply=_apply(form.constants),
        where=lambda case: row(case).fits(form),
        name=left_out.name or left_out.target,
        scale=form.scale,
        fitted=lambda case: unfitted is None or not row(case).fits(unfitted),
        judged=left_out.target,
    )


def _apply(
    forms: Mapping[str, ConstantForm],
) -> Callable[[ValidationCase, Mapping[str, Any]], Mapping[str, Any]]:
    """Return the function from a case and constants to facts of its machine."""

    def apply(case: ValidationCase, constants: Mapping[str, Any]) -> Mapping[str, Any]:
        machine = case.machine
        assert isinstance(machine, Machine)
        assert case.values is not None
        tags = {"tags": ",".join(machine.device.tags)}
        facts: dict[str, Any] = {}
        for name, value in constants.items():
            form = forms[name]
            if case.values.fits(form, tags):
                paths = form.facts or (form.fact or name,)
                product = value * constants[form.times] if form.times else value
                facts |= {path: product for path in paths if form.where or path in machine}
        return facts

    return apply
