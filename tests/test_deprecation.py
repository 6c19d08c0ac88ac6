"""Names of an earlier version answer, with a warning that says the name of today."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import perfmodel
from tests.offenders import each

PACKAGE = Path(perfmodel.__file__).parent


def former() -> list[tuple[str, str, str]]:
    """Module, former name and name of today of every alias in the package."""
    aliases = list[tuple[str, str, str]]()
    for file in sorted(PACKAGE.rglob("*.py")):
        relative = file.relative_to(PACKAGE.parent).with_suffix("")
        module = ".".join(relative.parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "deprecated_names":
                for keyword in node.keywords:
                    aliases.append((module, str(keyword.arg), ast.literal_eval(keyword.value)))
    return aliases


@each("module, old, new", former)
def test_a_former_name_is_what_the_name_of_today_is(module: str, old: str, new: str) -> None:
    room = import_module(module)
    with pytest.warns(DeprecationWarning, match=f"{old} is called {new} now"):
        answer = getattr(room, old)
    assert answer is getattr(room, new)


def test_what_never_was_is_no_attribute() -> None:
    room = import_module("perfmodel.sweep")
    with pytest.raises(AttributeError, match="no attribute 'NeverWas'"):
        _ = room.NeverWas


def test_class_names_are_unique() -> None:
    places = dict[str, list[str]]()
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{file.name}:{node.lineno}")
    shared = {name: where for name, where in places.items() if len(where) > 1}
    assert not shared
