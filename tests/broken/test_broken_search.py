"""Problem files and flags of ``search`` that must be refused: what each is told."""
# ruff: noqa: E501  (each fault reads as it is printed; … stands for a list of names)

from collections.abc import Callable

import pytest

FILES = [
    # Form.
    (
        "precision: w8a8",
        "precison: w8a8",
        "problem.yaml:5:1: precison: unknown key 'precison'; did you mean 'precision'?",
    ),
    ("workload: mlperf_tiny_vww\n", "", "problem.yaml:1:1: missing key 'workload'"),
    ("device: gemmini_16x16\n", "", "problem.yaml:1:1: missing key 'device'"),
    (
        "schema_version: 1",
        "schema_version: 2",
        "problem.yaml:1:17: schema_version: unknown value 2; expected 1",
    ),
    (
        "share: kind",
        "share: kinds",
        "problem.yaml:9:8: share: unknown value 'kinds'; expected one of layer, block, kind, network; did you mean 'kind'?",
    ),
    (
        "method: exact",
        "method: exakt",
        "problem.yaml:14:9: method: unknown value 'exakt'; expected one of auto, exact, exhaustive, evolve; did you mean 'exact'?",
    ),
    (
        "time_limit_s: 5",
        "time_limit_s: 0",
        "problem.yaml:15:15: time_limit_s: 0 is too small; expected a number above 0",
    ),
    (
        "time_limit_s: 5",
        "time_limit_s: 5 s",
        "problem.yaml:15:15: time_limit_s: '5 s' is not a number; expected a number",
    ),
    (
        "seed: 1",
        "seed: 1.5",
        "problem.yaml:16:7: seed: 1.5 is not a whole number; expected a whole number",
    ),
    ("seed: 1", "seed: -1", "problem.yaml:16:7: seed: -1 is too small; expected a number from 0"),
    (
        "  - latency_s <= 1 s",
        "  - 1",
        "problem.yaml:11:5: constraints.0: 1 is not a text; expected a text in quotes",
    ),
    (
        "workload: mlperf_tiny_vww",
        "workload: 3",
        "problem.yaml:3:11: workload: 3 is not a text; expected a text in quotes",
    ),
    (
        '{"*": [4, 8], "kind:depthwise": [8]}',
        "[]",
        "problem.yaml:8:16: choices.weight_bits: no options; expected one at least",
    ),
    (
        '{"*": [4, 8], "kind:depthwise": [8]}',
        "{}",
        "problem.yaml:8:16: choices.weight_bits: no layers; expected layers: options",
    ),
    (
        '{"*": [4, 8], "kind:depthwise": [8]}',
        "[[4]]",
        "problem.yaml:8:17: choices.weight_bits.0: a list is not an option; expected a number or a text",
    ),
    (
        '"kind:depthwise": [8]',
        '"kind:depthwise": [{a: 1}]',
        "problem.yaml:8:49: choices.weight_bits.kind:depthwise.0: a mapping is not an option; expected a number or a text",
    ),
    (
        "{batch: 1,",
        "{batch: [1, 2],",
        "problem.yaml:6:14: set.batch: a list sets nothing; expected one value",
    ),
    # What it says.
    (
        "mlperf_tiny_vww",
        "mlperf_tiny_vw",
        "problem.yaml:3:11: workload: no workload is named 'mlperf_tiny_vw'; did you mean 'mlperf_tiny_vww'?",
    ),
    (
        "gemmini_16x16",
        "gemmini_16x17",
        "problem.yaml:4:9: device: no device is named 'gemmini_16x17'; did you mean 'gemmini_16x16'?",
    ),
    ("w8a8", "w8a77", "problem.yaml:5:12: precision: unknown format 'int77'; …"),
    (
        "batch: 1,",
        "bacth: 1,",
        "problem.yaml:6:7: set.bacth: 'mlperf_tiny_vww' has no setting 'bacth'; did you mean 'batch'?",
    ),
    (
        "main.bandwidth",
        "main.bandwith",
        "problem.yaml:6:17: set.memories.main.bandwith: no such fact; did you mean 'memories.main.bandwidth'?",
    ),
    (
        "16 GB/s",
        "16 GHz",
        "problem.yaml:6:42: set.memories.main.bandwidth: '16 GHz' is a frequency, not a bandwidth; …",
    ),
    (
        "weight_bits: {",
        "weight_bit: {",
        "problem.yaml:8:3: choices.weight_bit: 'weight_bit' is not a choice; …did you mean 'weight_bits'?",
    ),
    (
        "kind:depthwise",
        "kind:depthwize",
        "problem.yaml:8:30: choices.weight_bits.kind:depthwize: 'kind:depthwize' fits no layer; …did you mean 'kind:depthwise'?",
    ),
    ("[4, 8]", "[4, 99]", "problem.yaml:8:26: choices.weight_bits.*[1]: unknown format 'int99'; …"),
    (
        "latency_s <= 1 s",
        "latency_s <= 1 MB",
        "problem.yaml:11:5: constraints[0]: column 11: a time and a size cannot be compared; expected a time on both sides",
    ),
    (
        "latency_s <= 1 s",
        "latncy_s <= 1 s",
        "problem.yaml:11:5: constraints[0]: there is no metric 'latncy_s' in 'latncy_s <= 1 s'; …did you mean 'latency_s'?",
    ),
    (
        "latency_s <= 1 s",
        "latency_s <=",
        "problem.yaml:11:5: constraints[0]: column 13: the condition stops short; …",
    ),
    (
        "objective: weight_bytes",
        "objective: weight_byte",
        "problem.yaml:13:12: objective: there is no objective 'weight_byte'; did you mean 'weight_bytes'?",
    ),
    (
        "objective: weight_bytes",
        "objective: accuracy_drop",
        "problem.yaml:13:12: objective: 'accuracy_drop' needs a source of accuracy, and none is given; expected an accuracy: sqnr of weights, a table, or hawq's traces",
    ),
    ("seed: 1", "engine: mash", "problem.yaml:16:9: engine: gemmini_16x16 has no engine 'mash'; …"),
    (
        "seed: 1",
        "runtime: idael",
        "problem.yaml:16:10: runtime: no runtime is named 'idael'; did you mean 'ideal'?",
    ),
    # The source of accuracy.
    (
        "seed: 1",
        "accuracy: {kind: sqnrr}",
        "problem.yaml:16:18: accuracy.kind: unknown value 'sqnrr'; expected one of sqnr, table, hawq; did you mean 'sqnr'?",
    ),
    (
        "seed: 1",
        "accuracy: {kind: table}",
        "problem.yaml:16:11: accuracy.path: 'table' of which file?; expected a path",
    ),
    (
        "seed: 1",
        "accuracy: {kind: table, path: nosuch.csv}",
        "nosuch.csv: no such file or directory; expected a readable file",
    ),
    (
        "seed: 1",
        "accuracy: {kind: sqnr}",
        "problem.yaml:16:11: accuracy: sqnr needs weights, and the workload is not a file that contains any; expected an .onnx or .safetensors file",
    ),
    (
        "seed: 1",
        "accuracy: {kind: hawq, path: h.csv, calibration: c.csv}",
        "problem.yaml:16:50: accuracy.calibration: 'hawq' has no use for a calibration; expected a calibration with sqnr alone",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), FILES, ids=lambda text: text[:28])
def test_a_problem_file(
    mutated: Callable[[str, str, str], list[str]],
    says: Callable[[list[str], str], None],
    old: str,
    new: str,
    expected: str,
) -> None:
    says(mutated("problem.yaml", old, new), expected)


COMMANDS = [
    (
        ("search", "resnet18"),
        "device: no device; expected a device, or the path of a .yaml file that declares the problem",
    ),
    (("search", "nosuch.yaml"), "nosuch.yaml: no such file or directory; expected a readable file"),
    (
        ("search", "resnet18", "a100"),
        "--choice: nothing is decided; expected such as weight_bits of 2, 4 and 8",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "weight_bits=4,,8"),
        "--choice: weight_bits: '4,,8' has an empty option; expected options with commas between",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "weight_bits:=4"),
        "--choice: 'weight_bits:=4' decides nothing; expected NAME=OPTIONS or NAME:LAYERS=OPTIONS, such as weight_bits=2,4,8",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "weight_bits=4", "--choice", "weight_bits=8"),
        "--choice: 'weight_bits' is given twice; expected all options at once",
    ),
    (
        (
            "search",
            "resnet18",
            "a100",
            "--choice",
            "weight_bits=4",
            "--choice",
            "weight_format=int4",
        ),
        "--choice: weight_format: both weight_bits and weight_format; expected one of them",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "channels=2"),
        "--choice: channels[0]: 2 is not a fraction; expected above 0 and at most 1, of the width",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "sparsity=0,0.5"),
        "--precision: sparsity of weights of no stated format; …",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "kv_bits=4,8"),
        "--choice: kv_bits: 'resnet…' has no KV cache; expected a network with one",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "batch=0,1"),
        "--choice: batch: 0 is not an extent; …",
    ),
    (("search", "fbnt", "a100"), "no workload is named 'fbnt'; did you mean 'fbnet'?"),
    (
        ("search", "fbnet", "a100", "--choice", "weight_bits=4"),
        "--choice: a space has its own choices; expected a network",
    ),
    (("search", "fbnet", "a100", "--set", "dataset=cifar"), "--set: dataset: …"),
    (
        ("search", "fbnet", "a100", "--accuracy", "sqnr:w.onnx"),
        "--accuracy: 'sqnr' knows no architectures; expected a table of architectures and their accuracies",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "weight_bits=4", "--accuracy", "tabel:x.csv"),
        "--accuracy: 'tabel:x.csv' is not a source of accuracy; expected sqnr[:WEIGHTS], table:FILE or hawq:FILE; did you mean 'table:x.csv'?",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "weight_bits=4", "--accuracy", "table"),
        "--accuracy: 'table' names no file; expected table:FILE",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "weight_bits=4", "--calibration", "c.csv"),
        "--calibration: a calibration without accuracy; expected accuracy sqnr[:WEIGHTS]",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "weight_bits=4", "--front"),
        "--front: a front needs a metric to sweep, and there is no constraint; expected a --constraint",
    ),
    (
        (
            "search",
            "resnet18",
            "a100",
            "--choice",
            "weight_bits=4",
            "--constraint",
            "accuracy_drop <= 1",
        ),
        "--constraint: 'accuracy_drop' needs a source of accuracy, and none is given; expected an accuracy: sqnr of weights, a table, or hawq's traces",
    ),
    (
        (
            "search",
            "resnet18",
            "a100",
            "--choice",
            "weight_bits=4",
            "--constraint",
            "latency_s + 1",
        ),
        "--constraint: 'latency_s + 1' limits nothing; expected a metric and a number, such as latency_s <= 5 ms",
    ),
    (
        ("search", "resnet18", "a100", "--choice", "weight_bits=4", "--seed", "x"),
        "perfmodel search: 'x' does not fit --seed; expected a whole number",
    ),
]


@pytest.mark.parametrize(("command", "expected"), COMMANDS, ids=lambda c: " ".join(c)[:60])
def test_a_command_line(
    refused: Callable[..., list[str]],
    says: Callable[[list[str], str], None],
    command: tuple[str, ...],
    expected: str,
) -> None:
    says(refused(*command), expected)


def test_many_faults_of_a_file_at_once(refused: Callable[..., list[str]], folder: object) -> None:
    from pathlib import Path

    Path("p.yaml").write_text(
        "workload: resnet18\n"
        "device: a100\n"
        "settings: {bacth: 2, memories.main.bandwith: 3 GB/s}\n"
        "choices:\n"
        "  weight_bits: {layer9.*: [4], '*': [4, 77]}\n"
        "  wight: [3]\n"
        "  memories.main.bandwidth: [1 GHz]\n"
        "constraints: [latency_s <= 3 B, nothing <= 2]\n"
        "objective: latency\n"
    )
    said = refused("search", "p.yaml")
    assert [line.split(": ")[0].removeprefix("p.yaml:") for line in said] == [
        "3:12",
        "3:22",
        "5:17",
        "5:41",
        "6:3",
        "7:28",
        "8:15",
        "8:33",
        "9:12",
    ]
