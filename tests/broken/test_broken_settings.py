"""Command lines of predict that must be refused: what each is told."""
# ruff: noqa: E501  (each fault reads as it is printed; … stands for a list of names)

from collections.abc import Callable

import pytest

COMMANDS = [
    (
        ("predict",),
        (
            "perfmodel predict: WORKLOAD is missing; expected a value such as resnet50\n"
            "perfmodel predict: DEVICE is missing; expected a value such as jetson_agx_orin"
        ),
    ),
    (
        ("predict", "resnet18"),
        "perfmodel predict: DEVICE is missing; expected a value such as jetson_agx_orin",
    ),
    (
        ("predict", "resnet18", "a100", "h100"),
        "perfmodel predict: 'h100' is one argument too many; expected what 'perfmodel predict --help' shows",
    ),
    (
        ("predict", "resnet18", "a100", "--presicion", "fp16"),
        "perfmodel predict: there is no option --presicion; did you mean '--precision'?",
    ),
    (
        ("predict", "resnet18", "a100", "--precision"),
        "perfmodel predict: --precision has no value; expected --precision VALUE",
    ),
    (
        ("predict", "resnet18", "a100", "--rows", "x"),
        "perfmodel predict: 'x' does not fit --rows; expected a whole number",
    ),
    (
        ("predict", "resnet18", "a100", "--rows", "-3"),
        "perfmodel predict: '-3' does not fit --rows; expected a whole number from 0",
    ),
    (
        ("predict", "resnet18", "a100", "--rows", "1", "--rows", "2"),
        "perfmodel predict: --rows contradicts what is given before it; expected each option once",
    ),
    (
        ("predict", "resnet18", "a100", "--json=maybe"),
        "perfmodel predict: 'maybe' does not fit --json; expected true or false",
    ),
    (
        ("predict", "resnet18", "a100", "--fuse", "--no-fuse"),
        "perfmodel predict: --no-fuse contradicts what is given before it; expected each option once",
    ),
    (("predct",), "perfmodel has no command 'predct'; did you mean 'predict'?"),
    (("hardware", "shw"), "perfmodel hardware has no command 'shw'; did you mean 'show'?"),
    (("--versoin",), "perfmodel has no option '--versoin'; did you mean '--version'?"),
    (
        ("hardware", "schema", "devise"),
        "kind: there is no schema of 'devise'; did you mean 'device'?",
    ),
    (("predict", "resnet81", "a100"), "no workload is named 'resnet81'; did you mean 'resnet18'?"),
    (("predict", "resnet18", "a1000"), "no device is named 'a1000'; did you mean 'a100'?"),
    (("predict", "llama_3", "orin"), "no workload is named 'llama_3'; did you mean 'llama_3_8b'?"),
    (
        ("predict", "", ""),
        (
            "no workload is named ''; expected a path (.yaml, …), or one of …\n"
            "no device is named ''; expected a path to a .yaml file, or one of …"
        ),
    ),
    (
        ("predict", "resnet18", "a100", "--precision", "fp61"),
        "--precision: 'fp61' is not a precision; expected one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8; did you mean 'fp16'?",
    ),
    (
        ("predict", "resnet18", "a100", "--precision", "w4b16"),
        "--precision: 'w4b16' is not a precision; expected one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8; did you mean 'w4a16'?",
    ),
    (
        ("predict", "resnet18", "a100", "--precision", "w=int99,a=fp61"),
        (
            "--precision: unknown format 'int99'; expected a format such as fp16, int8, int4g128, mxfp4, q4_0 or ternary; did you mean 'int8'?\n"
            "--precision: unknown format 'fp61'; expected a format such as fp16, int8, int4g128, mxfp4, q4_0 or ternary; did you mean 'fp16'?"
        ),
    ),
    (
        ("predict", "resnet18", "a100", "--runtime", "ideel"),
        "no runtime is named 'ideel'; did you mean 'ideal'?",
    ),
    (
        ("predict", "resnet18", "a100", "--engine", "tensr"),
        "--engine: a100 has no engine 'tensr'; expected one of gpu",
    ),
    (
        ("predict", "resnet18", "a100", "--model", "rooflin"),
        "--model: there is no model 'rooflin'; did you mean 'roofline'?",
    ),
    (
        ("predict", "resnet18", "a100", "--runtime", "x_cube_ai"),
        "--runtime: runtime x_cube_ai drives an engine 'cpu', which a100 lacks; expected one of gpu (no tags)",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch"),
        "--set: 'batch' sets nothing; expected NAME=VALUE",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "=3"),
        "--set: '=3' sets nothing; expected NAME=VALUE",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch="),
        "--set: 'batch=' sets nothing; expected NAME=VALUE",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=0"),
        "batch: 0 is not an extent; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=-1"),
        "batch: -1 is not an extent; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=nan"),
        "batch: 'nan' is not a number; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=1e300"),
        "batch: 1e+300 is not an extent; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=10**400"),
        "batch: inf is not an extent; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=many"),
        "batch: 'many' is not a number; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=1,2"),
        "--set: batch: '1,2' is a list; expected one value; `perfmodel sweep` takes lists and ranges",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=1..8"),
        "--set: batch: '1..8' is a list; expected one value; `perfmodel sweep` takes lists and ranges",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "batch=1", "--set", "batch=2"),
        "--set: 'batch' is set twice; expected one value; `perfmodel sweep` takes lists",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "bacth=2"),
        "bacth: 'resnet18' has no setting 'bacth'; did you mean 'batch'?",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "device=h100"),
        "device: 'device' cannot be set here; expected the device as an argument, or a sweep",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.man.bandwidth=3 GB/s"),
        "memories.man.bandwidth: no such fact; did you mean 'memories.main.bandwidth'?",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.main.bandwith=3 GB/s"),
        "memories.main.bandwith: no such fact; did you mean 'memories.main.bandwidth'?",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.main.bandwidth=3 GHz"),
        "memories.main.bandwidth: '3 GHz' is a frequency, not a bandwidth; expected a bandwidth with its unit, such as \"51.2 GB/s\"",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.main.bandwidth=0"),
        "memories.main.bandwidth: 0 B/s is zero; expected a bandwidth above zero",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.main.bandwidth=-5 GB/s"),
        "memories.main.bandwidth: -5 GB/s is negative; expected a bandwidth above zero",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.main.bandwidth=inf GB/s"),
        "memories.main.bandwidth: 'inf GB/s' is not a bandwidth; expected a bandwidth with its unit, such as \"51.2 GB/s\"",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.main.bandwidth=1e30 GB/s"),
        "memories.main.bandwidth: 1e+21 EB/s is absurd; expected at most 1 EB/s",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.main.bandwidth=1e-40"),
        "memories.main.bandwidth: 1e-40 B/s is absurdly small; expected zero, or at least 1e-30 B/s",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "runtime.efficiency.gemm=0"),
        "runtime.efficiency.gemm: 0 is zero; expected a fraction above zero",
    ),
    (
        ("predict", "llama_3_8b", "a100", "--set", "free=-1", "--set", "width=2000.5"),
        "free: -1 is not a list; expected a list",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "width=many", "--set", "groups=2"),
        (
            "groups: basic blocks have no 'groups'; expected block: bottleneck\n"
            "width: 'many' is not a number; expected a number above 0, at most 1e+12, or an array of them"
        ),
    ),
    (
        ("predict", "resnet18", "a100", "--set", "memories.main.kind=dram"),
        "memories.main.kind: no such fact; expected one of memories.main.capacity, memories.main.reserved, memories.main.bandwidth, memories.main.sustained_fraction, memories.main.latency, memories.main.energy_per_byte",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "weight_bits=0"),
        "weight_bits: 0 is not a number of bits; expected a number above 0, at most 64",
    ),
    (
        ("predict", "resnet18", "a100", "--set", "precision=fp16", "--precision", "fp32"),
        "precision: 'precision' is given twice: fp32 and fp16; expected one of them",
    ),
    (
        ("predict", "llama_3_8b", "a100", "--set", "phase=prefil"),
        "phase: unknown value 'prefil'; expected one of decode, prefill, extend, request, encode; did you mean 'prefill'?",
    ),
    (
        ("predict", "llama_3_8b", "a100", "--set", "layers=0"),
        "layers: 0 is too small; expected a number above 0",
    ),
    (
        ("predict", "llama_3_8b", "a100", "--set", "heads=7"),
        (
            "kv_heads: 7 heads do not divide by 8 key and value heads; expected a divisor of 7; did you mean '7'?\n"
            "heads: a width of 4096 does not divide by 7 heads; expected a divisor of 4096, or 'head_dim'; did you mean '8'?"
        ),
    ),
    (
        ("predict", "llama_3_8b", "a100", "--set", "prompt=100"),
        "prompt: 'prompt' is free in another phase; expected phase prefill or extend or request; did you mean 'phase=prefill'?",
    ),
    (
        ("predict", "llama_3_8b", "a100", "--set", "experts.per_token=3"),
        ("experts: missing key 'count'\nexperts: missing key 'ffn_width'"),
    ),
]


@pytest.mark.parametrize(("command", "expected"), COMMANDS)
def test_a_command_line_is_refused(
    refused: Callable[..., list[str]],
    says: Callable[[list[str], str], None],
    command: tuple[str, ...],
    expected: str,
) -> None:
    says(refused(*command), expected)
