"""Checks of the result interface for every result class, and of the arithmetic in explanations.

`check_result` verifies text, HTML, JSON, files, pictures and pickling of a result;
`check_explanation` evaluates every line ``name = expression = number`` of an explanation.
"""

from __future__ import annotations

import ast
import json
import operator
import pickle
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from perfmodel.catalog import BUILT_IN, loaded
from perfmodel.errors import InfeasibleError
from perfmodel.table import Result, Table
from perfmodel.table.text import LONGEST

_EXIT_CODES = {"ok": 0, "infeasible": 1, "not decided": 3}
#: HTML elements without an end tag.
_VOID = frozenset({"br", "meta"})


class _Elements(HTMLParser):
    """Parser that collects the element names of an HTML text and checks the nesting of tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"<{self._open[-1]}> is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element."""
        self.names.add(tag)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that an element ends in the reverse order."""
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes another element"


def check_result(result: Result, folder: Path) -> None:
    """Check that a result satisfies the interface of `perfmodel.table.Result`.

    Parameters
    ----------
    result
        Any result.
    folder
        Folder for temporary output files.

    Raises
    ------
    AssertionError
        A property of the interface is violated.

    Examples
    --------
    >>> import tempfile
    >>> import perfmodel as pm
    >>> check_result(pm.predict("resnet18", "a100"), Path(tempfile.mkdtemp()))
    """
    _check_text(result)
    _check_html(result)
    _check_data(result)
    _check_verdict(result)
    _check_pictures(result)
    _check_pickle(result)
    _check_files(result, folder)
    if not getattr(result, "shape", ()):
        assert result.explain().strip(), "it explains nothing"


def subclasses(of: type[Result] = Result) -> Iterator[type[Result]]:
    """Yield the imported result classes that define a headline."""
    for each in of.__subclasses__():
        if each.headline is not Result.headline:
            yield each
        yield from subclasses(each)


def _check_text(result: Result) -> None:
    """Check headline, text and short form."""
    text, short = str(result), repr(result)
    assert result.noun, f"{type(result).__name__} does not say what it is called"
    assert result.headline.strip(), "there is no headline"
    assert "\n" not in result.headline, "the headline is more than a line"
    if not isinstance(result, Table):
        assert text.startswith(result.headline), "the text does not begin with the headline"
    lines = short.splitlines()
    assert len(lines) <= LONGEST, f"repr has {len(lines)} lines"
    if len(text.splitlines()) > len(lines):
        assert lines[-1].startswith("... "), "repr does not say that something is cut"
    for label, number in result.glance():
        assert label.strip(), "a number has no label"
        assert number in text, f"'{number}' is missing in the text"


def _check_html(result: Result) -> None:
    """Check that the HTML needs nothing from outside."""
    html: str = operator.methodcaller("_repr_html_")(result)
    foreign = _Elements(html).names & {"script", "style", "link", "img"}
    assert not foreign, f"the HTML needs {foreign}"


def _check_data(result: Result) -> None:
    """Check the dictionary and the JSON."""
    data = result.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data, "to_dict has more than JSON holds"
    text = result.to_json()
    assert text == result.to_json(indent=None)
    assert json.loads(text) == json.loads(result.to_json(indent=2))
    if not isinstance(result, Table):
        assert json.loads(text) == data, "to_json is not to_dict"


def _check_verdict(result: Result) -> None:
    """Check that the exit code follows from the verdict."""
    assert result.exit_code == _EXIT_CODES[result.verdict]


def _check_pictures(result: Result) -> None:
    """Check that every picture has a text alternative."""
    if f"perfmodel.{result.noun}_plots" in BUILT_IN:
        assert repr(result.plot).startswith("plots: "), "the pictures do not name themselves"
        for chart, _ in result.plot.shown():
            assert chart.alt, f"{chart.title} says nothing to those who cannot see it"
        return
    assert not hasattr(result, "plot"), "there are pictures of something without any"


def _check_pickle(result: Result) -> None:
    """Check that pickling changes nothing."""
    again = pickle.loads(pickle.dumps(result))
    assert type(again) is type(result)
    assert again.to_dict() == result.to_dict(), "pickling changes it"
    assert str(again) == str(result), "pickling changes its text"
    assert again.question == result.question, "pickling loses the question"


def _check_files(result: Result, folder: Path) -> None:
    """Check the files in all formats."""
    path = folder / "result"
    result.save(path.with_suffix(".txt"))
    assert path.with_suffix(".txt").read_text(encoding="utf-8") == f"{result}\n"
    result.save(path.with_suffix(".json"))
    written = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert written == json.loads(result.to_json())
    result.save(path.with_suffix(".html"))
    _Elements(path.with_suffix(".html").read_text(encoding="utf-8"))
    try:
        table = result.table
    except InfeasibleError:
        assert not result.feasible, "something fits, and there is no table"
        return
    assert isinstance(table, Table)
    for suffix in (".csv", ".parquet") if loaded("pyarrow") else (".csv",):
        result.save(path.with_suffix(suffix))
        if table.columns:
            again = Table.read(path.with_suffix(suffix))
            assert again.columns == table.columns, f"{suffix} has other columns"
            assert len(again) == len(table), f"{suffix} has other rows"


_OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
_LINE = re.compile(r"(\w+) = (.+) = ([-+.\deE]+)$")


def arithmetic(text: str) -> float:
    """Evaluate plain arithmetic: numbers, ``+ - * / **``, ``max`` and ``min``.

    Raises
    ------
    ValueError
        The text contains anything else.
    """
    return _value(ast.parse(text, mode="eval").body)


def _value(node: ast.expr) -> float:
    """Return the value of a parsed expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        pick: dict[str, Callable[..., float]] = {"max": max, "min": min}
        if node.func.id in pick:
            return pick[node.func.id](*(_value(a) for a in node.args))
    raise ValueError(f"not plain arithmetic: {ast.unparse(node)}")


def check_explanation(text: str, latency_s: float, *, rel: float = 1e-6) -> dict[str, int]:
    """Evaluate every ``name = expression = number`` line of an explanation.

    Returns
    -------
    dict of str to int
        Name -> number of checked lines.

    Raises
    ------
    AssertionError
        An expression does not evaluate to its number, or ``latency_s`` differs from the
        prediction's.
    """
    seen: dict[str, int] = {}
    for line in text.splitlines():
        match = _LINE.search(line)
        if not match:
            continue
        name, expression, number = match.groups()
        value = arithmetic(expression)
        assert abs(value - float(number)) <= rel * abs(float(number)), line
        if name == "latency_s":
            assert abs(float(number) - latency_s) <= rel * latency_s, line
        seen[name] = seen.get(name, 0) + 1
    assert seen.get("latency_s") == 1, "the explanation does not open latency_s"
    assert seen.get("row_s"), "the explanation opens no row"
    return seen
