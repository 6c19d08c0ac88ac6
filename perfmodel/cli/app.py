"""The commands by name; each is imported only when it runs."""

from __future__ import annotations

from cyclopts import App, Parameter

from perfmodel._version import __version__
from perfmodel.cli.words import Flowing

app = App(
    name="perfmodel",
    help="What a neural network will cost on a machine: latency, energy, traffic and memory.",
    version=__version__,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    help_format="plaintext",
    help_formatter=Flowing(),
    default_parameter=Parameter(negative=(), show_default=False),
)

#: Command -> summary in one line.
COMMANDS = {
    "predict": "Predict latency, energy, traffic and memory of a workload on a device.",
    "sweep": "Predict at every point of a grid; store it, or name the best.",
    "compare": "Say what differs between two devices on a workload, and why.",
    "traffic": "Find the least traffic of a network against the capacity of a buffer.",
    "patches": "Find the layers that run in patches, their grids, and what the halo costs.",
    "schedule": "Find the order of operators, what stays on chip, what is spilled, with a proof.",
    "allocate": "Give buffers addresses in one memory, or prove that they do not fit.",
    "place": "Place weights and KV cache in the memories of a device.",
    "stream": "Stream weights from an outer memory while a model runs.",
    "assign": "Find the engine of every operator, on one device or over several.",
    "split": "Find where to cut a network between a device and a server, by the link's rate.",
    "serve": "Predict what requests see of an LLM server under load.",
    "request": "Predict a whole request to a language model: prefill, then decode, and energy.",
    "collective": "Predict an all-reduce or another collective between the devices of a node.",
    "hardwire": "Find the area and cost of a model whose weights are hard-wired.",
    "search": "Find the formats, widths or architecture that are best under limits.",
    "finetune": "Find which parts of a network can be trained in a memory, and what a step costs.",
    "solve": "Find the value of one number at which a condition starts to hold.",
    "cite": "Name the documents that a prediction rests on, as text, JSON or BibTeX.",
    "calibrate": "Fit multipliers to a few measured rows of a device.",
    "validate": "Compare predictions with measured rows.",
    "reproduce": "Predict what published systems claim.",
    "report": "Write the answer of another command as one HTML file.",
    "explore": "Open a page to turn the knobs of a prediction and watch it move.",
    "doctor": "Say what is installed and whether it works; measure this host.",
}
GROUPS = {
    "hardware": (
        "Devices and runtimes of the library: list, show, check, diff, new, near, schema.",
        {
            "list": "Names of the devices (or runtimes), with their tags.",
            "show": "What the library knows of a device, with the source of every number.",
            "check": "Read spec files, name every fault, and grade what is left.",
            "diff": "Facts in which two devices differ.",
            "new": "Write a spec of a device of your own, copied from the nearest of the library.",
            "near": "Devices that are nearest to a device, a known product, or facts.",
            "schema": "JSON Schema of spec files.",
        },
    ),
    "workload": (
        "Models of the library and files: list, show, check, import.",
        {
            "list": "Names of the models.",
            "show": "Parameters, multiply-accumulates, free dimensions and operators of a model.",
            "check": "Read model files and name every fault.",
            "import": "Read a model file and write what was understood of it.",
        },
    ),
    "format": (
        "Numeric formats: list, show.",
        {
            "list": "Names of the formats with their bits.",
            "show": "What a format or precision stores and computes.",
        },
    ),
}

#: Command -> former option -> current option, accepted for one minor version.
FORMER = {
    "schedule": {"--plan": "--save-plan", "--unfused": "--no-fuse", "--apart": "--no-in-place"},
    "assign": {"--plan": "--save-plan"},
    "allocate": {"--nodes": "--node-limit"},
    "place": {
        "--only": "--levels",
        "--kv": "--kv-levels",
        "--pin": "--pinned",
        "--cache": "--cached",
        "--seconds": "--time-limit",
    },
    "stream": {"--hits": "--hit-fraction"},
    "search": {"--seconds": "--time-limit"},
}

for name, text in COMMANDS.items():
    app.command(f"perfmodel.cli.questions:{name}", name=name, help=text)
for group, (text, commands) in GROUPS.items():
    inner = App(name=group, help=text, version_flags=[])
    for name, line in commands.items():
        inner.command(f"perfmodel.cli.questions:{group}_{name}", name=name, help=line)
    app.command(inner)
