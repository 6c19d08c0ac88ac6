"""Declarations of the commands that answer a question, beyond their public functions.

``perfmodel.cli.questions:NAME`` is the function of a command, generated on first access.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any, Final

from perfmodel.cli.question import Question

_QUESTIONS: Final = (
    Question(
        "predict",
        "answers:PredictionAnswer",
        row="kernel",
        plot="the kernels under the roofline, what binds them, and memory over time",
        explain="Show the arithmetic behind the latency, with sources, and the table of kernels.",
    ),
    Question(
        "compare",
        "answers:ComparisonAnswer",
        row="kernel, or with --layers one row per layer",
        plot="the time of both sides by what binds it",
        explain="Show all kernels, and the facts that make the difference.",
    ),
    Question("solve", options=("variable", "until")),
    Question(
        "traffic",
        "answers:TrafficAnswer",
        options=("capacity",),
        row="capacity (with --layers per layer and capacity)",
    ),
    Question("cite", "answers:CitationsAnswer"),
    Question(
        "request",
        "answers:RequestAnswer",
        short=("tensor",),
        row="question",
        plot="what takes the time of prompt and answer",
        explain="Show how the parts add up, and the kernels of both phases.",
    ),
    Question(
        "serve",
        "answers:LoadAnswer",
        short=(),
        row="load",
        plot="parts of TTFT and TPOT, and both over load,",
        explain="Show how the parts add up, and the kernels of both phases.",
    ),
    Question("collective", options=("message_bytes", "devices"), short=(), row="question"),
    Question(
        "split",
        "answers:SplitAnswer",
        row="rate and cut that is the best somewhere",
        plot="latency over rate",
        explain="Print the arithmetic of the best cut at the lowest and the highest rate.",
    ),
    Question(
        "schedule",
        "schedule:ScheduleAnswer",
        hidden=("addresses", "incumbent"),
        plot="timeline and memory map, or the curve, or what does not fit,",
        explain="Print why nothing fits, or what binds and what is open to a proof.",
    ),
    Question(
        "patches",
        row="stretch of layers",
        plot="the memory layer by layer, with and without patches,",
    ),
    Question("allocate", options=("capacity",), row="buffer", plot="the map of the memory"),
    Question("assign", "answers:AssignmentAnswer", row="kernel", plot="the timeline"),
    Question("place", "answers:PlacementAnswer", row="piece", plot="what lies in each memory"),
    Question("stream", row="load", plot="loads and computing over time"),
    Question("finetune", row="layer", explain="Print what the memory holds."),
    Question("hardwire"),
    Question(
        "sweep",
        "sweep:SweepAnswer",
        plot="the front, and metrics over what varies,",
        options=("devices", "set"),
        hidden=("output", "progress"),
        names={"devices": ("--device", "-d")},
        reads={"set": "reading:read_pairs", "metrics": "reading:read_text"},
        texts={
            "devices": "Devices of the library, or paths: D1,D2,tag:phone; as often as needed.",
            "set": "NAME=VALUES, as often as needed: batch=1,2,4 or context=2**9..2**15 or "
            'memories.main.bandwidth="25 GB/s,50 GB/s" or phase=prefill,decode. Also linspace(low, '
            "high, count), logspace(...), and with --sobol uniform(low, high), loguniform(low, "
            "high).",
            "batch": "Short for --set batch=VALUES.",
            "context": "Short for --set context=VALUES.",
            "tensor": "Short for --set tensor=VALUES: devices over which a transformer is split. "
            "Rows are for one of them, and leave out what they exchange.",
            "zip": "Axes that advance together: batch,context; as often as needed.",
        },
    ),
    Question(
        "validate",
        "validate:ValidationAnswer",
        row="data set and target",
        plot="predictions over measured values",
    ),
    # Claims that deviate are a result, not a failure: the exit code is 0.
    Question("reproduce", row="claim"),
    Question(
        "calibrate",
        "calibrate:CalibrationAnswer",
        options=("device", "runtime"),
        hidden=("devices", "models"),
    ),
    Question(
        "search",
        "search:SearchAnswer",
        row="decision (with --front one row per point of the front)",
        plot="the network under a strip of its bits, with --front above it the front,",
        explain="Print the bound, what the proof is about, and what was counted.",
        reads={"choices": "search:read_choices"},
        texts={
            "choices": "What is decided: weight_bits=2,4,8 or sparsity=0,2:4 or channels=1,0.75 or "
            'memories.main.bandwidth="25 GB/s,50 GB/s"; for some layers alone '
            '"weight_bits:layer1.*=4,8" or "weight_bits:kind:depthwise=8", of which the last that '
            "fits holds. As often as needed.",
            "constraints": '"latency_s <= 5 ms", "peak_memory_bytes <= 512 KiB", "frames_per_s >= '
            '30", as often as needed.',
        },
    ),
)

_RATES: Final = {"bandwidth": "library:read_rate", "peak": "library:read_rate"}
_listed = partial(Question, answer="library:ListAnswer", row="entry")
_checked = partial(Question, answer="library:CheckAnswer", row="entry")
_sheet = partial(Question, answer="library:SheetAnswer", row="fact")
_model = partial(Question, answer="library:WorkloadAnswer", row="operator")
_LIBRARY: Final = (
    _listed("hardware list", source="perfmodel.ask.library:list_devices"),
    _sheet("hardware show", source="perfmodel.ask.sheets:show_device"),
    _checked("hardware check", source="perfmodel.ask.library:check_specs"),
    _listed("hardware diff", source="perfmodel.ask.sheets:diff_devices"),
    Question(
        "hardware new",
        "library:NewSpecAnswer",
        source="perfmodel.hardware.own:new",
        options=("base", "set"),
        hidden=("directories",),
        short=(),
        names={"base": ("--from",)},
        reads=_RATES,
    ),
    _listed(
        "hardware near",
        source="perfmodel.hardware.own:near",
        hidden=("directories",),
        reads=_RATES,
    ),
    Question("hardware schema", "library:SchemaAnswer", source="perfmodel.ask.sheets:show_schema"),
    _listed("workload list", source="perfmodel.ask.library:list_workloads"),
    _model("workload show", source="perfmodel.ask.sheets:show_workload"),
    _checked("workload check", source="perfmodel.ask.library:check_workloads"),
    _model("workload import", source="perfmodel.ask.sheets:show_workload"),
    _listed("format list", source="perfmodel.ask.library:list_formats"),
    Question("format show", source="perfmodel.ask.sheets:show_format"),
)

#: Command -> its declaration.
QUESTIONS: Final = {each.word: each for each in (*_QUESTIONS, *_LIBRARY)}


def owners(option: str) -> list[str]:
    """Return the commands that have a given option."""
    return [word for word, question in QUESTIONS.items() if option in question.option_names]


def __getattr__(name: str) -> Any:
    question = QUESTIONS.get(name.replace("_", " "))
    if question is not None:
        return question.command()
    try:
        return getattr(import_module(f"{__package__}.{name}"), name)
    except ModuleNotFoundError:
        raise AttributeError(name) from None
