"""Construction of one layer of a template: check its inputs and fields, then add its operator.

Called by `TemplateInterpreter` for each layer; faults of shapes are reported at the layer's line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from perfmodel.errors import nearest
from perfmodel.workload.explicit_operators import WITH_STATED_SHAPE
from perfmodel.workload.graph import Operator, Tensor
from perfmodel.workload.layer_declarations import LayerBuilder, LayerOperator
from perfmodel.workload.layer_expressions import EXPECTED, LIMIT, SizeError
from perfmodel.workload.layer_extents import checked_extent
from perfmodel.workload.layer_fields import Place
from perfmodel.workload.layer_operators import OPERATORS, show
from perfmodel.workload.layer_references import Frame, LayerReferences
from perfmodel.workload.layer_steps import LayerBlock, LayerStep
from perfmodel.workload.symbols import Dim, Poly, constant, evaluate
from perfmodel.workload.template_values import TemplateValues


class LayerConstructor:
    """Adds layers to a graph, checking each against its input tensors.

    Parameters
    ----------
    builder
        Builder of the graph.
    values, references
        Evaluator of texts, and resolver of references.
    parameters
        Free dimensions -> default number.
    blocks
        Names of the blocks, for suggestions.
    at_defaults
        Whether to substitute the defaults for free dimensions.
    checked
        Whether to check the extents of every result.
    """

    def __init__(
        self,
        builder: LayerBuilder,
        values: TemplateValues,
        references: LayerReferences,
        parameters: Mapping[str, float],
        blocks: Mapping[str, LayerBlock],
        *,
        at_defaults: bool,
        checked: bool,
    ) -> None:
        self.builder = builder
        self._values, self._flaws, self._references = values, values.flaws, references
        self._parameters, self._blocks = parameters, blocks
        self._numeric, self._checked = at_defaults, checked
        self._latest: dict[str, Operator] = {}

    def layer(
        self,
        step: LayerStep,
        op: str,
        name: str,
        full: str,
        inputs: Sequence[Tensor | None],
        frame: Frame,
    ) -> Tensor | None:
        """Check one layer and add it; ``None`` if it or its inputs have faults."""
        operator = OPERATORS.get(op)
        if operator is None:
            if op:
                from perfmodel.workload.layer_checks import unknown_operator

                self._flaws.append(unknown_operator(step, self._blocks, op))
            return None
        before = len(self._flaws)
        values = self._values.fields(step, operator.fields)
        least, most = operator.inputs
        if not most:
            inputs = ()
        if not least <= len(inputs) <= most:
            several = f"at least {least}" if most == math.inf else f"{least} to {most}"
            count = f"{least}" if least == most else several
            self._flaws.note(step.place, f"{len(inputs)} inputs for a {op}", f"{count} inputs")
        ready = [t for t in inputs if t is not None]
        missing = None in self._resolve_references(values, step, frame)
        if len(self._flaws) > before or len(ready) < len(inputs) or missing:
            return None
        if self._numeric:
            values = {key: self.extents(value) for key, value in values.items()}
        result = self._add_operator(step, full, operator, ready, values)
        if result is None:
            return None
        # A stated shape was checked on reading, and may have a mean as an extent.
        if (
            self._checked
            and op not in WITH_STATED_SHAPE
            and not self._has_valid_extents(result, step)
        ):
            return None
        if operator.inputs[1] and self.builder.added:
            self._latest[name] = self.builder.added[-1]
        return result

    def _resolve_references(
        self, values: dict[str, Any], step: LayerStep, frame: Frame
    ) -> Sequence[Tensor | None]:
        """Replace names of layers in the fields by their output tensors or their weights."""
        results: list[Tensor | None] = []

        def resolve(name: str, key: str) -> Sequence[Tensor | None]:
            tensors = self._references.resolve(name, (*step.place, key), frame, step)
            results.extend(tensors)
            return tensors

        for key in ("weight", "bias", "cache", "inplace"):
            name = values.get(key)
            if isinstance(name, str):
                result = frame.results.get(name)
                tied = key == "weight" and not (
                    isinstance(result, Tensor) and result.role == "weight"
                )
                here = (*step.place, key)
                tensor = self._shared_weight(name, here) if tied and name else None
                values[key] = tensor if tied or not name else resolve(name, key)[0]
        if names := values.get("writes"):
            values["writes"] = tuple(tensor for name in names for tensor in resolve(name, "writes"))
        if nests := values.get("nests"):
            values["nests"] = tuple(
                (loops, tuple((resolve(name, "nests")[0], *axes) for name, *axes in operands))
                for loops, operands in nests
            )
        return results

    def _add_operator(
        self,
        step: LayerStep,
        name: str,
        operator: LayerOperator,
        inputs: Sequence[Tensor],
        values: Mapping[str, Any],
    ) -> Tensor | None:
        rank = len(inputs[0].shape) if inputs else 0
        if operator.ranks and rank not in operator.ranks:
            ranks = " or ".join(map(str, operator.ranks))
            self._flaws.note(
                step.place,
                f"a {step.op} of an input {show(inputs[0].shape)} of rank {rank}",
                f"an input of rank {ranks}",
            )
            return None
        try:
            return operator.add(self.builder, name, inputs, values)
        except (ValueError, ZeroDivisionError) as error:
            when = " where free dimensions have their defaults" if self._numeric else ""
            shapes = ", ".join(show(t.shape) for t in inputs)
            self._flaws.note(
                step.place,
                f"shapes do not fit{when}: {error}",
                f"fields that fit an input {shapes}",
            )
            return None

    def _has_valid_extents(self, result: Tensor, step: LayerStep) -> bool:
        """Check the extents of a layer's output, evaluating free ones at the defaults."""
        mean = "means" in step.raw
        for dim in result.shape:
            value = None
            try:
                checked_extent(dim, mean=mean)
                value = self._at_defaults(dim)
                if value is not None and not (
                    1 <= value <= LIMIT and (mean or value == int(value))
                ):
                    raise SizeError(f"extent {dim} is {value:g} at the defaults of the parameters")
            except SizeError as error:
                small = _is_below_one(dim) if value is None else value <= LIMIT
                expected = "an input that is large enough" if small else EXPECTED
                self._flaws.note(step.place, f"makes {show(result.shape)}: {error}", expected)
                return False
        return True

    def _at_defaults(self, dim: Dim) -> float | None:
        if constant(dim) is not None:
            return None
        return _rounded(float(evaluate(dim, self._parameters)))

    def _shared_weight(self, name: str, place: Place) -> Tensor | None:
        weights = self._weights(name)
        weight = weights[0] if weights else None
        if weight is None:
            known = list(filter(self._weights, self._latest))
            expected = "a layer above that has weights"
            self._flaws.note(
                place, f"'{name}' has no weight to share", expected, nearest(name, known)
            )
        return weight

    def _weights(self, name: str) -> list[Tensor]:
        """Return the weights that a layer's last operator reads."""
        if name not in self._latest:
            return []
        read = [self.builder.tensors[tensor] for tensor in self._latest[name].reads]
        return [tensor for tensor in read if tensor.role == "weight"]

    def extents(self, value: Any) -> Any:
        """Return a field's value, with its extents at the defaults if these are substituted."""
        if not self._numeric:
            return value
        if isinstance(value, tuple):
            return tuple(map(self.extents, cast("tuple[Any, ...]", value)))
        if not isinstance(value, Poly):
            return value
        return _rounded(float(evaluate(value, self._parameters)))


def _rounded(number: float) -> float:
    """Return a number as an integer if it differs only by rounding errors."""
    near = round(number) if math.isfinite(number) else 0
    return near if math.isclose(number, near, rel_tol=1e-9) else number


def _is_below_one(dim: Dim) -> bool:
    number = constant(dim)
    return number is None or number < 1
