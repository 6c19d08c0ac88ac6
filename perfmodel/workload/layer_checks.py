"""Static checks of a template: duplicate names, cycles, references, and steps that do not run.

Running a template finds only the faults on the path that the values of its fields take. These
checks cover the rest: references between layers (a depth-first search for cycles), and names and
keys in steps that a condition skips.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from perfmodel.errors import nearest, one_of
from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.layer_declarations import REQUIRED, Field
from perfmodel.workload.layer_expressions import Scope, SizeError, names_in
from perfmodel.workload.layer_fields import Place
from perfmodel.workload.layer_operators import ELSEWHERE, OPERATORS
from perfmodel.workload.layer_steps import REPEAT, SAME, LayerBlock, LayerStep, walk
from perfmodel.workload.layer_template import LayerTemplate


def reference_flaws(template: LayerTemplate, inputs: Collection[str]) -> Iterator[Flaw]:
    """Yield duplicate names, cycles, and references to later layers.

    Parameters
    ----------
    template
        The parsed template.
    inputs
        Names of the network's inputs.
    """
    yield from _block_flaws(template.network, inputs)
    for block in template.blocks.values():
        yield from _block_flaws(block, block.inputs)


def _block_flaws(block: LayerBlock, inputs: Collection[str]) -> Iterator[Flaw]:
    """Yield duplicate names and cycles within a block."""
    seen, sometimes = set(inputs), _conditional_steps(block.steps)
    for step in walk(block.steps):
        if step.name in seen and step.number not in sometimes and step.op != SAME:
            yield Flaw((*step.place, "name"), f"a second '{step.name}'", "each name once")
        if step.name and "{" not in step.name and step.number not in sometimes:
            seen.add(step.name)
    yield from _cycle_flaws(block)


def _conditional_steps(steps: Sequence[LayerStep], inside: bool = False) -> set[int]:
    """Return the numbers of the steps that a condition may skip."""
    numbers: set[int] = set()
    for step in steps:
        here = inside or step.when is not None
        if here:
            numbers.add(step.number)
        numbers |= _conditional_steps((*step.inner, *step.otherwise), here)
    return numbers


def _cycle_flaws(block: LayerBlock) -> Iterator[Flaw]:
    """Yield each cycle once, and each reference to a later layer that is not part of a cycle."""
    refers: dict[str, set[str]] = {}
    previous, order, loops = "", block.order, _steps_in_loops(block.steps)
    steps = [step for step in walk(block.steps) if step.form in ("layer", REPEAT)]
    for step in steps:
        names = {name for name, _ in step.inputs} | {i.name for i in step.inner[-1:]}
        refers[step.name] = names or {previous}
        previous = step.name
    reported: set[str] = set()
    for step in steps:
        for name, place in step.inputs:
            if name not in order or order[name] < step.number or step.number in loops:
                continue
            path = _reference_path(refers, name, step.name)
            if path and not reported & set(path):
                reported |= set(path)
                cycle = " -> ".join([step.name, *path])
                yield Flaw(place, f"a cycle: {cycle}", "layers that read earlier layers only")
            elif not path:
                yield Flaw(place, f"'{name}' is computed only later", "an earlier layer")


def _steps_in_loops(steps: Sequence[LayerStep]) -> set[int]:
    """Return the numbers of the steps in loops, which may read outputs of earlier iterations."""
    return {
        inner.number for step in walk(steps) if step.form == "for" for inner in walk(step.inner)
    }


def _reference_path(refers: Mapping[str, set[str]], start: str, goal: str) -> list[str]:
    """Return the names from `start` to `goal` along references; empty if there is no path."""
    trail: dict[str, str] = {start: ""}
    pending = [start]
    while pending:
        name = pending.pop()
        if name == goal:
            path = [name]
            while trail[path[-1]]:
                path.append(trail[path[-1]])
            return path[::-1]
        for other in sorted(refers.get(name, ())):
            if other not in trail:
                trail[other] = name
                pending.append(other)
    return []


def unreached_step_flaws(
    template: LayerTemplate, reached: Collection[Place], scope: Scope
) -> Iterator[Flaw]:
    """Yield flaws of steps that are not run with the given values of the fields.

    Only operators, keys and the names in expressions are checked, because the shapes are unknown.
    """
    for block in (template.network, *template.blocks.values()):
        known = {*scope.names, *block.fields, *block.inputs, *_variables(block.steps)}
        for step in walk(block.steps):
            if step.place not in reached:
                yield from _unreached_flaws(step, template, known)


def _variables(steps: Sequence[LayerStep]) -> Iterator[str]:
    """Yield the names that loops, collections and ``let`` define."""
    for step in walk(steps):
        yield step.collect
        yield from step.raw.get("let", {}) if step.form == "let" else ()
        if step.form == "for":
            names = step.raw["for"]
            yield from [names] if isinstance(names, str) else map(str, names or ())
            yield str(step.raw.get("index", ""))


def _unreached_flaws(
    step: LayerStep, template: LayerTemplate, known: Collection[str]
) -> Iterator[Flaw]:
    """Yield the flaws of one step that is not run: its operator, keys and names."""
    fields: Mapping[str, Field] = {}
    if step.form == REPEAT:
        fields = {"count": Field("extent", 1)}
    elif step.form == "layer" and step.op != SAME and "{" not in step.op and step.op:
        operator = template.blocks.get(step.op) or OPERATORS.get(step.op)
        if operator is None:
            yield unknown_operator(step, template.blocks)
            return
        fields = operator.fields
    elif step.form != "layer":
        yield from _undefined_name_flaws(step.raw, step.place, known)
        return
    else:
        return
    for key, value in step.raw.items():
        if key not in fields:
            message = f"unknown key '{key}'"
            yield Flaw.no_such((*step.place, key), message, key, fields, on_key=True)
        elif fields[key].kind not in ("text", "format", "layer", "result") and not (
            isinstance(value, str) and value in fields[key].choices
        ):
            yield from _undefined_name_flaws(
                value, (*step.place, key), known, plain=fields[key].kind == "any"
            )
    for key, field in fields.items():
        if field.default is REQUIRED and key not in step.raw:
            yield Flaw(step.place, f"missing key '{key}'", on_key=True)


def _undefined_name_flaws(
    value: Any, place: Place, known: Collection[str], *, plain: bool = False
) -> Iterator[Flaw]:
    """Yield undefined names in the expressions of a value."""
    if isinstance(value, str):
        texts = [value]
        if plain and "{" in value:
            texts = re.findall(r"\{([^{}]*)\}", value)
        try:
            names = {name for text in texts for name in names_in(text)}
        except SizeError as error:
            yield Flaw(place, str(error), error.expected, error.suggestion)
            return
        for name in sorted(names - set(known)):
            yield Flaw.no_such(place, f"nothing is named '{name}' here", name, sorted(known))


def unknown_operator(step: LayerStep, blocks: Mapping[str, LayerBlock], name: str = "") -> Flaw:
    """Return the fault of an unknown operator; `name` replaces one with braces."""
    known = (*OPERATORS, REPEAT, SAME, *blocks)
    name = name or step.op
    suggestion = ELSEWHERE.get(name.lower()) or nearest(name, known)
    return Flaw(
        (*step.place, "op"),
        f"no operator is named '{name}'",
        "" if suggestion else one_of(known),
        suggestion,
    )
