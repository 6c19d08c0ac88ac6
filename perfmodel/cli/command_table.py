"""Table of the commands that are generated from public functions.

A `GeneratedCommand` takes arguments, options and their help from the signature and documentation of
a public function. Each entry below adds what these cannot state: the class that prints the answer
(``module:class`` within `perfmodel.cli`), parameters that are not options (`hidden`), settings of
the workload with an option of their own (`short`), and help texts that differ on the command line.
Some texts complete a sentence of the generated help; a plot's text that ends in a clause therefore
ends with a comma:

========= ==============================================================
field     sentence
========= ==============================================================
`row`     ``--output``: "Write the answer to a file: ... one row per ROW"
`plot`    ``--plot``: "Write PLOT to an .html file."
========= ==============================================================

`perfmodel.cli.app` registers the command NAME as ``perfmodel.cli.command_table:NAME``; the parser
resolves this attribute by `__getattr__` when the command runs, so that the other commands, and what
they import, are not loaded.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any, Final

from perfmodel.cli.generated_command import GeneratedCommand
from perfmodel.cli.report_option import ONLY, TYPED

_ANALYSES: Final = (
    GeneratedCommand(
        "predict",
        "prediction_answer:PredictionAnswer",
        row="kernel",
        plot="kernels under the roofline, their bottlenecks, and memory use over time",
        explain="Show the arithmetic behind the latency with its sources, and all kernels.",
    ),
    GeneratedCommand(
        "compare",
        "specific_answers:ComparisonAnswer",
        row="kernel, or with --layers one row per layer",
        plot="the time of both sides by bottleneck",
        explain="Show all kernels, and the facts that cause the difference.",
    ),
    GeneratedCommand("solve", options=("variable", "until")),
    GeneratedCommand(
        "traffic",
        "specific_answers:TrafficAnswer",
        options=("capacity",),
        row="capacity (or, with --layers, per layer and capacity)",
    ),
    GeneratedCommand("cite", "specific_answers:CitationsAnswer"),
    GeneratedCommand(
        "request",
        "specific_answers:RequestAnswer",
        short=("tensor",),
        row="request",
        plot="the parts of the time of prefill and decode",
        explain="Show the sum of the parts of the latency, and the kernels of both phases.",
    ),
    GeneratedCommand(
        "serve",
        "specific_answers:LoadAnswer",
        short=(),
        row="load",
        plot="the parts of TTFT and TPOT, and both over the load,",
        explain="Show the sums that give TTFT and TPOT, and the kernels of both phases.",
    ),
    GeneratedCommand(
        "collective",
        options=("message_bytes", "devices"),
        short=(),
        row="message and number of devices",
    ),
    GeneratedCommand(
        "split",
        "specific_answers:SplitAnswer",
        row="rate and cut that is best at some rate",
        plot="latency over rate",
        explain="Show the arithmetic of the best cut at the lowest and the highest rate.",
    ),
    GeneratedCommand(
        "schedule",
        "schedule:ScheduleAnswer",
        hidden=("addresses", "incumbent"),
        plot="the timeline and memory map, or the curve, or the tensors that do not fit,",
        explain="Show why nothing fits, or the bottleneck and what is missing for a proof.",
    ),
    GeneratedCommand(
        "patches",
        row="sequence of layers",
        plot="memory use layer by layer, with and without patches,",
    ),
    GeneratedCommand("allocate", options=("capacity",), row="buffer", plot="the memory map"),
    GeneratedCommand(
        "assign", "specific_answers:AssignmentAnswer", row="kernel", plot="the timeline"
    ),
    GeneratedCommand(
        "place", "specific_answers:PlacementAnswer", row="piece", plot="the contents of each memory"
    ),
    GeneratedCommand("stream", row="load", plot="loads and computation over time"),
    GeneratedCommand("finetune", row="layer", explain="Show the contents of the memory."),
    GeneratedCommand("hardwire"),
    GeneratedCommand(
        "sweep",
        "sweep:SweepAnswer",
        plot="the Pareto front, and metrics over the varied axes,",
        options=("devices", "set"),
        hidden=("output", "progress"),
        names={"devices": ("--device", "-d")},
        reads={"set": "argument_types:read_pairs", "metrics": "argument_types:read_text"},
        texts={
            "devices": "Devices of the library, or paths: D1,D2,tag:phone; may be repeated.",
            "set": "NAME=VALUES, may be repeated: batch=1,2,4 or context=2**9..2**15 or "
            'memories.main.bandwidth="25 GB/s,50 GB/s" or phase=prefill,decode. Also linspace(low, '
            "high, count), logspace(...), and with --sobol uniform(low, high), loguniform(low, "
            "high).",
            "batch": "Short for --set batch=VALUES.",
            "context": "Short for --set context=VALUES.",
            "tensor": "Short for --set tensor=VALUES: number of devices over which a transformer "
            "is split. Each row is for one of these devices, without communication between them.",
            "zip": "Axes that advance together, not as a grid: batch,context; may be repeated.",
        },
    ),
    GeneratedCommand(
        "validate",
        "validate:ValidationAnswer",
        row="data set and target",
        plot="predictions over measured values",
    ),
    # Claims that deviate are a result, not a failure: the exit code is 0.
    GeneratedCommand("reproduce", row="claim"),
    GeneratedCommand(
        "calibrate",
        "calibrate:CalibrationAnswer",
        options=("device", "runtime"),
        hidden=("devices", "models"),
    ),
    GeneratedCommand(
        "search",
        "search:SearchAnswer",
        row="decision (or, with --front, one row per point of the front)",
        plot="the decision of every layer, and with --front the Pareto front,",
        explain="Show the bound, the statement that is proved, and the number of evaluations.",
        reads={"choices": "search:read_choices"},
        texts={
            "choices": "A decision and its options: weight_bits=2,4,8 or sparsity=0,2:4 or "
            'channels=1,0.75 or memories.main.bandwidth="25 GB/s,50 GB/s"; for some layers only, '
            '"weight_bits:layer1.*=4,8" or "weight_bits:kind:depthwise=8", of which the last that '
            "matches a layer applies. May be repeated.",
            "constraints": 'A limit: "latency_s <= 5 ms", "peak_memory_bytes <= 512 KiB", '
            '"frames_per_s >= 30". May be repeated.',
        },
    ),
)

#: Options that take a rate with its unit, and their reader.
_RATE_READERS: Final = {"bandwidth": "library:read_rate", "peak": "library:read_rate"}
_list_command = partial(GeneratedCommand, answer="library:ListAnswer", row="entry")
_check_command = partial(GeneratedCommand, answer="library:CheckAnswer", row="entry")
_facts_command = partial(GeneratedCommand, answer="library:SheetAnswer", row="fact")
_operators_command = partial(GeneratedCommand, answer="library:WorkloadAnswer", row="operator")
_LIBRARY_COMMANDS: Final = (
    _list_command("hardware list", source="perfmodel.ask.library:list_devices"),
    _facts_command("hardware show", source="perfmodel.ask.sheets:show_device"),
    _check_command("hardware check", source="perfmodel.ask.library:check_specs"),
    _list_command("hardware diff", source="perfmodel.ask.sheets:diff_devices"),
    GeneratedCommand(
        "hardware new",
        "library:NewSpecAnswer",
        source="perfmodel.hardware.new_device:new",
        options=("base", "set"),
        hidden=("directories",),
        short=(),
        names={"base": ("--from",)},
        reads=_RATE_READERS,
    ),
    _list_command(
        "hardware near",
        source="perfmodel.hardware.new_device:near",
        hidden=("directories",),
        reads=_RATE_READERS,
    ),
    GeneratedCommand(
        "hardware schema", "library:SchemaAnswer", source="perfmodel.ask.sheets:show_schema"
    ),
    _list_command("workload list", source="perfmodel.ask.library:list_workloads"),
    _operators_command("workload show", source="perfmodel.ask.sheets:show_workload"),
    _check_command("workload check", source="perfmodel.ask.library:check_workloads"),
    _operators_command("workload import", source="perfmodel.ask.sheets:show_workload"),
    _list_command("format list", source="perfmodel.ask.library:list_formats"),
    GeneratedCommand("format show", source="perfmodel.ask.sheets:show_format"),
)

#: Command -> its declaration.
GENERATED_COMMANDS: Final = {each.name: each for each in (*_ANALYSES, *_LIBRARY_COMMANDS)}


def owners(option: str) -> list[str]:
    """Return the names of the commands that have an option, such as ``--layers``."""
    return [name for name, command in GENERATED_COMMANDS.items() if option in command.option_names]


def __getattr__(name: str) -> Any:
    """Return the function of a command: `hardware_list` is that of ``hardware list``.

    A command without an entry in the table is not generated: its function has the name of its
    module, for example `perfmodel.cli.doctor.doctor`.
    """
    command = GENERATED_COMMANDS.get(name.replace("_", " "))
    if command is not None:
        return command.command(TYPED.get() if ONLY.get() else None)
    try:
        return getattr(import_module(f"{__package__}.{name}"), name)
    except ModuleNotFoundError:
        raise AttributeError(name) from None
