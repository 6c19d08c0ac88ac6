"""Commands of the command line, generated from public functions.

Arguments and options are the parameters of the function, their help is its numpydoc section
Parameters, and types follow from annotations (`perfmodel.cli.argument_types`). Running a command
reads the typed values, calls the function and outputs its result (`perfmodel.cli.answer`); every
fault is reported in terms of options. `perfmodel.cli.command_table` lists the commands.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from itertools import takewhile
from typing import Annotated, Any, Final

from cyclopts import Parameter

import perfmodel as pm
from perfmodel.cli.answer import Answer
from perfmodel.cli.argument_types import as_grid, parameter_help, typed_form
from perfmodel.cli.option_texts import ORDER, SHORT, TEXTS, option_of
from perfmodel.errors import Fault, InputError
from perfmodel.settings import FaultList, with_faults

#: Parameter text that refers to the documentation of `predict`.
_AS_PREDICT: Final = "As for predict"
#: Phrase for defaults in parameter texts; the same wording everywhere.
_DEFAULT: Final = " By default "


@dataclass(frozen=True)
class GeneratedCommand:
    """A command, with all that its public function does not declare.

    Attributes
    ----------
    name
        Name of the command.
    answer
        ``module:class`` within `perfmodel.cli` that outputs the answer (`Answer`).
    source
        ``module:function``; by default the function of `perfmodel` with that name.
    options
        Positional parameters of the function that become options of the command.
    hidden
        Parameters without a command-line form.
    short
        Settings of the workload that are also options.
    row
        Content of a row of the answer's table, for example ``kernel``.
    plot
        Content of ``--plot``; empty if there is no picture.
    explain
        Help text of ``--explain``; empty if there is no explanation beyond the answer.
    names
        Parameter -> its options, if they differ from `option_of`.
    reads
        Parameter -> ``module:function`` within `perfmodel.cli` that reads the typed value, if not
        determined by its type.
    texts
        Parameter -> help text, if its command-line form differs.
    """

    name: str
    answer: str = "answer:Answer"
    source: str = ""
    options: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    short: tuple[str, ...] = SHORT
    row: str = ""
    plot: str = ""
    explain: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    reads: Mapping[str, str] = field(default_factory=dict[str, str])
    texts: Mapping[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The public function."""
        return _public_function(self.source or f"perfmodel.{pm.WORDS[self.name]}:{self.name}")

    @cached_property
    def function_parameters(self) -> Mapping[str, inspect.Parameter]:
        """Parameters of the public function."""
        return inspect.signature(self.function).parameters

    @cached_property
    def answer_class(self) -> type[Answer]:
        """The class that outputs the answer."""
        return _attribute_of(self.answer)

    @cached_property
    def answer_parameters(self) -> dict[str, inspect.Parameter]:
        """Options of the answer, without shared ones that do not apply to it."""
        texts = {"plot": self.plot, "explain": self.explain}
        named = inspect.signature(self.answer_class).parameters
        return {name: each for name, each in named.items() if texts.get(name) != ""}

    @cached_property
    def readers(self) -> dict[str, Callable[[Any, str, FaultList], Any]]:
        """Parameter -> its reader, if not determined by its type."""
        return {name: _attribute_of(target) for name, target in self.reads.items()}

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Parameters of the function that the command has, and the short settings."""
        own = {
            name: each for name, each in self.function_parameters.items() if name not in self.hidden
        }
        kind = inspect.Parameter.KEYWORD_ONLY
        short = {
            name: inspect.Parameter(name, kind, default=None, annotation="str | None")
            for name in self.short
        }
        return {**short, **own} if "set" in own else own

    @cached_property
    def examples(self) -> dict[str, str]:
        """Parameter -> an example value as typed, from the doctests of the function."""
        from doctest import DocTestParser

        examples: dict[str, str] = {}
        for example in DocTestParser().get_examples(inspect.getdoc(self.function) or ""):
            for call in ast.walk(ast.parse(example.source)):
                if not isinstance(call, ast.Call) or _called_name(call) != self.function.__name__:
                    continue
                named = ((k.arg, k.value) for k in call.keywords)
                for name, value in (
                    *zip(self.function_parameters, call.args, strict=False),
                    *named,
                ):
                    if name is not None and isinstance(value, ast.Constant):
                        examples.setdefault(name, str(value.value))
        return examples

    def is_argument(self, parameter: inspect.Parameter) -> bool:
        """Return whether a parameter is an argument of the command, not an option."""
        return parameter.kind is not parameter.KEYWORD_ONLY and parameter.name not in self.options

    @cached_property
    def option_names(self) -> frozenset[str]:
        """Options of the command as typed."""
        own = [n for n, each in self.parameters.items() if not self.is_argument(each)]
        return frozenset(
            option for n in (*own, *self.answer_parameters) for option in self._options(n)
        )

    def command(self, words: Sequence[str] | None = None) -> Callable[..., int]:
        """Return the function for the parser.

        Parameters
        ----------
        words
            The only command line that is parsed, if known. Unless it has an option that the command
            lacks (or asks for help), the parser sees the typed options only: declaring all of them
            takes it longer than parsing.
        """
        typed = {word.partition("=")[0] for word in words or () if word.startswith("-")}
        is_partial = words is not None and typed <= self.option_names
        texts = {} if is_partial else self._help_texts()
        arguments: list[inspect.Parameter] = []
        options: list[inspect.Parameter] = []
        for name, each in {**self.parameters, **self.answer_parameters}.items():
            is_option = name in self.answer_parameters or not self.is_argument(each)
            names = self._options(name) if is_option else ()
            is_required = each.default is each.empty
            if is_partial and is_option and not is_required and typed.isdisjoint(names):
                continue
            declared = _parser_parameter(each, texts.get(name, ""), names)
            (options if is_option else arguments).append(declared)
        options.sort(key=lambda each: ORDER.index(each.name) if each.name in ORDER else -1)
        signature = inspect.Signature([*arguments, *options], return_annotation=int)

        def command(*args: Any, **kwargs: Any) -> int:
            bound = signature.bind(*args, **kwargs)
            return self.run(dict(bound.arguments))

        command.__name__ = self.name.replace(" ", "_")
        command.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
        command.__annotations__ = {n: each.annotation for n, each in signature.parameters.items()}
        return command

    def _options(self, parameter: str) -> tuple[str, ...]:
        """Return the options of a parameter."""
        short = ("-o",) if parameter == "output" else ()
        return self.names.get(parameter, (option_of(parameter), *short))

    def _help_texts(self) -> dict[str, str]:
        """Return parameter -> help text, of the function and of the answer."""
        predict = {
            **parameter_help(inspect.getdoc(_public_function("perfmodel.predict:predict"))),
            **TEXTS,
        }
        own = dict(parameter_help(inspect.getdoc(self.function)))
        for name, text in own.items():
            if text.startswith(_AS_PREDICT):
                more = text.removeprefix(_AS_PREDICT).removeprefix(".")
                base = predict.get(name, "")
                own[name] = (base.partition(_DEFAULT)[0] if _DEFAULT in more else base) + more
            elif name == "set":
                own[name] = f"NAME=VALUE, may be repeated. {text}"
        if self.name == "predict":
            own = predict
        answers = parameter_help(inspect.getdoc(Answer))
        if self.answer_class is not Answer:
            answers = {**answers, **parameter_help(inspect.getdoc(self.answer_class))}
        answers = {
            **answers,
            "output": self._output_help(),
            "plot": f"Write {self.plot} to an .html file.",
            "explain": self.explain,
        }
        return {**TEXTS, **own, **answers, **self.texts}

    def _output_help(self) -> str:
        """Return the help text of ``--output``."""
        if self.answer_class.OUTPUT:
            return self.answer_class.OUTPUT
        rows = f" with one row per {self.row}" if self.row else ""
        text = f"Write the answer to a file: .json or .txt as printed, .csv or .parquet{rows}"
        return f"{text}, .html as a report."

    def run(self, values: dict[str, Any]) -> int:
        """Run the command: call the function with the typed values, and output its result.

        Raises
        ------
        InputError
            Every fault at once, in terms of options.
        """
        values = {
            name: value for name, value in values.items() if not self._is_omitted(name, value)
        }
        faults = FaultList()
        of_answer = self.answer_parameters.keys() - self.parameters.keys()
        answer = self.answer_class(**{n: values.pop(n) for n in of_answer & values.keys()})
        own = [
            name for name in self.short if name in values and name not in self.function_parameters
        ]
        if own:
            short = [f"{name}={values.pop(name)}" for name in own]
            values["set"] = [*values.get("set", ()), *short]
        for name, value in values.items():
            read = self.readers.get(name) or typed_form(str(self.parameters[name].annotation)).read
            if read is not None:
                values[name] = read(value, name, faults)
        faults += answer.faults(values)
        as_grid(values)
        # A setting such as `runtime.efficiency.gemm` must not be attributed to `--runtime`.
        heads = (name.partition(".")[0] for name in values.get("set", ()))
        elsewhere = {*heads, *SHORT}.difference(own)
        with self._faults_naming_options(elsewhere), with_faults(faults):
            result = self._call(answer, values, faults)
        code = answer.emit(result)
        answer.print_remarks(result, partial(self.function, **values))
        return code

    def _is_omitted(self, name: str, value: Any) -> bool:
        """Return whether an option was not given, or equals its default."""
        default = self.parameters[name].default if name in self.parameters else None
        return value is None or (isinstance(value, bool) and value is default)

    def _call(self, answer: Answer, values: Mapping[str, Any], faults: FaultList) -> Any:
        """Call the function, and raise its faults together with those of reading."""
        named = dict(values)
        places = [
            n for n, each in self.function_parameters.items() if each.kind is not each.KEYWORD_ONLY
        ]
        arguments = [named.pop(name) for name in takewhile(named.__contains__, places)]
        try:
            result = answer.compute(partial(self.function, *arguments, **named), dict(values))
        except InputError as error:
            more = [self._with_its_option(fault, values.get("set")) for fault in error.faults]
            raise InputError(dict.fromkeys([*faults, *more])) from None
        faults.settle()
        return result

    def _with_its_option(self, fault: Fault, settings: Any) -> Fault:
        """Return the fault of an unknown setting, naming the option or command that has it."""
        unknown = settings and fault.path in settings and "has no setting" in fault.message
        if not unknown or fault.suggestion:
            return fault
        from perfmodel.cli.command_table import owners

        option = option_of(fault.path)
        expected = ""
        if option not in self.option_names:
            others = owners(option)
            expected = f"{option} of {listed_commands(others)}" if others else ""
        elif fault.path not in SHORT:
            expected = f"the option {option}"
        return replace(fault, expected=expected) if expected else fault

    def _faults_naming_options(self, elsewhere: Iterable[str]) -> Any:
        """Replace parameters in faults by options, except `elsewhere`: settings, not parameters."""
        from perfmodel.cli.typed_values import options_named

        named = {
            name: self._options(name)[0]
            for name, each in self.parameters.items()
            if not self.is_argument(each) and (name not in elsewhere or each.default is not None)
        }
        of_answer = {name: self._options(name)[0] for name in self.answer_parameters}
        return options_named({**of_answer, **named})


def _public_function(source: str) -> Callable[..., Any]:
    """Return the function named ``module:function``."""
    module, _, name = source.partition(":")
    return getattr(import_module(module), name)


def _called_name(call: ast.Call) -> str:
    """Return the name of the called function, without its module."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _attribute_of(target: str) -> Any:
    """Return what ``module:name`` names within `perfmodel.cli`."""
    module, _, name = target.partition(":")
    return getattr(import_module(f"perfmodel.cli.{module}"), name)


def listed_commands(commands: Sequence[str]) -> str:
    """Return the names of commands as a text, abbreviated if there are many."""
    most = 3
    named = [f"`perfmodel {command}`" for command in commands[:most]]
    *first, last = [*named, "others"] if len(commands) > most else named
    return " and ".join([", ".join(first), last] if first else [last])


def _parser_parameter(
    parameter: inspect.Parameter, text: str, options: tuple[str, ...]
) -> inspect.Parameter:
    """Return a parameter in the parser's form: an argument if it has no options."""
    kind: Any = typed_form(str(parameter.annotation)).type
    default = parameter.default
    if default and type(default) in (int, float, str):
        shown = f"{default:g}" if isinstance(default, float) else default
        text = f"{text} The default is {shown}."
    names: dict[str, Any] = {}
    if options:
        names["name"] = list(options)
        if kind is bool and default is not False:
            names["negative"] = f"--no-{options[0][2:]}"
    if not (default is parameter.empty or isinstance(default, bool)):
        kind, default = kind | None, None
    return parameter.replace(
        annotation=Annotated[kind, Parameter(help=text, **names)],
        default=default,
        kind=parameter.KEYWORD_ONLY if options else parameter.POSITIONAL_ONLY,
    )
