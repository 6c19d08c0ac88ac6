"""What the command line leaves out at its start is there as soon as something asks for it."""

import inspect
import subprocess
import sys

import pytest

from perfmodel.cli.command_table import GENERATED_COMMANDS
from perfmodel.cli.generated_command import GeneratedCommand

_POSTPONED = """
import sys
from perfmodel.cli.postponed_imports import postpone_imports
postpone_imports()
from importlib.metadata import entry_points
import importlib.metadata
import secrets
import ipaddress
import pickle
assert not {"email", "hmac", "_compat_pickle"} & sys.modules.keys()
assert pickle.loads(pickle.dumps({"a": 1})) == {"a": 1}
assert ipaddress.ip_address("::1").is_loopback
names = {point.name for point in entry_points(group="console_scripts")}
assert names == {point.name for point in importlib.metadata.entry_points(group="console_scripts")}
assert "cyclopts" in names, names
assert importlib.metadata.version("cyclopts")
assert secrets.compare_digest("a", "a")
assert sys.modules["secrets"].__file__
"""


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_postponed_modules_are_imported_when_they_are_used():
    answer = _run("-c", _POSTPONED)
    assert answer.returncode == 0, answer.stderr


_PREDICTION = """
import sys
from perfmodel.cli import main
sys.argv[1:] = ["predict", "resnet18", "a100"]
main()
names = {"email", "hmac", "_hashlib", "cyclopts.help", "rich", "perfmodel.table.html"}
print(sorted(names & sys.modules.keys()))
"""


def test_a_prediction_imports_none_of_them():
    assert _run("-c", _PREDICTION).stdout.splitlines()[-1] == "[]"


def _parameters(command: GeneratedCommand, *words: str) -> list[str]:
    return list(inspect.signature(command.command(words)).parameters)


@pytest.mark.parametrize("command", GENERATED_COMMANDS.values(), ids=GENERATED_COMMANDS)
def test_the_parser_sees_arguments_and_typed_options_only(command: GeneratedCommand):
    everything = inspect.signature(command.command()).parameters
    least = [
        name
        for name, each in everything.items()
        if each.kind is not each.KEYWORD_ONLY or each.default is each.empty
    ]
    assert _parameters(command) == least
    # Help and misspelt options need all of them, for their texts and suggestions.
    assert _parameters(command, "--help") == list(everything)
    assert _parameters(command, "--set", "--jsom") == list(everything)
    assert _parameters(command, "--json") == [n for n in everything if n in (*least, "json")]
