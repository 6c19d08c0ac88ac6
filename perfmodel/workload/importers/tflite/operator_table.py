"""Table of the translations of builtin operators, by their names in the schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from perfmodel.specfile import shipped
from perfmodel.workload.importers.onnx.read import RawValue
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FUNCTIONS,
    LOOKUPS,
    NORMS,
    REDUCTIONS,
    called,
)
from perfmodel.workload.importers.tflite.schema import PADDINGS
from perfmodel.workload.importers.tflite.slices import SLICES
from perfmodel.workload.importers.tflite.translate import Translator, priced_format

Handler = Callable[[Translator], None]

#: Operators that differ from the registry's of the same name: ``WHERE`` returns positions.
_OTHERWISE: Final = frozenset({"WHERE"})


def _node(
    op: str,
    *,
    own: bool = False,
    attributes: Mapping[str, object] | None = None,
    options: Mapping[str, str] | None = None,
    window: str = "",
    inputs: Sequence[int] | None = None,
    outputs: Literal["first", "all"] = "first",
    fused: bool = True,
) -> Handler:
    """Return a translation to one node, followed by the fused activation.

    ``workloads/tflite/nodes.yaml`` documents the arguments.
    """

    def handler(t: Translator) -> None:
        read = t.inputs if inputs is None else [t.input(i) for i in inputs]
        source = t.pre_activation_name() if fused else t.output
        written = [source, *(t.outputs[1:] if outputs == "all" else ())]
        stated = {name: int(t.options.get(key, 0)) for name, key in (options or {}).items()}
        t.emit(op, read, written, {**(attributes or {}), **stated, **_window(t, window)}, own=own)
        if fused:
            t.activate(source)

    return handler


def _window(t: Translator, axes: str) -> Mapping[str, object]:
    if not axes:
        return {}
    window: dict[str, object] = {
        "strides": tuple(t.options[f"stride_{a}"] for a in axes),
        "dilations": tuple(t.options.get(f"dilation_{a}", 1) for a in axes),
        "padding": PADDINGS[t.options["padding"]],
    }
    if "filter_h" in t.options:
        window["kernel_shape"] = t.options["filter_h"], t.options["filter_w"]
    return window


def _cast(op: str, *, own: bool = True) -> Handler:
    """Return the translation of a conversion to the format of the output."""

    def handler(t: Translator) -> None:
        _node(op, own=own, attributes={"to": priced_format(t.tensor(t.operator.outputs[0]))})(t)

    return handler


def _arg(op: str) -> Handler:
    """Return the translation of an argmax or argmin along a constant axis."""

    def handler(t: Translator) -> None:
        axis = (t.numbers(1) or (-1,))[0]
        _node(op, attributes={"axis": axis, "keepdims": 0}, inputs=(0,))(t)

    return handler


def _top(t: Translator) -> None:
    t.emit("TopK", (t.input(0), t.integer_input(1)), t.outputs)


def _one_hot(t: Translator) -> None:
    read = *t.inputs[:2], t.constant((0, 1))
    t.emit("OneHot", read, (t.output,), {"axis": t.options["axis"]})


def _gather(t: Translator) -> None:
    batched = bool(t.options["batch_dims"])
    names = ("axis", "batch_dims") if batched else ("axis",)
    _node("Gather", options=dict(zip(names, names, strict=True)), own=batched)(t)


def _lstm(t: Translator) -> None:
    """Translate ``LSTM`` of the basic kernel (one matrix for all gates) or of the full kernel."""
    basic = t.options["kernel_type"] == 1
    attributes = {"sequence": 0} if basic else {"sequence": 0, "time_major": 0}
    outputs = "all" if basic else "first"
    op = "BasicLSTM" if basic else "SequenceLSTM"
    _node(op, attributes=attributes, own=True, outputs=outputs, fused=False)(t)


# States.


def _handle(t: Translator) -> None:
    key = f"{t.options['container']}/{t.options['shared_name']}".strip("/")
    t.handles[t.operator.outputs[0]] = key or t.output


def _state(t: Translator) -> str:
    return t.handles.get(t.operator.inputs[0] if t.operator.inputs else -1, t.input(0))


def _read_state(t: Translator) -> None:
    key = _state(t)
    out = t.tensor(t.operator.outputs[0])
    if key not in t.states:
        t.states[key] = t.fresh(f"{key}.state")
        t.more_inputs.append(RawValue(t.states[key], out.signature, out.format))
    t.emit("Copy", (t.states[key],), (out.name,), own=True)


def _write_state(t: Translator) -> None:
    key = _state(t)
    updated = t.fresh(f"{key}.next")
    t.emit("Assign", (t.input(1), t.states.get(key, "")), (updated,), own=True)
    t.states[key] = updated
    t.more_outputs.append(updated)


# Subgraphs.


def _runs(t: Translator) -> None:
    numbers: list[int] = [v for k, v in t.options.items() if k.endswith("subgraph")]
    named = [f"'{t.model.subgraphs[n].name}'" for n in numbers if 0 <= n < len(t.model.subgraphs)]
    reason = "it runs the subgraphs " + " and ".join(named)
    t.emit(t.operator.op, t.inputs, t.outputs, {"reason": reason}, own=True)


def _if(t: Translator) -> None:
    """Translate ``IF`` with both branches; if the data decide, the costlier one is priced."""
    then_body, else_body = (
        t.branch(t.options[f"{side}_subgraph"], t.operator.inputs[1:], len(t.operator.outputs))
        for side in ("then", "else")
    )
    if then_body is None or else_body is None:
        _runs(t)
        return
    t.emit("If", (t.input(0),), t.outputs)
    t.nodes[-1].graphs.update(then_branch=then_body, else_branch=else_body)


def _once(t: Translator) -> None:
    """Omit ``CALL_ONCE``, which initialises states before the first run only."""


#: Translations of operators that the registry lacks or defines differently.
HANDLERS: Final[Mapping[str, Handler]] = {
    **{name: _node(**entry) for name, entry in shipped("workloads", "tflite/nodes.yaml").items()},
    **dict.fromkeys(
        ("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"),
        lambda t: t.emit_activation(t.operator.op, t.input(0), t.output),
    ),
    **dict.fromkeys(("QUANTIZE", "FAKE_QUANT"), _cast("Quantize")),
    "DEQUANTIZE": _cast("Dequantize"),
    "CAST": _cast("Cast", own=False),
    "ARG_MAX": _arg("ArgMax"),
    "ARG_MIN": _arg("ArgMin"),
    "GATHER": _gather,
    "LSTM": _lstm,
    "TOPK_V2": _top,
    "ONE_HOT": _one_hot,
    "IF": _if,
    **dict.fromkeys(("WHILE", "CALL"), _runs),
    "CALL_ONCE": _once,
    "VAR_HANDLE": _handle,
    "READ_VARIABLE": _read_state,
    "ASSIGN_VARIABLE": _write_state,
    **SLICES,
}


def handler_of(op: str) -> Handler | None:
    """Return the translation of a builtin operator; ``None`` for an unknown one."""
    if op in HANDLERS or op in _OTHERWISE:
        return HANDLERS.get(op)
    reduction = called(op, REDUCTIONS)
    if reduction is not None:
        return _node(reduction.name, options={"keepdims": "keep_dims"})
    function = called(op.removeprefix("STABLEHLO_"), FUNCTIONS)
    same = function or called(op, NORMS, COPIES, LOOKUPS)
    return None if same is None else _node(same.name)
