"""The commands by name; each is imported only when it runs."""

from __future__ import annotations

from cyclopts import App, Parameter

from perfmodel._version import __version__

app = App(
    name="perfmodel",
    help="Predict what a neural network costs on a machine: latency, energy, traffic and memory.",
    version=__version__,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=False),
)

#: Command -> summary in one line.
COMMANDS = {
    "predict": "Predict latency, energy, traffic and memory of a workload on a device.",
    "sweep": "Predict at every point of a grid, and store all rows or select the best.",
    "compare": "Compare two devices on a workload, and explain the difference.",
    "traffic": "Find the least memory traffic of a network for given buffer capacities.",
    "patches": "Find the layers to run in patches, their grids, and the cost of the halo.",
    "schedule": "Find an operator order and the tensors to keep on chip, with a proof.",
    "allocate": "Assign addresses to buffers in one memory, or prove that they do not fit.",
    "place": "Place weights and KV cache in the memories of a device.",
    "stream": "Stream weights from an outer memory while a model runs.",
    "assign": "Assign every operator to an engine, on one device or several.",
    "split": "Find where to cut a network between a device and a server, for each link rate.",
    "serve": "Predict latency and throughput of an LLM server under load.",
    "request": "Predict time and energy of a request to a language model: prefill, then decode.",
    "collective": "Predict an all-reduce or another collective between the devices of a node.",
    "hardwire": "Estimate area and cost of a chip with the weights of a model hard-wired.",
    "search": "Find the formats, widths or architecture with the best metric under limits.",
    "finetune": "Find which parts of a network can be trained in a memory, and the cost of a step.",
    "solve": "Find the value of one number at which a condition starts to hold.",
    "cite": "List the documents that a prediction rests on, as text, JSON or BibTeX.",
    "calibrate": "Fit multipliers to a few measured rows of a device.",
    "validate": "Compare predictions with measurements.",
    "reproduce": "Compare predictions with the figures that published systems claim.",
    "report": "Write the answer of another command as one HTML file.",
    "explore": "Open a local page to change the inputs of a prediction and see the effect.",
    "doctor": "Check the installation; measure this host.",
}
GROUPS = {
    "hardware": (
        "Devices and runtimes of the library: list, show, check, diff, new, near, schema.",
        {
            "list": "List the devices (or runtimes) with their tags.",
            "show": "Show the facts of a device, with the source of every number.",
            "check": "Check spec files: list every fault, and grade the sources of valid files.",
            "diff": "List the facts in which two devices differ.",
            "new": "Write a spec of your own device, copied from the nearest in the library.",
            "near": "List the devices nearest to a device, a known product, or stated facts.",
            "schema": "Print the JSON Schema of spec files.",
        },
    ),
    "workload": (
        "Models of the library and files: list, show, check, import.",
        {
            "list": "List the models.",
            "show": "Show parameters, operations, free dimensions and operators of a model.",
            "check": "Check model files: list every fault.",
            "import": "Read a model file and show, or write, the workload that results.",
        },
    ),
    "format": (
        "Numeric formats: list, show.",
        {
            "list": "List the formats with their bits.",
            "show": "Show what a format or precision stores and computes.",
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
    app.command(f"perfmodel.cli.command_table:{name}", name=name, help=text)
for group, (text, commands) in GROUPS.items():
    inner = App(name=group, help=text, version_flags=[])
    for name, line in commands.items():
        inner.command(f"perfmodel.cli.command_table:{group}_{name}", name=name, help=line)
    app.command(inner)
