"""All faults of a command line that the parser rejects, not only the first.

The parser (cyclopts) stops at its first error. The error becomes a `Fault` with a suggestion, the
command line is corrected at that place and parsed again, until it passes or the correction is
ambiguous.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from perfmodel.cli.app import COMMANDS, GROUPS, app
from perfmodel.cli.command_table import GENERATED_COMMANDS, owners
from perfmodel.cli.generated_command import listed_commands
from perfmodel.errors import Fault, nearest, no_such, one_of

#: The parser stops at its first fault; the line is corrected and parsed again, at most so often.
_MOST_FAULTS = 20
#: Similarity above which another option is suggested although other commands have the typed one.
_SIMILAR_OPTION = 0.85
#: Placeholder for missing values.
_PLACEHOLDER = "1"


def parse_faults(error: CycloptsError, words: Sequence[str]) -> list[Fault]:
    """Return every fault of a command line that the parser rejected."""
    faults: list[Fault] = []
    tokens: list[str] | None = list(words)
    while tokens is not None and len(faults) < _MOST_FAULTS:
        own, tokens = _fault(error, tokens)
        if own[0] in faults:
            break
        faults += own
        try:
            app.parse_args(tokens or (), exit_on_error=False, print_error=False)
            break
        except CycloptsError as another:
            error = another
    return faults


def _fault(error: CycloptsError, tokens: list[str]) -> tuple[list[Fault], list[str] | None]:
    """Return the fault, and the command line corrected for it; ``None`` if that is ambiguous."""
    chain = list(error.command_chain or ())
    command = " ".join(("perfmodel", *chain))
    usage = f"what '{command} --help' shows"
    match error:
        case UnknownCommandError() if error.unused_tokens:
            return [_unknown_command(error.unused_tokens[0], chain, command)], None
        case UnknownOptionError():
            return _unknown_option(error, tokens, command, usage)
        case UnusedCliTokensError() if error.unused_tokens:
            extra = list(error.unused_tokens)
            faults = [
                Fault(f"'{t}' is one argument too many", file=command, expected=usage)
                for t in extra
            ]
            return faults, _without(tokens, extra)
        case MissingArgumentError():
            name = error.keyword or _argument_name(error)
            if error.keyword and error.keyword in tokens:
                at = tokens.index(error.keyword) + 1
                fault = Fault(f"{name} has no value", file=command, expected=f"{name} VALUE")
                return [fault], [*tokens[:at], _PLACEHOLDER, *tokens[at:]]
            option = [name, _PLACEHOLDER] if name.startswith("-") else [_PLACEHOLDER]
            expected = _example(chain, error) or usage
            fault = Fault(f"{name} is missing", file=command, expected=expected)
            return [fault], [*tokens, *option]
        case RepeatArgumentError():
            name = error.token.keyword or ""
            message = f"{name} contradicts what is given before it"
            fault = Fault(message, file=command, expected="each option once")
            return [fault], _without_option(tokens, name, error.token.value)
        case CoercionError() if error.token is not None:
            name, value = error.token.keyword or _argument_name(error), error.token.value
            expected, choices = _expected_values(error.target_type)
            if value.startswith("-") and value[1:].isdecimal():
                expected = f"{expected} from 0" if expected else usage
            message, meant = f"'{value}' does not fit {name}", nearest(value, choices)
            fault = Fault(message, file=command, expected=expected or usage, suggestion=meant)
            return [fault], _without_option(tokens, name, value) if error.token.keyword else None
        case _:
            error.verbose = False
            text = " ".join(str(error).split()).replace('"', "'").rstrip(".")
            return [Fault(text, file=command, expected=usage)], None


def _example(chain: list[str], error: MissingArgumentError) -> str:
    """Return an example value of an argument, from the doctests of the function."""
    question = GENERATED_COMMANDS.get(" ".join(chain))
    if question is None or error.argument is None:
        return ""
    example = question.examples.get(error.argument.field_info.name)
    return f"a value such as {example}" if example else ""


def _unknown_command(name: str, chain: list[str], command: str) -> Fault:
    """Return the fault of a command that does not exist."""
    if name.startswith("-"):
        options = ["--help"] if chain else ["--help", "--version"]
        message = f"{command} has no option '{name}'"
        return no_such(message, name, options, expected=" or ".join(options))
    known = [*GROUPS[chain[0]][1]] if chain else [*COMMANDS, *GROUPS]
    return no_such(f"{command} has no command '{name}'", name, sorted(known))


def _unknown_option(
    error: UnknownOptionError, tokens: list[str], command: str, usage: str
) -> tuple[list[Fault], list[str] | None]:
    """Return the fault of an option that the command lacks, and the line without it."""
    # Commands with any number of arguments contain the option as a value.
    name = error.token.keyword or error.token.value.partition("=")[0]
    known = [n for a in error.argument_collection for n in a.names if n.startswith("--")]
    others = owners(name)
    meant = nearest(name, known, cutoff=_SIMILAR_OPTION if others else 0.7)
    if others and not meant:
        fault = Fault(f"{name} is an option of {listed_commands(others)}", file=command)
    else:
        expected = "" if meant else usage
        message = f"there is no option {name}"
        fault = Fault(message, file=command, suggestion=meant, expected=expected)
    at = next((i for i, t in enumerate(tokens) if t == name or t.startswith(f"{name}=")), None)
    if at is None:
        return [fault], None
    lone = "=" in tokens[at] or at + 1 == len(tokens) or tokens[at + 1].startswith("-")
    if meant and not any(t == meant or t.startswith(f"{meant}=") for t in tokens):
        return [fault], [*tokens[:at], meant + tokens[at][len(name) :], *tokens[at + 1 :]]
    return [fault], [*tokens[:at], *tokens[at + 1 :]] if lone else None


def _argument_name(error: CycloptsError) -> str:
    """Return the name of the argument at fault."""
    argument: Any = error.argument
    names = [] if argument is None else [str(n) for n in argument.names]
    first = names[0] if names else "an argument"
    return first if first.startswith("-") else first.upper()


def _expected_values(target: Any) -> tuple[str, list[str]]:
    """Return the expected values of a type, in words and as choices."""
    if get_origin(target) in (types.UnionType, typing.Union):
        inner = [t for t in get_args(target) if t is not type(None)]
        return _expected_values(inner[0]) if len(inner) == 1 else ("", [])
    if get_origin(target) is typing.Literal:
        choices = [str(choice) for choice in get_args(target)]
        return one_of(choices), choices
    words = {int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(target, ""), []


def _without(tokens: list[str], extra: list[str]) -> list[str]:
    """Return the words without some surplus ones, the last occurrences first."""
    others = tokens[::-1]
    for token in reversed(extra):
        if token in others:
            others.remove(token)
    return others[::-1]


def _without_option(tokens: list[str], name: str, value: str) -> list[str] | None:
    """Return the tokens without the last ``NAME VALUE``."""
    forms = [f"{name}={value}"], [name, value] if value else [name]
    for i in reversed(range(len(tokens))):
        for form in forms:
            end = i + len(form)
            if tokens[i:end] == form:
                return tokens[:i] + tokens[end:]
    return None
