"""Command lines of all other commands that must be refused: what each is told."""
# ruff: noqa: E501  (each fault reads as it is printed; … stands for a list of names)

from collections.abc import Callable

import pytest

COMMANDS = [
    (
        ("sweep",),
        (
            "perfmodel sweep: WORKLOADS is missing; expected a value such as llama_3_8b\n"
            "perfmodel sweep: --device is missing; expected a value such as a100,tag:phone"
        ),
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=8..1"),
        "--set: batch: '8..1' is in descending order; expected the smaller end first",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=1.."),
        "--set: batch: '1..' has only one end; expected such as 1..8, 2**9..2**15",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=1..8:0"),
        "--set: batch: '1..8:0' has a step of 0; expected a step above zero",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=1..8:x"),
        "--set: batch: 'x' is not a number; expected a number",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=2**0..2**99999"),
        "--set: batch: '2**0..2**99999' has 100000 values; expected at most 1100",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=1..1e12"),
        "--set: batch: '1..1e12' has 1000000000001 values; expected at most 10000000",
    ),
    (
        (
            "sweep",
            "resnet18",
            "-d",
            "a100",
            "--set",
            "batch=1..10000000",
            "--set",
            "height=1..10000000",
        ),
        "--set: the grid has 100,000,000,000,000 points; expected at most 10,000,000,000; a sample (--sobol 65536) spans a large grid",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=linspce(1, 2, 3)"),
        "--set: batch: there is no 'linspce(...)'; expected one of linspace, logspace, uniform, loguniform; did you mean 'linspace(1, 2, 3)'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=linspace(1, 2)"),
        "--set: batch: linspace takes 3 arguments, not 2; expected linspace(low, high, count)",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=logspace(0, 2, 3)"),
        "--set: batch: logspace(0, 2, 3) has an empty interval; expected 0 < low < high",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=uniform(1, 2)"),
        "batch: a continuous interval cannot be listed; expected a sample (--sobol 1024), or linspace or logspace with a count",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=(1"),
        "--set: batch: '(1' is not a value; expected a number, a word, or a range such as 2**9..2**15",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=__import__('os')"),
        "--set: batch: there is no '__import__(...)'; expected one of linspace, logspace, uniform, loguniform",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=1,many"),
        "--set: batch: 'many' is not a number; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        (
            "sweep",
            "resnet18",
            "-d",
            "a100",
            "--set",
            "memories.main.bandwidth=25..100 GB/s:25 GB/s",
        ),
        "--set: memories.main.bandwidth: '25' has no unit, so it is 25 B/s; did you mean '25 GB/s..100 GB/s:25 GB/s'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "memories.main.bandwidth=25 GB/s..100 GB/s"),
        "--set: memories.main.bandwidth: '25 GB/s..100 GB/s' has no step; expected low..high:step, linspace(low, high, count), logspace(low, high, count), or uniform(low, high) with a sample",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "memories.main.bandwidth=1 GHz,2 GB/s"),
        "--set: memories.main.bandwidth: '1 GHz' is a frequency, not a bandwidth; expected a bandwidth with its unit, such as \"51.2 GB/s\"",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "block=basic,basik"),
        "--set: block: unknown value 'basik'; expected one of basic, bottleneck; did you mean 'basic'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--set", "batch=1,2", "--zip", "batch,heigth"),
        "--zip: there is no axis 'heigth'; expected one of batch",
    ),
    (
        (
            "sweep",
            "resnet18",
            "-d",
            "a100",
            "--set",
            "batch=1,2",
            "--set",
            "height=1,2,3",
            "--zip",
            "batch,height",
        ),
        "--zip: axes of different lengths: batch 2, height 3; expected as many values of each",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--sobol", "0"),
        "--sobol: 0 is not a valid number of points; expected from 1 to 16777216",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--sobol", "1.5"),
        "perfmodel sweep: '1.5' does not fit --sobol; expected a whole number",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--executor", "proces:2"),
        "--executor: there is no executor 'proces:2'; expected serial, process:N with N from 1 to 256, or dask://HOST:PORT; did you mean 'process:2'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--executor", "process:0"),
        "--executor: there is no executor 'process:0'; expected serial, process:N with N from 1 to 256, or dask://HOST:PORT; did you mean 'process:2'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--resume"),
        "--resume: there is nothing to resume without an output; expected -o FILE",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--top", "-1"),
        "--top: -1 rows; expected a whole number from 0",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--metrics", "latency"),
        "there is no metric 'latency'; did you mean 'latency_s'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--best", "enrgy_j"),
        "--best: there is no column 'enrgy_j'; did you mean 'energy_j'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--pareto", "latency_s,energy"),
        "--pareto: there is no column 'energy'; did you mean 'energy_j'?",
    ),
    (
        ("sweep", "resnet18", "-d", "tag:fone"),
        "no device has the tag 'fone'; did you mean 'tag:phone'?",
    ),
    (("sweep", "resnet18", "-d", "a1000,h100"), "no device is named 'a1000'; did you mean 'a100'?"),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", ""),
        "--where: an empty condition; expected such as latency_s <= 5 ms",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency_s"),
        "--where:1:1: this is not a condition; expected a comparison, such as latency_s <= 5 ms",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency_s <"),
        "--where:1:12: the condition stops short; expected a column, a number such as 5 ms, or a parenthesis",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency < 3 ms"),
        "--where:1:1: there is no column 'latency'; did you mean 'latency_s'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency_s = 3 ms"),
        "--where:1:11: '=' means nothing here; did you mean '=='?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency_s < 3 GB"),
        "--where:1:11: a time and a size cannot be compared; expected a time on both sides",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency_s < 3 msec"),
        "--where:1:13: 'msec' is not a unit; did you mean '3 ms'?",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency_s < 3 ms and"),
        "--where:1:21: the condition stops short; expected a column, a number such as 5 ms, or a parenthesis",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency_s < 3 ms)"),
        "--where:1:17: ')' does not belong here; expected 'and', 'or', a comparison, or the end",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "latency_s < 3 ms; 4"),
        "--where:1:17: ';' means nothing here; expected columns, numbers, comparisons, 'and', 'or', 'not'",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "__import__('os')"),
        "--where:1:11: '(' does not belong here; expected 'and', 'or', a comparison, or the end",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "device == a100"),
        "--where:1:11: there is no column 'a100'; expected 'a100' in quotes, or a column",
    ),
    (
        ("sweep", "resnet18", "-d", "a100", "--where", "device < 'a100'"),
        "--where:1:1: a text can only be compared with another by == or !=; expected such as device == 'a100'",
    ),
    (
        ("compare", "resnet18", "a100"),
        "only one device is given; expected a workload and two devices",
    ),
    (("compare", "resnet18", "a100", "h101"), "no device is named 'h101'; did you mean 'h100'?"),
    (
        ("compare", "resnet18", "a100", "h100", "--precision", "fp16:fp32:fp8"),
        "--precision: 'fp16:fp32:fp8' is not a pair of values; expected A or A:B",
    ),
    (
        ("solve", "resnet18", "a100"),
        (
            "perfmodel solve: --for is missing; expected a value such as batch\n"
            "perfmodel solve: --until is missing; expected a value such as tpot_s <= 20 ms"
        ),
    ),
    (
        (
            "solve",
            "resnet18",
            "a100",
            "--for",
            "memories.main.bandwith",
            "--until",
            "frames_per_s >= 1",
        ),
        "memories.main.bandwith: no such fact; did you mean 'memories.main.bandwidth'?",
    ),
    (
        ("solve", "resnet18", "a100", "--for", "block", "--until", "frames_per_s >= 1"),
        "block: 'resnet18' has no free dimension 'block'; expected one of batch, height, width, width_multiplier",
    ),
    (
        ("solve", "resnet18", "a100", "--for", "batch", "--until", "frame_per_s >= 3"),
        "--until:1:1: there is no column 'frame_per_s'; did you mean 'frames_per_s'?",
    ),
    (
        (
            "solve",
            "resnet18",
            "a100",
            "--for",
            "batch",
            "--until",
            "frames_per_s >= 3",
            "--set",
            "batch=3",
        ),
        "batch: 'batch' is both set and solved for; expected one of the two",
    ),
    (
        ("validate", "cpu_zen5"),
        "no data set is named 'cpu_zen5'; expected a path to a .csv file, or one of bigmoe_flash_streaming_runs, …; did you mean 'cpu_zen4'?",
    ),
    (("validate", "nosuch.csv"), "nosuch.csv: no such file or directory; expected a readable file"),
    (
        ("validate", "cpu_zen4", "--data", "nosuch"),
        "nosuch: no folder of measured data; expected --data DIR or the environment variable PERFMODEL_DATA, a folder with measured/ and cpu_zen4/",
    ),
    (
        ("hardware", "list", "--tag", "fone"),
        "--tag: no device has the tag 'fone'; did you mean 'phone'?",
    ),
    (
        ("hardware", "list", "--runtimes", "--tag", "fone"),
        "--tag: no runtime has the tag 'fone'; did you mean 'phone'?",
    ),
    (
        ("hardware", "show", "a1000", "--runtime", "ideel"),
        (
            "no device is named 'a1000'; did you mean 'a100'?\n"
            "no runtime is named 'ideel'; did you mean 'ideal'?"
        ),
    ),
    (
        ("hardware", "show", "a100", "--yaml", "--json"),
        "--yaml and --json exclude each other; expected one of them",
    ),
    (("hardware", "diff", "a100", "h101"), "no device is named 'h101'; did you mean 'h100'?"),
    (("hardware", "check", "a1000"), "no device is named 'a1000'; did you mean 'a100'?"),
    (
        ("hardware", "check", "nosuch.yaml"),
        "nosuch.yaml: no such file or directory; expected a readable file",
    ),
    (
        ("workload", "list", "--tag", "llms"),
        "--tag: no workload has the tag 'llms'; did you mean 'llm'?",
    ),
    (("workload", "show", "resnet81"), "no workload is named 'resnet81'; did you mean 'resnet18'?"),
    (
        ("workload", "check", "resnet81"),
        "no workload is named 'resnet81'; did you mean 'resnet18'?",
    ),
    (
        ("workload", "import", "nosuch.onnx"),
        "nosuch.onnx: no such file or directory; expected a readable file",
    ),
    (
        ("format", "show", "q4_k_n"),
        "precision: 'q4_k_n' is not a precision; expected one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8; did you mean 'q4_k_s'?",
    ),
    (
        ("format", "show", "w99a16"),
        "precision: unknown format 'int99'; expected a format such as fp16, int8, int4g128, mxfp4, q4_0 or ternary; did you mean 'int8'?",
    ),
    (
        ("format", "list", "fp16"),
        "perfmodel format list: 'fp16' is one argument too many; expected what 'perfmodel format list --help' shows",
    ),
    (
        ("doctor", "now"),
        "perfmodel doctor: 'now' is one argument too many; expected what 'perfmodel doctor --help' shows",
    ),
]

#: All faults of a command line are told in one go.
SEVERAL = [
    (
        (
            "predict",
            "resnet81",
            "a1000",
            "--set",
            "batch",
            "--set",
            "memories.main.bandwidth=3",
            "--precision",
            "fp61",
            "--runtime",
            "ideel",
            "-o",
            "nowhere/x.jsn",
        ),
        (
            "--set: 'batch' sets nothing; expected NAME=VALUE\n"
            "-o: 'x.jsn' has no suffix that states its format; expected a name that ends in .json or .csv or .parquet or .txt or .html; did you mean 'x.json'?\n"
            "-o: there is no folder 'nowhere'; expected an existing folder\n"
            "no workload is named 'resnet81'; did you mean 'resnet18'?\n"
            "no runtime is named 'ideel'; did you mean 'ideal'?\n"
            "no device is named 'a1000'; did you mean 'a100'?\n"
            "--precision: 'fp61' is not a precision; expected one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8; did you mean 'fp16'?"
        ),
    ),
    (
        (
            "predict",
            "resnet18",
            "a100",
            "--set",
            "bacth=2",
            "--set",
            "memories.man.bandwidth=1 GB/s",
            "--engine",
            "tensr",
            "--model",
            "rooflin",
            "--precision",
            "fp61",
            "--set",
            "weight_bits=x",
        ),
        (
            "bacth: 'resnet18' has no setting 'bacth'; did you mean 'batch'?\n"
            "memories.man.bandwidth: no such fact; did you mean 'memories.main.bandwidth'?\n"
            "--engine: a100 has no engine 'tensr'; expected one of gpu\n"
            "--model: there is no model 'rooflin'; did you mean 'roofline'?\n"
            "--precision: 'fp61' is not a precision; expected one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8; did you mean 'fp16'?\n"
            "weight_bits: x is not a number of bits; expected a number above 0, at most 64"
        ),
    ),
    (
        (
            "predict",
            "resnet18",
            "a100",
            "--presicion",
            "fp16",
            "--rows",
            "x",
            "--json=maybe",
            "one",
            "--frobnicate",
        ),
        (
            "perfmodel predict: 'maybe' does not fit --json; expected true or false\n"
            "perfmodel predict: 'x' does not fit --rows; expected a whole number\n"
            "perfmodel predict: there is no option --presicion; did you mean '--precision'?\n"
            "perfmodel predict: there is no option --frobnicate; expected what 'perfmodel predict --help' shows\n"
            "perfmodel predict: 'one' is one argument too many; expected what 'perfmodel predict --help' shows"
        ),
    ),
    (
        (
            "sweep",
            "resnet81",
            "-d",
            "a1000,tag:fone",
            "--set",
            "batch=8..1",
            "--set",
            "height=nan",
            "--precision",
            "fp61",
            "--where",
            "latency_s < 3 ms; 4",
            "--best",
            "enrgy_j",
            "--executor",
            "proces:2",
            "--metrics",
            "latency_s,energy",
            "--zip",
            "a,b",
            "-o",
            "nowhere/x.txt",
        ),
        (
            "-o: 'x.txt' has no suffix that states its format; expected a name that ends in .csv or .parquet\n"
            "-o: there is no folder 'nowhere'; expected an existing folder\n"
            "--where:1:17: ';' means nothing here; expected columns, numbers, comparisons, 'and', 'or', 'not'\n"
            "--best: there is no column 'enrgy_j'; did you mean 'energy_j'?\n"
            "--executor: there is no executor 'proces:2'; expected serial, process:N with N from 1 to 256, or dask://HOST:PORT; did you mean 'process:2'?\n"
            "no device is named 'a1000'; did you mean 'a100'?\n"
            "no device has the tag 'fone'; did you mean 'tag:phone'?\n"
            "no workload is named 'resnet81'; did you mean 'resnet18'?\n"
            "there is no metric 'energy'; did you mean 'energy_j'?\n"
            "--set: batch: '8..1' is in descending order; expected the smaller end first\n"
            "--zip: there is no axis 'a'; expected one of batch, height, precision\n"
            "--zip: there is no axis 'b'; expected one of batch, height, precision\n"
            "--set: precision: 'fp61' is not a precision; expected one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8; did you mean 'fp16'?"
        ),
    ),
    (
        (
            "solve",
            "resnet81",
            "a1000",
            "--for",
            "x",
            "--until",
            "q >> 3",
            "--precision",
            "fp61",
            "-o",
            "nowhere/x.csv",
        ),
        (
            "-o: there is no folder 'nowhere'; expected an existing folder\n"
            "--until:1:4: '>' is misplaced; expected a column, a number such as 5 ms, or a parenthesis\n"
            "no workload is named 'resnet81'; did you mean 'resnet18'?\n"
            "no device is named 'a1000'; did you mean 'a100'?\n"
            "--precision: 'fp61' is not a precision; expected one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8; did you mean 'fp16'?"
        ),
    ),
    (
        ("hardware", "check", "nosuch.yaml", "a1000", "h101"),
        (
            "nosuch.yaml: no such file or directory; expected a readable file\n"
            "no device is named 'a1000'; did you mean 'a100'?\n"
            "no device is named 'h101'; did you mean 'h100'?"
        ),
    ),
]


@pytest.mark.parametrize(("command", "expected"), [*COMMANDS, *SEVERAL])
def test_a_command_line_is_refused(
    refused: Callable[..., list[str]],
    says: Callable[[list[str], str], None],
    command: tuple[str, ...],
    expected: str,
) -> None:
    says(refused(*command), expected)
