"""Rewriting of a graph to fixed number formats of individual tensors (mixed precision).

A conversion is inserted where an operator reads one format and writes another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from perfmodel.errors import Fault, InputError, nearest
from perfmodel.formats import Precision, as_precision, fixed_format
from perfmodel.workload.graph import Access, Graph, Operator, Tensor
from perfmodel.workload.rewrite.compressible_layers import factors_of, input_of
from perfmodel.workload.rewrite.format_coupling import REQUANTISES, FormatGroup, format_groups
from perfmodel.workload.vector_functions import VECTOR_OPS

_NONE: Mapping[str, str] = {}


def with_formats(
    graph: Graph,
    weights: Mapping[str, str] = _NONE,
    activations: Mapping[str, str] = _NONE,
    kv: str | Mapping[str, str] = "",
    conversion: bool = True,
    precision: str | Precision | None = None,
) -> Graph:
    """Return the graph with fixed formats for some tensors.

    Parameters
    ----------
    weights
        Weight tensor -> format (``int4g128``; ``int8+2:4`` and ``fp16+s0.5`` omit zeros).
    activations
        Activation -> format; a name applies to its whole group (`format_groups`).
    kv
        Format of all KV caches, or of each by name.
    conversion
        Whether an operator that, as a result, writes another format than it reads is followed by a
        ``quantise`` operator, at `VECTOR_OPS` operations per element. It is part of the operator's
        kernel if the runtime fuses elementwise operators. A boundary that exists in the graph
        already (a quantised file) costs what is stated there.
    precision
        Storage format of tensors without a name, needed to detect boundaries; by default it is
        assumed to differ from all named formats.

    Returns
    -------
    Graph
        The same object if nothing changes. Attention scores are stored like the attention's output.
        Tensors that are not named keep their slots: a precision still determines their formats, the
        bits of biases, and the rate of elementwise arithmetic.

    Raises
    ------
    InputError
        All unknown tensors, unknown formats, sparse activations, and groups with two formats.
    """
    formats = _formats_of_tensors(graph, weights, activations, kv)
    if all(graph.tensors[name].format == text for name, text in formats.items()):
        return graph
    rewritten = {
        name: replace(tensor, format=formats.get(name, tensor.format))
        for name, tensor in graph.tensors.items()
    }
    rewriting = _FormatRewriter(graph, rewritten, as_precision(precision) if precision else None)
    blocks = tuple(
        replace(
            block,
            operators=tuple(
                rewritten
                for operator in block.operators
                for rewritten in rewriting.operator(operator, conversion=conversion)
            ),
        )
        for block in graph.blocks
    )
    return replace(graph, tensors=rewriting.tensors, blocks=blocks)


def _formats_of_tensors(
    graph: Graph,
    weights: Mapping[str, str],
    activations: Mapping[str, str],
    kv: str | Mapping[str, str],
) -> dict[str, str]:
    """Return tensor -> canonical name of its format, for all tensors whose format is fixed."""
    faults: list[Fault] = []
    if isinstance(kv, str):
        caches = [n for n, t in graph.tensors.items() if t.role == "kv"]
        kv = dict.fromkeys(caches, kv) if kv else _NONE
    formats: dict[str, str] = {}
    for path, role, named in (("weights", "weight", weights), ("kv", "kv", kv)):
        for name, text in named.items():
            _check(graph, name, (role,), path, faults)
            sparse = role == "weight"
            formats[name] = _canonical(text, f"{path}.{name}", faults, sparse=sparse)
    if activations:
        groups = {t: g for g in format_groups(graph) for t in g.tensors}
        first_names: dict[str, tuple[str, str]] = {}
        for name, text in activations.items():
            _check(graph, name, ("activation", "state"), "activations", faults)
            format = _canonical(text, f"activations.{name}", faults)
            group = groups.get(name, FormatGroup(name, (name,)))
            other, first = first_names.setdefault(group.name, (format, name))
            if other != format:
                message = f"shares a format with '{first}', which is {other or 'not fixed'}"
                faults.append(Fault(message, f"activations.{name}", expected="one format a group"))
            formats |= dict.fromkeys(group.tensors, format)
    if faults:
        raise InputError(faults)
    return {name: text for name, text in formats.items() if name in graph.tensors}


def _check(graph: Graph, name: str, roles: tuple[str, ...], path: str, faults: list[Fault]) -> None:
    tensor = graph.tensors.get(name)
    if tensor is not None and tensor.role in roles:
        return
    known = [n for n, t in graph.tensors.items() if t.role in roles]
    noun = {"weights": "weight tensor", "kv": "KV cache", "activations": "activation"}[path]
    message, expected = f"'{graph.name}' has no {noun} '{name}'", f"the name of a {noun}"
    suggestion = nearest(name, known)
    faults.append(Fault(message, f"{path}.{name}", expected=expected, suggestion=suggestion))


def _canonical(text: str, path: str, faults: list[Fault], *, sparse: bool = False) -> str:
    """Return a format's canonical name with its sparsity; empty for no fixed format."""
    clean = text.strip().lower()
    if not clean:
        return ""
    try:
        format, sparsity = fixed_format(clean)
    except InputError as error:
        faults += [replace(f, path=path) for f in error.faults]
        return clean
    if sparsity is not None and not sparse:
        expected = "a format without zeros: only weights are stored sparse"
        faults.append(Fault(f"'{text}' is sparse", path, expected=expected))
    _, mark, pattern = clean.partition("+")
    return f"{format.name}{mark}{pattern}"


class _FormatRewriter:
    """Rewriter of the accesses of operators at which formats change."""

    def __init__(
        self, graph: Graph, tensors: dict[str, Tensor], precision: Precision | None
    ) -> None:
        self.graph = graph
        self.tensors = tensors
        self.precision = precision

    def operator(self, operator: Operator, *, conversion: bool) -> Iterator[Operator]:
        """Yield the operator with its new slots, and the conversions of its outputs."""
        operator = self._with_scores_format(replace(operator, pair=self._new_pair(operator)))
        if not conversion or operator.kind not in REQUANTISES or not operator.nests:
            yield operator
            return
        source = input_of(self.graph, operator)
        raw = {
            name: self._declare_unconverted(name, source)
            for name in operator.writes
            if self.graph.tensors[name].role == "activation" and self._changes_format(source, name)
        }
        yield operator.renamed({}, raw)
        for name, before in raw.items():
            yield self._conversion(operator, before, name)

    def _changes_format(self, source: str, written: str) -> bool:
        """Return whether input and output formats differ now but did not before."""
        if not source or self.graph.tensors[source].format != self.graph.tensors[written].format:
            return False
        return self._storage_format(source) != self._storage_format(written)

    def _storage_format(self, name: str) -> str:
        format = self.tensors[name].format
        if format or self.precision is None:
            return format
        return self.precision.activations.name

    def _declare_unconverted(self, name: str, source: str) -> str:
        raw = f"{name}.raw"
        while raw in self.tensors:
            raw += "_"
        format = self.tensors[source].format
        self.tensors[raw] = replace(self.tensors[name], name=raw, format=format)
        return raw

    def _conversion(self, operator: Operator, raw: str, name: str) -> Operator:
        x, y = self.tensors[raw], self.tensors[name]
        function = self._function(raw, name)
        accesses = (Access(raw, "read", x.elements), Access(name, "write", y.elements))
        return Operator(
            f"{operator.name}.{function}",
            "quantise",
            accesses,
            vector_ops=VECTOR_OPS[function] * y.elements,
            pair=("activation", x.slot),
            attributes=(("function", function),),
        )

    def _function(self, raw: str, name: str) -> str:
        """Return the function of a conversion: to integers, from integers, or between floats."""
        before, after = (
            not text or fixed_format(text)[0].is_float
            for text in (self._storage_format(raw), self._storage_format(name))
        )
        if not after:
            return "quantise"
        return "cast" if before else "dequantise"

    def _new_pair(self, operator: Operator) -> tuple[str, str]:
        """Return the new slots of the multiplied operands."""
        reads = operator.reads
        x, w = factors_of(operator) if operator.nests else (*reads, "", "")[:2]
        return (
            self._new_slot(operator.pair[0], w, reads),
            self._new_slot(operator.pair[1], x, reads),
        )

    def _new_slot(self, old: str, preferred: str, reads: tuple[str, ...]) -> str:
        before, after = self.graph.tensors, self.tensors
        if preferred in before and before[preferred].slot == old:
            return after[preferred].slot
        now = {after[name].slot for name in reads if before[name].slot == old}
        return now.pop() if len(now) == 1 else old

    def _with_scores_format(self, operator: Operator) -> Operator:
        """Declare the scores of an attention if its output has a fixed format."""
        name = operator.scores_tensor
        written = [n for n in operator.writes if self.graph.tensors[n].role == "activation"]
        format = self.tensors[written[0]].format if written else ""
        if not name or not format:
            return operator
        scores_name = f"{operator.name}.scores"
        self.tensors[scores_name] = Tensor(scores_name, (operator.scores,), format=format)
        return operator.renamed({name: scores_name}, {name: scores_name})
