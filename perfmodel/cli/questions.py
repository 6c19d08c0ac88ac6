"""The commands that ask a question: what each adds to the public function of its name.

``perfmodel.cli.questions:NAME`` is the function of a command, made when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from perfmodel.cli.question import Question

_QUESTIONS: Final = (
    Question("predict", "predict:PredictionAnswer"),
    Question("compare", "compare:ComparisonAnswer"),
    Question("solve", options=("variable", "until")),
    Question("traffic", "traffic:TrafficAnswer", options=("capacity",)),
    Question("cite", "cite:CitationsAnswer"),
    Question("request", "request:RequestAnswer", short=("tensor",)),
    Question("serve", "request:LoadAnswer", short=()),
    Question("collective", "answers:TableAnswer", options=("message_bytes", "devices"), short=()),
    Question("split", "answers:SplitAnswer"),
    Question("schedule", "schedule:ScheduleAnswer", hidden=("addresses", "incumbent")),
    Question("patches", "answers:PatchesAnswer"),
    Question("allocate", "answers:AllocationAnswer", options=("capacity",)),
    Question("assign", "assign:AssignmentAnswer"),
    Question("place", "answers:PlacementAnswer"),
    Question("stream", "answers:StreamAnswer"),
    Question("finetune", "answers:FineTuningAnswer"),
    Question("hardwire"),
    Question(
        "sweep",
        "sweep:SweepAnswer",
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
    Question("validate", "validate:ValidationAnswer"),
    Question("reproduce", "answers:ClaimsAnswer"),
    Question(
        "calibrate",
        "calibrate:CalibrationAnswer",
        options=("device", "runtime"),
        hidden=("devices", "models"),
    ),
    Question(
        "search",
        "search:SearchAnswer",
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
_LIBRARY: Final = (
    Question("hardware list", "library:ListAnswer", source="perfmodel.ask.library:list_devices"),
    Question("hardware show", "library:SheetAnswer", source="perfmodel.ask.sheets:show_device"),
    Question("hardware check", "library:CheckAnswer", source="perfmodel.ask.library:check_specs"),
    Question("hardware diff", "library:ListAnswer", source="perfmodel.ask.sheets:diff_devices"),
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
    Question(
        "hardware near",
        "library:ListAnswer",
        source="perfmodel.hardware.own:near",
        hidden=("directories",),
        reads=_RATES,
    ),
    Question("hardware schema", "library:SchemaAnswer", source="perfmodel.ask.sheets:show_schema"),
    Question("workload list", "library:ListAnswer", source="perfmodel.ask.library:list_workloads"),
    Question(
        "workload show", "library:WorkloadAnswer", source="perfmodel.ask.sheets:show_workload"
    ),
    Question(
        "workload check", "library:CheckAnswer", source="perfmodel.ask.library:check_workloads"
    ),
    Question(
        "workload import", "library:WorkloadAnswer", source="perfmodel.ask.sheets:show_workload"
    ),
    Question("format list", "library:ListAnswer", source="perfmodel.ask.library:list_formats"),
    Question("format show", source="perfmodel.ask.sheets:show_format"),
)

#: Command -> how it is made.
QUESTIONS: Final = {each.word: each for each in (*_QUESTIONS, *_LIBRARY)}


def owners(option: str) -> list[str]:
    """Return the commands that have an option."""
    return [word for word, question in QUESTIONS.items() if option in question.option_names]


def __getattr__(name: str) -> Any:
    question = QUESTIONS.get(name.replace("_", " "))
    if question is not None:
        return question.command()
    try:
        return getattr(import_module(f"{__package__}.{name}"), name)
    except ModuleNotFoundError:
        raise AttributeError(name) from None
