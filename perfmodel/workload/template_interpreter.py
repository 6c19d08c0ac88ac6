"""Interpreter of templates: runs layers, blocks, loops and conditions, and builds the graph.

The template language is a small structured language (`perfmodel.workload.layer_steps`): layers that
call operators or blocks, loops, conditions, phases and variables. `TemplateInterpreter` executes
its steps in order for given values of the template's fields, checks the shapes of every layer, and
collects all faults with their positions instead of stopping at the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from perfmodel.pydantic_faults import Flaw
from perfmodel.workload.dead_code_elimination import without_dead_operators
from perfmodel.workload.families import ExecutionSemantics
from perfmodel.workload.graph import Graph, Operator, Tensor
from perfmodel.workload.layer_construction import LayerConstructor
from perfmodel.workload.layer_declarations import REQUIRED, Field, LayerBuilder
from perfmodel.workload.layer_expressions import (
    EXPECTED,
    LIMIT,
    PENDING,
    Scope,
    SizeError,
    shown,
)
from perfmodel.workload.layer_fields import Place, as_list, as_mapping, read_field
from perfmodel.workload.layer_operators import OPERATORS, show
from perfmodel.workload.layer_references import Frame, LayerReferences, LayerResult
from perfmodel.workload.layer_steps import REPEAT, SAME, LayerBlock, LayerStep
from perfmodel.workload.layer_template import LayerTemplate
from perfmodel.workload.symbols import constant, symbol
from perfmodel.workload.template_values import TemplateValues

#: Largest number of steps of a graph, and deepest nesting of calls.
_MAX_STEPS: Final = 200_000
_MAX_DEPTH: Final = 20
_INPUT: Final = {"shape": Field("shape", REQUIRED), "format": Field("format", "")}
_REPEATED: Final = {"count": Field("extent", 1)}
_PHASE: Final = {"phase": Field("text", ""), **_REPEATED, "prefix": Field("flag", True)}


class EnclosingGraph(NamedTuple):
    """A graph under construction to which a block is added, and the block's inputs in it."""

    builder: LayerBuilder
    inputs: Mapping[str, Tensor]


class TemplateInterpreter:
    """Interpreter that runs the steps of a template and builds its graph.

    Parameters
    ----------
    template
        The parsed template.
    fields
        Values of the template's fields.
    semantics
        Execution semantics of a runtime.
    at_defaults
        Whether to substitute defaults for free dimensions, whose extents are otherwise assumed to
        agree.
    checked
        Whether to run the checks that a validated template passes: references to later layers,
        layers that no condition reaches, and the extents of all results.
    within
        Enclosing graph, to which the template is added as a block; its own inputs and outputs are
        then not declared.

    Attributes
    ----------
    result
        Output of the last layer; ``None`` if there are faults.
    """

    def __init__(
        self,
        template: LayerTemplate,
        fields: Mapping[str, Any],
        semantics: ExecutionSemantics,
        *,
        at_defaults: bool = False,
        checked: bool = True,
        within: EnclosingGraph | None = None,
    ) -> None:
        self._template = template
        self._semantics = semantics
        self._constants = _constants(template, fields, semantics)
        self._reached: set[Place] = set()
        self._repeating, self._steps = False, 0
        self._repeats: set[str] = set()
        frame = Frame(template.network, "", dict(self._constants))
        plain = not (fields or template.tables or template.blocks)
        scope = Scope(frame.names, frame.results, free=plain)
        self._values = TemplateValues(scope, template.flaws if checked else ())
        self._flaws, self._references = self._values.flaws, LayerReferences(self._values)
        folded = self._values.truth(template.folded, ("folded",))
        name = self._values.text(template.name, ("graph",))
        self._builder = within.builder if within else LayerBuilder(name, folded=folded)
        self._constructor = LayerConstructor(
            self._builder,
            self._values,
            self._references,
            template.parameters,
            template.blocks,
            at_defaults=at_defaults,
            checked=checked,
        )
        if not plain:
            self._constants["folded"] = frame.names["folded"] = folded
        if within:
            frame.results.update(within.inputs)
            frame.previous = next(iter(within.inputs.values()))
        else:
            self._declare_inputs(frame)
        if checked:
            from perfmodel.workload.layer_checks import reference_flaws

            self._flaws += reference_flaws(template, set(frame.results))
        self._run(template.network.steps, frame)
        if checked:
            from perfmodel.workload.layer_checks import unreached_step_flaws

            scope = Scope({**self._constants, **dict.fromkeys(template.dimensions)}, frame.results)
            self._flaws += unreached_step_flaws(template, self._reached, scope)
        self.result = frame.previous
        if not within:
            self._declare_outputs(frame)

    @property
    def flaws(self) -> list[Flaw]:
        """All flaws, except those that only follow from another flaw."""
        return [flaw for flaw in self._flaws if not flaw.message.endswith(PENDING)]

    def graph(self) -> Graph:
        """Return the graph of a template without flaws."""
        graph = self._builder.build(self._template.parameters)
        # A phase passes caches and states on without a tensor, so its operators are all live.
        runs_all = self._semantics.runs_dead_branches or self._template.runs_all
        has_phases = any(block.phase for block in graph.blocks)
        return graph if runs_all or has_phases else without_dead_operators(graph)

    def _declare_inputs(self, frame: Frame) -> None:
        """Declare the network's inputs with their shapes."""
        raw = self._template.inputs
        inputs = as_mapping(raw)
        if raw is None and self._template.has_input_layers:
            return
        if not inputs:
            message = f"{shown(raw)} is not a mapping" if raw else "no inputs"
            self._flaws.note(("inputs",), message, "a mapping such as {image: [batch, 3, 32, 32]}")
            return
        for name, value in inputs.items():
            place: Place = ("inputs", name)
            form = as_mapping(value)
            step = LayerStep(place, 0, "input", raw={} if form is None else form)
            fields: dict[str, Any] = {"shape": None, "format": ""}
            try:
                if form is None:
                    fields["shape"] = read_field(value, _INPUT["shape"], self._values.scope)
                else:
                    fields = self._values.fields(step, _INPUT)
            except SizeError as error:
                self._flaws += error.flaws(place)
            frame.results[name] = None
            if isinstance(fields["shape"], tuple):
                shape = self._constructor.extents(fields["shape"])
                tensor = self._builder.input(name, shape, format=fields["format"])
                frame.results[name] = frame.previous = tensor

    def _declare_outputs(self, frame: Frame) -> None:
        """Declare the network's outputs, by default the last layer's."""
        raw = self._template.outputs
        many = as_list(raw)
        names: Sequence[Any] = many if many is not None else [] if raw is None else [raw]
        for i, name in enumerate(names):
            place: Place = ("outputs", i)
            if not isinstance(name, str):
                self._flaws.note(place, f"no layer is named {shown(name)}", "a layer's name")
            for tensor in (
                self._references.resolve(name, place, frame, None) if isinstance(name, str) else ()
            ):
                if tensor is not None:
                    self._builder.output(tensor)
                elif not self.flaws:
                    self._flaws.note(place, f"'{name}' makes nothing")
        if not names and frame.previous is not None:
            self._builder.output(frame.previous)

    # Execution.

    def _run(self, steps: Sequence[LayerStep], frame: Frame) -> None:
        """Run a list of steps in a frame, up to the limit on their number."""
        self._values.scope.names, self._values.scope.results = frame.names, frame.results
        for step in steps:
            self._steps += 1
            if self._steps > _MAX_STEPS:
                if self._steps == _MAX_STEPS + 1:
                    self._flaws.note(
                        step.place, f"more than {_MAX_STEPS} layers", "fewer turns of its loops"
                    )
                return
            if step.form == "layer":
                self._run_layer(step, frame)
                continue
            self._reached.add(step.place)
            before = frame.previous
            self._values.scope.input = frame.previous
            self._run_form(step, frame)
            if step.collect and frame.previous is not before:
                self._collect(step, frame, frame.previous)

    def _run_form(self, step: LayerStep, frame: Frame) -> None:
        """Run a step that contains other steps or sets variables."""
        match step.form:
            case "let":
                self._run_let(step, frame)
            case "for":
                self._run_loop(step, frame)
            case "when":
                self._run_condition(step, frame)
            case "phase":
                self._run_phase(step, frame)
            case _:
                self._run_repeat(step, frame)

    def _collect(self, step: LayerStep, frame: Frame, result: Tensor | None) -> None:
        """Append a result to a list that later layers can read."""
        name = self._values.text(step.collect, (*step.place, "collect"))
        many = frame.results.setdefault(name, [])
        if isinstance(many, list):
            many.append(result)
        else:
            self._flaws.note(
                (*step.place, "collect"), f"'{name}' is a layer", "a name that no layer has"
            )

    def _run_let(self, step: LayerStep, frame: Frame) -> None:
        """Assign the variables of a ``let`` step."""
        for name, raw in step.raw["let"].items():
            value = self._values.value(raw, (*step.place, "let", name))
            if isinstance(value, int | float) and abs(value) > LIMIT:
                self._flaws.note(
                    (*step.place, "let", name), f"{value:g} is beyond {LIMIT:g}", EXPECTED
                )
                value = None
            frame.names[str(name)] = value

    def _run_condition(self, step: LayerStep, frame: Frame) -> None:
        is_true = self._values.truth(step.when, (*step.place, "when"))
        self._run(step.inner if is_true else step.otherwise, frame)

    def _run_phase(self, step: LayerStep, frame: Frame) -> None:
        phase = self._values.fields(step, _PHASE)
        outer, self._repeats = self._repeats, set()
        with self._builder.phase(phase["phase"], phase["count"], prefix=phase["prefix"]):
            self._run(step.inner, frame)
        self._repeats = outer

    def _run_loop(self, step: LayerStep, frame: Frame) -> None:
        """Run the layers of a loop for each item of a list, or of a range."""
        if step.when is not None and not self._values.truth(step.when, (*step.place, "when")):
            return
        place = (*step.place, "in")
        items = self._values.value(step.raw.get("in"), place)
        if type(items) is int:
            items = range(min(items, _MAX_STEPS))
        if not isinstance(items, tuple | range):
            if items is not None:
                self._flaws.note(place, f"{shown(items)} is not a list", "a number or a list")
            return
        names, index = step.raw["for"], step.raw.get("index")
        for i, item in enumerate(cast("Sequence[Any]", items)):
            if index is not None:
                frame.names[str(index)] = i
            if isinstance(names, str):
                frame.names[names] = item
            elif not self._unpack(as_list(names) or (), item, step, frame):
                return
            self._run(step.inner, frame)

    def _unpack(self, names: Sequence[Any], item: Any, step: LayerStep, frame: Frame) -> bool:
        """Assign the values of a row to variables; return whether their numbers match."""
        values = as_list(item) or ()
        if len(values) != len(names):
            self._flaws.note(
                (*step.place, "for"),
                f"{len(names)} names for {len(values)} values",
                "a name for each value of a row",
            )
            return False
        frame.names.update(zip(map(str, names), values, strict=True))
        return True

    def _run_repeat(self, step: LayerStep, frame: Frame) -> None:
        """Run the layers of a repeat once, as a block with a count."""
        if step.when is not None and not self._values.truth(step.when, (*step.place, "when")):
            frame.results[step.name] = frame.previous
            return
        name = self._values.text(step.name, (*step.place, "name"))
        before = len(self._flaws)
        values = self._values.fields(step, _REPEATED)
        for _, place in step.inputs:
            self._flaws.note(place, "a repeat takes no inputs", "inputs of its layers")
        if self._repeating and len(self._flaws) == before:
            self._flaws.note(step.place, "a repeat inside a repeat", "one level of repetition")
        if self._repeating or any(inner.form == REPEAT for inner in step.inner):
            self._run(step.inner, frame)
            frame.results[name] = None
            return
        count = values["count"] if len(self._flaws) == before else 1
        start, outer, self._repeating = len(self._builder.added), frame.prefix, True
        full = self._graph_name(step, name, frame) or REPEAT
        if full in self._repeats:
            self._flaws.note(
                step.place, f"a second repeat with layers '{full}'", "each name once in a phase"
            )
        self._repeats.add(full)
        with self._builder.repeat(count, full):
            frame.prefix = ""
            self._run(step.inner, frame)
        frame.prefix, self._repeating = outer, False
        last = frame.results[name] = frame.previous
        if isinstance(last, Tensor) and constant(count) != 1:
            self._check_chaining(step, self._builder.added[start:], last)

    def _check_chaining(self, step: LayerStep, operators: Sequence[Operator], last: Tensor) -> None:
        """Check that a repeat's output has the shape of one of its inputs."""
        written = {name for operator in operators for name in operator.writes}
        read = dict.fromkeys(name for operator in operators for name in operator.reads)
        tensors = [self._builder.tensors[name] for name in read if name not in written]
        entering = [t.shape for t in tensors if t.role == "activation"]
        if last.shape not in entering:
            shapes = ", ".join(map(show, entering)) or "nothing"
            self._flaws.note(
                step.place,
                f"its layers read {shapes} and make {show(last.shape)}: they do not chain",
                "an output of the shape of an input",
            )

    def _graph_name(self, step: LayerStep, name: str, frame: Frame) -> str:
        """Return a layer's name in the graph: its label, or the caller's prefix and its name."""
        if step.label is not None:
            return self._values.text(step.label, (*step.place, "label"))
        return f"{frame.prefix}.{name}" if frame.prefix and name else name or frame.prefix

    # Layers.

    def _run_layer(self, step: LayerStep, frame: Frame) -> None:
        """Add a layer or call a block."""
        inputs = self._references.inputs(step, frame)
        self._values.scope.input = inputs[0] if inputs else None
        name = (
            self._values.text(step.name, (*step.place, "name")) if "{" in step.name else step.name
        )
        frame.results.setdefault(name, None)
        result = inputs[0] if inputs else None
        runs = step.when is None or self._values.truth(step.when, (*step.place, "when"))
        op = self._values.text(step.op, (*step.place, "op")) if "{" in step.op else step.op
        block = self._template.blocks.get(op)
        if runs:
            self._reached.add(step.place)
        if runs and block is not None:
            result = self._run_block(step, name, block, inputs, frame)
        elif runs and op != SAME:
            full = self._graph_name(step, name, frame)
            result = self._constructor.layer(step, op, name, full, inputs, frame)
        if name:
            frame.results[name] = result
        if not runs or block is not None or op not in OPERATORS or OPERATORS[op].inputs[1]:
            frame.previous = result
        if step.collect and runs:
            self._collect(step, frame, result)

    def _run_block(
        self,
        step: LayerStep,
        name: str,
        block: LayerBlock,
        inputs: Sequence[Tensor | None],
        frame: Frame,
    ) -> Tensor | None:
        """Run the layers of a block with its inputs and parameters; return its last output."""
        before = len(self._flaws)
        values = self._values.fields(step, block.fields)
        if not step.inputs and len(block.inputs) == block.takes_rest:
            inputs = ()
        results: dict[str, LayerResult] = dict(zip(block.inputs, inputs, strict=False))
        if block.takes_rest:
            results[block.inputs[-1]] = list(inputs[len(block.inputs) - 1 :])
        elif len(inputs) != len(block.inputs):
            self._flaws.note(
                step.place,
                f"{len(inputs)} inputs for a {step.op}",
                f"{len(block.inputs)}: {', '.join(block.inputs)}",
            )
        if frame.depth > _MAX_DEPTH:
            self._flaws.note((*step.place, "op"), f"'{step.op}' calls itself", "blocks that end")
        if len(self._flaws) > before or None in inputs:
            return None
        inner = Frame(
            block,
            self._graph_name(step, name, frame),
            {**self._constants, **values},
            results,
            inputs[0] if inputs else None,
            depth=frame.depth + 1,
        )
        if name:
            frame.calls[name] = inner
        self._run(block.steps, inner)
        self._values.scope.names, self._values.scope.results = frame.names, frame.results
        return inner.previous


def _constants(
    template: LayerTemplate, fields: Mapping[str, Any], semantics: ExecutionSemantics
) -> dict[str, Any]:
    """Return the names valid in every block: tables, dimensions, semantics, fields."""
    dimensions = {name: symbol(name) for name in template.parameters}
    free = {name: symbol(name) for name in fields.get("free", ()) if name in fields}
    values = {**fields, **free}
    return {
        "dimensions": dimensions,
        "fields": values,
        **template.tables,
        **dimensions,
        **semantics._asdict(),
        **values,
    }
