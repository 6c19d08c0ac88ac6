"""A command is made from a public function: its signature and its documentation declare it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from itertools import takewhile
from typing import Annotated, Any, Final

from cyclopts import Parameter

import perfmodel as pm
from perfmodel.cli.answer import Answer
from perfmodel.cli.reading import combined, form_of, parameter_help
from perfmodel.cli.words import ORDER, SHORT, TEXTS, option_of
from perfmodel.errors import Fault, InputError
from perfmodel.settings import FaultList, with_faults

#: Documentation of a parameter that is that of `predict`.
_AS_PREDICT: Final = "As for predict"
#: What it says of a parameter that is left out; another function says it in the same words.
_DEFAULT: Final = " By default "


@dataclass(frozen=True)
class Question:
    """A command, as far as its public function does not declare it.

    Attributes
    ----------
    word
        The command.
    answer
        ``module:class`` within `perfmodel.cli`: what is done with the answer (`Answer`).
    source
        ``module:function``; by default the word of `perfmodel` of that name.
    options
        Positional parameters of the function that are options of the command.
    hidden
        Parameters that have no form on a command line.
    short
        Settings of the workload that are options as well.
    names
        Parameter -> its options, where they are not those that it has in every command.
    reads
        Parameter -> ``module:function`` within `perfmodel.cli` that reads what was typed, where
        that does not follow from its type.
    texts
        Parameter -> its text, where the command line takes it in a form of its own.
    """

    word: str
    answer: str = "answer:Answer"
    source: str = ""
    options: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    short: tuple[str, ...] = SHORT
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    reads: Mapping[str, str] = field(default_factory=dict[str, str])
    texts: Mapping[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The public function."""
        return _function(self.source or f"perfmodel.{pm.WORDS[self.word]}:{self.word}")

    @cached_property
    def answers(self) -> type[Answer]:
        """What is done with the answer."""
        return _imported(self.answer)

    @cached_property
    def readers(self) -> dict[str, Callable[[Any, str, FaultList], Any]]:
        """Parameter -> what reads it, where that is not what its type says."""
        return {name: _imported(target) for name, target in self.reads.items()}

    @cached_property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Parameters of the function that the command has, and the short settings."""
        named = inspect.signature(self.function).parameters
        asked = {name: each for name, each in named.items() if name not in self.hidden}
        if "set" in asked:
            asked |= {
                name: inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation="str | None"
                )
                for name in self.short
                if name not in asked
            }
        return asked

    @cached_property
    def examples(self) -> dict[str, str]:
        """Parameter -> a value as it is typed, from the examples of the documentation."""
        from doctest import DocTestParser

        examples: dict[str, str] = {}
        names = list(inspect.signature(self.function).parameters)
        for example in DocTestParser().get_examples(inspect.getdoc(self.function) or ""):
            for call in ast.walk(ast.parse(example.source)):
                if not isinstance(call, ast.Call) or _name_of(call) != self.function.__name__:
                    continue
                named = [
                    *zip(names, call.args, strict=False),
                    *((k.arg, k.value) for k in call.keywords),
                ]
                for name, value in named:
                    if name is not None and isinstance(value, ast.Constant):
                        examples.setdefault(name, str(value.value))
        return examples

    def is_argument(self, parameter: inspect.Parameter) -> bool:
        """Whether a parameter is an argument of the command, not an option."""
        return parameter.kind is not parameter.KEYWORD_ONLY and parameter.name not in self.options

    @cached_property
    def option_names(self) -> frozenset[str]:
        """Options of the command, as they are typed."""
        own = [n for n, each in self.parameters.items() if not self.is_argument(each)]
        answers = inspect.signature(self.answers).parameters.keys() - self.answers.without()
        return frozenset(option for n in (*own, *answers) for option in self._options(n))

    def command(self) -> Callable[..., int]:
        """Return the function that the parser calls."""
        texts = self._texts()
        arguments: list[inspect.Parameter] = []
        options: list[inspect.Parameter] = []
        for each in self.parameters.values():
            names = () if self.is_argument(each) else self._options(each.name)
            made = _typed(each, texts.get(each.name, ""), names)
            (arguments if self.is_argument(each) else options).append(made)
        options += [
            _typed(each, texts.get(each.name, ""), self._options(each.name))
            for each in inspect.signature(self.answers).parameters.values()
            if each.name not in self.answers.without()
        ]
        options.sort(key=lambda each: ORDER.index(each.name) if each.name in ORDER else -1)
        signature = inspect.Signature([*arguments, *options], return_annotation=int)

        def command(*args: Any, **kwargs: Any) -> int:
            bound = signature.bind(*args, **kwargs)
            return self.ask(dict(bound.arguments))

        command.__name__ = self.word.replace(" ", "_")
        command.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
        command.__annotations__ = {n: each.annotation for n, each in signature.parameters.items()}
        return command

    def _options(self, parameter: str) -> tuple[str, ...]:
        """Return the options that a parameter is."""
        short = ("-o",) if parameter == "output" else ()
        return self.names.get(parameter, (option_of(parameter), *short))

    def _texts(self) -> dict[str, str]:
        predict = {
            **parameter_help(inspect.getdoc(_function("perfmodel.predict:predict"))),
            **TEXTS,
        }
        own = dict(parameter_help(inspect.getdoc(self.function)))
        for name, text in own.items():
            if text.startswith(_AS_PREDICT):
                more = text.removeprefix(_AS_PREDICT).removeprefix(".")
                base = predict.get(name, "")
                own[name] = (base.partition(_DEFAULT)[0] if _DEFAULT in more else base) + more
            elif name == "set":
                own[name] = f"NAME=VALUE, as often as needed. {text}"
        if self.word == "predict":
            own = predict
        answers = parameter_help(inspect.getdoc(Answer))
        if self.answers is not Answer:
            answers = {**answers, **parameter_help(inspect.getdoc(self.answers))}
        answers = {**answers, "output": self._output_text(), **self.answers.texts()}
        return {**TEXTS, **own, **answers, **self.texts}

    def _output_text(self) -> str:
        answers = self.answers
        if answers.OUTPUT:
            return answers.OUTPUT
        rows = f" with one row per {answers.ROW}" if answers.ROW else ""
        text = f"Write the answer to a file: .json and .txt as printed, .csv and .parquet{rows}"
        return f"{text}, .html as a report."

    def ask(self, values: dict[str, Any]) -> int:
        """Ask the question with what was typed, and give the answer.

        Raises
        ------
        InputError
            Every fault at once; options are named where they are at fault.
        """
        values = {
            name: value for name, value in values.items() if not self._is_default(name, value)
        }
        faults = FaultList()
        of_answer = inspect.signature(self.answers).parameters.keys() - self.parameters.keys()
        answer = self.answers(**{n: values.pop(n) for n in of_answer & values.keys()})
        short = [f"{name}={values.pop(name)}" for name in self._short() if name in values]
        given = {item.partition("=")[0] for item in short}
        if short:
            values["set"] = [*values.get("set", ()), *short]
        for name, value in values.items():
            read = self.readers.get(name) or form_of(str(self.parameters[name].annotation)).read
            if read is not None:
                values[name] = read(value, name, faults)
        faults += answer.faults(values)
        combined(values)
        # `runtime.efficiency.gemm` was set, whatever `--runtime` is.
        heads = (name.partition(".")[0] for name in values.get("set", ()))
        elsewhere = {*heads, *SHORT} - given
        with self._options_named(elsewhere), with_faults(faults):
            result = self._asked(answer, values, faults)
        code = answer.give(result)
        answer.after(result, partial(self.function, **values))
        return code

    def _is_default(self, name: str, value: Any) -> bool:
        """Whether an option was not given, or says what holds without it."""
        default = self.parameters[name].default if name in self.parameters else None
        return value is None or (isinstance(value, bool) and value is default)

    def _short(self) -> list[str]:
        own = inspect.signature(self.function).parameters
        return [name for name in self.short if name not in own]

    def _asked(self, answer: Answer, values: Mapping[str, Any], faults: list[Fault]) -> Any:
        named = dict(values)
        arguments = [named.pop(name) for name in takewhile(named.__contains__, self._positional())]
        try:
            result = answer.ask(partial(self.function, *arguments, **named), dict(values))
        except InputError as error:
            told = [self._where_it_belongs(fault, values.get("set")) for fault in error.faults]
            raise InputError(dict.fromkeys([*faults, *told])) from None
        if faults:
            raise InputError(faults)
        return result

    def _where_it_belongs(self, fault: Fault, settings: Any) -> Fault:
        """Return a fault of a setting that is an option, with the command that has it."""
        unknown = settings and fault.path in settings and "has no setting" in fault.message
        if not unknown or fault.suggestion:
            return fault
        from perfmodel.cli.questions import owners

        option = option_of(fault.path)
        if option in self.option_names:
            own = fault.path not in SHORT
            return replace(fault, expected=f"the option {option}") if own else fault
        others = owners(option)
        return replace(fault, expected=f"{option} of {in_words(others)}") if others else fault

    def _positional(self) -> Iterator[str]:
        for name, each in inspect.signature(self.function).parameters.items():
            if each.kind is not each.KEYWORD_ONLY:
                yield name

    def _options_named(self, elsewhere: Iterable[str]) -> Any:
        """Name options in faults; `elsewhere` are names that were set, or are no option here."""
        from perfmodel.cli.common import options_named

        named = {
            name: self._options(name)[0]
            for name, each in self.parameters.items()
            if not self.is_argument(each) and (name not in elsewhere or each.default is not None)
        }
        of_answer = inspect.signature(self.answers).parameters.keys()
        return options_named({**{name: self._options(name)[0] for name in of_answer}, **named})


def _function(source: str) -> Callable[..., Any]:
    module, _, name = source.partition(":")
    return getattr(import_module(module), name)


def _name_of(call: ast.Call) -> str:
    """Return the name of what is called, without its module."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _imported(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(f"perfmodel.cli.{module}"), name)


def in_words(commands: Sequence[str]) -> str:
    """Return the names of commands as a text, no more than a reader wants."""
    most = 3
    named = [f"`perfmodel {command}`" for command in commands[:most]]
    *first, last = [*named, "others"] if len(commands) > most else named
    return " and ".join([", ".join(first), last] if first else [last])


def _typed(parameter: inspect.Parameter, text: str, options: tuple[str, ...]) -> inspect.Parameter:
    """Return a parameter as the parser takes it: an argument where it has no options."""
    form = form_of(str(parameter.annotation))
    if parameter.default and type(parameter.default) in (int, float, str):
        default = (
            f"{parameter.default:g}" if parameter.default.__class__ is float else parameter.default
        )
        text = f"{text} The default is {default}."
    required = parameter.default is parameter.empty
    optional = not required and parameter.default is not False and parameter.default is not True
    kind: Any = form.type
    names: dict[str, Any] = {}
    if options:
        names["name"] = list(options)
        if kind is bool and parameter.default is not False:
            names["negative"] = f"--no-{options[0][2:]}"
    kind = Annotated[kind | None if optional else kind, Parameter(help=text, **names)]
    default = parameter.default if required or not optional else None
    where = parameter.KEYWORD_ONLY if options else parameter.POSITIONAL_ONLY
    return parameter.replace(annotation=kind, default=default, kind=where)
