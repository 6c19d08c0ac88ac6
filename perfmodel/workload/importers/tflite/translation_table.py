"""Translation of each builtin operator of TensorFlow Lite, by its name in the schema.

Most operators are one node, declared in ``workloads/tflite/nodes.yaml`` or found in the operator
registry by name; the functions here translate those that need more: constant axes, states,
subgraphs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from perfmodel.specfile import shipped
from perfmodel.workload.importers.onnx.records import RawValue
from perfmodel.workload.importers.onnx.registry import (
    COPIES,
    FUNCTIONS,
    LOOKUPS,
    NORMS,
    REDUCTIONS,
    find_by_name,
)
from perfmodel.workload.importers.tflite.reshape_translations import SLICES
from perfmodel.workload.importers.tflite.schema import PADDINGS
from perfmodel.workload.importers.tflite.translator import Translator, priced_format

Handler = Callable[[Translator], None]

#: Operators that differ from the registry's of the same name: ``WHERE`` returns positions.
_REDEFINED: Final = frozenset({"WHERE"})


def _node_translation(
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

    def handler(translator: Translator) -> None:
        inputs_read = translator.inputs if inputs is None else [translator.input(i) for i in inputs]
        source = translator.pre_activation_name() if fused else translator.output
        outputs_written = [source, *(translator.outputs[1:] if outputs == "all" else ())]
        option_values = {
            name: int(translator.options.get(key, 0)) for name, key in (options or {}).items()
        }
        translator.emit(
            op,
            inputs_read,
            outputs_written,
            {**(attributes or {}), **option_values, **_window_attributes(translator, window)},
            own=own,
        )
        if fused:
            translator.activate(source)

    return handler


def _cast_translation(op: str, *, own: bool = True) -> Handler:
    """Return the translation of a conversion to the format of the output."""

    def handler(translator: Translator) -> None:
        _node_translation(
            op,
            own=own,
            attributes={"to": priced_format(translator.tensor(translator.operator.outputs[0]))},
        )(translator)

    return handler


def _arg_translation(op: str) -> Handler:
    """Return the translation of an argmax or argmin along a constant axis."""

    def handler(translator: Translator) -> None:
        axis = (translator.numbers(1) or (-1,))[0]
        _node_translation(op, attributes={"axis": axis, "keepdims": 0}, inputs=(0,))(translator)

    return handler


def _write_top_k(translator: Translator) -> None:
    """Translate ``TOPK_V2``."""
    translator.emit("TopK", (translator.input(0), translator.integer_input(1)), translator.outputs)


def _write_one_hot(translator: Translator) -> None:
    """Translate ``ONE_HOT``, whose off and on values do not affect the cost."""
    read = *translator.inputs[:2], translator.constant((0, 1))
    translator.emit("OneHot", read, attributes={"axis": translator.options["axis"]})


def _write_gather(translator: Translator) -> None:
    """Translate ``GATHER``, a standard gather unless it has batch axes."""
    batched = bool(translator.options["batch_dims"])
    names = ("axis", "batch_dims") if batched else ("axis",)
    _node_translation("Gather", options=dict(zip(names, names, strict=True)), own=batched)(
        translator
    )


def _write_lstm(translator: Translator) -> None:
    """Translate ``LSTM`` of the basic kernel (one matrix for all gates) or of the full kernel."""
    basic = translator.options["kernel_type"] == 1
    attributes = {"sequence": 0} if basic else {"sequence": 0, "time_major": 0}
    outputs = "all" if basic else "first"
    op = "BasicLSTM" if basic else "SequenceLSTM"
    _node_translation(op, attributes=attributes, own=True, outputs=outputs, fused=False)(translator)


# States.


def _declare_state(translator: Translator) -> None:
    """Record the resource that ``VAR_HANDLE`` refers to."""
    key = f"{translator.options['container']}/{translator.options['shared_name']}".strip("/")
    translator.resource_of_handle[translator.operator.outputs[0]] = key or translator.output


def _read_state(translator: Translator) -> None:
    """Translate ``READ_VARIABLE``: the first read declares the state as an input of the network."""
    key = _state_key(translator)
    out = translator.tensor(translator.operator.outputs[0])
    if key not in translator.states:
        translator.states[key] = translator.new_name(f"{key}.state")
        translator.state_inputs.append(RawValue(translator.states[key], out.signature, out.format))
    translator.emit("Copy", (translator.states[key],), (out.name,), own=True)


def _write_state(translator: Translator) -> None:
    """Translate ``ASSIGN_VARIABLE``: the updated state is an output of the network."""
    key = _state_key(translator)
    updated = translator.new_name(f"{key}.next")
    translator.emit(
        "Assign", (translator.input(1), translator.states.get(key, "")), (updated,), own=True
    )
    translator.states[key] = updated
    translator.state_outputs.append(updated)


# Subgraphs.


def _write_unpriced_subgraphs(translator: Translator) -> None:
    """Translate an operator that runs subgraphs without a price."""
    numbers: list[int] = [v for k, v in translator.options.items() if k.endswith("subgraph")]
    subgraph_names = [
        f"'{translator.model.subgraphs[n].name}'"
        for n in numbers
        if 0 <= n < len(translator.model.subgraphs)
    ]
    reason = "it runs the subgraphs " + " and ".join(subgraph_names)
    translator.emit(
        translator.operator.op, translator.inputs, translator.outputs, {"reason": reason}, own=True
    )


def _write_if(translator: Translator) -> None:
    """Translate ``IF`` with both branches; if the data decide, the costlier one is priced."""
    then_body, else_body = (
        translator.branch(
            translator.options[f"{side}_subgraph"],
            translator.operator.inputs[1:],
            len(translator.operator.outputs),
        )
        for side in ("then", "else")
    )
    if then_body is None or else_body is None:
        _write_unpriced_subgraphs(translator)
        return
    translator.emit("If", (translator.input(0),), translator.outputs)
    translator.nodes[-1].graphs.update(then_branch=then_body, else_branch=else_body)


def _omit_call_once(translator: Translator) -> None:
    """Omit ``CALL_ONCE``, which initialises states before the first run only."""


#: Translations of operators that the registry lacks or defines differently.
HANDLERS: Final[Mapping[str, Handler]] = {
    **{
        name: _node_translation(**entry)
        for name, entry in shipped("workloads", "tflite/nodes.yaml").items()
    },
    **dict.fromkeys(
        ("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1"),
        lambda translator: translator.emit_activation(
            translator.operator.op, translator.input(0), translator.output
        ),
    ),
    **dict.fromkeys(("QUANTIZE", "FAKE_QUANT"), _cast_translation("Quantize")),
    "DEQUANTIZE": _cast_translation("Dequantize"),
    "CAST": _cast_translation("Cast", own=False),
    "ARG_MAX": _arg_translation("ArgMax"),
    "ARG_MIN": _arg_translation("ArgMin"),
    "GATHER": _write_gather,
    "LSTM": _write_lstm,
    "TOPK_V2": _write_top_k,
    "ONE_HOT": _write_one_hot,
    "IF": _write_if,
    **dict.fromkeys(("WHILE", "CALL"), _write_unpriced_subgraphs),
    "CALL_ONCE": _omit_call_once,
    "VAR_HANDLE": _declare_state,
    "READ_VARIABLE": _read_state,
    "ASSIGN_VARIABLE": _write_state,
    **SLICES,
}


def handler_of(op: str) -> Handler | None:
    """Return the translation of a builtin operator; ``None`` for an unknown one."""
    if op in HANDLERS or op in _REDEFINED:
        return HANDLERS.get(op)
    reduction = find_by_name(op, REDUCTIONS)
    if reduction is not None:
        return _node_translation(reduction.name, options={"keepdims": "keep_dims"})
    function = find_by_name(op.removeprefix("STABLEHLO_"), FUNCTIONS)
    same = function or find_by_name(op, NORMS, COPIES, LOOKUPS)
    return None if same is None else _node_translation(same.name)


def _window_attributes(translator: Translator, axes: str) -> Mapping[str, object]:
    """Return strides, dilations, padding and kernel of a windowed operator."""
    if not axes:
        return {}
    window: dict[str, object] = {
        "strides": tuple(translator.options[f"stride_{a}"] for a in axes),
        "dilations": tuple(translator.options.get(f"dilation_{a}", 1) for a in axes),
        "padding": PADDINGS[translator.options["padding"]],
    }
    if "filter_h" in translator.options:
        window["kernel_shape"] = translator.options["filter_h"], translator.options["filter_w"]
    return window


def _state_key(translator: Translator) -> str:
    """Return the name of the resource that the current operator reads or writes."""
    return translator.resource_of_handle.get(
        translator.operator.inputs[0] if translator.operator.inputs else -1, translator.input(0)
    )
