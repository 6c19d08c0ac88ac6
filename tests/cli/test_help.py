"""What the commands say of themselves: one wording, one order, every file that is read."""

import inspect
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

from perfmodel.cli import command_table
from perfmodel.cli.app import COMMANDS, GROUPS
from perfmodel.cli.option_texts import MODEL_FILES
from perfmodel.workload.importers.readers import IMPORTED_SUFFIXES, READERS
from tests.offenders import each

#: Options of more than one command, in the order in which every help lists them.
ORDER = (
    "choices",
    "constraints",
    "set",
    "precision",
    "runtime",
    "engine",
    "model",
    "relaxed",
    "warm",
    "fuse",
    "method",
    "time_limit_s",
    "seed",
    "explain",
    "rows",
    "report",
    "json",
    "output",
    "plot",
)


def functions() -> Iterator[tuple[str, Callable[..., int]]]:
    for name in COMMANDS:
        yield name, getattr(command_table, name)
    for group, (_, commands) in GROUPS.items():
        for name in commands:
            yield f"{group} {name}", getattr(command_table, f"{group}_{name}")


@each("name, function", functions)
def test_options_come_in_one_order(name: str, function: Callable[..., int]) -> None:
    named = inspect.signature(function).parameters.values()
    options = [o.name for o in named if o.kind is o.KEYWORD_ONLY and o.name in ORDER]
    wrong = [(a, b) for a, b in pairwise(options) if ORDER.index(a) > ORDER.index(b)]
    assert not wrong


def test_help_names_every_kind_of_file_that_is_read() -> None:
    for suffix in IMPORTED_SUFFIXES:
        assert suffix.removeprefix(".safetensors") in MODEL_FILES, suffix
    for reader in READERS:
        if reader.keys:
            assert reader.what.split()[0] in MODEL_FILES


def test_help_flows_in_the_terminal() -> None:
    """A line of help ends where the terminal does or the text does, whatever the docstring's."""
    # In a process of its own: the width is taken once, when help is first asked for.
    told = subprocess.run(
        [sys.executable, "-m", "perfmodel", "split", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "400"},
    ).stdout
    assert told.startswith("Usage: perfmodel split")
    assert "auto: list if there are at most 20,000 cuts, else min_cut." in told
    assert f"A model of the library, or a path: .yaml, {MODEL_FILES}." in told
