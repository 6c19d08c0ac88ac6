"""Sound inputs of every kind, and a command that must refuse what was made of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from perfmodel.cli import main
from tests.broken.model_files import MODELS, SETTINGS

DEVICE = """\
schema_version: 1
name: board
title: A board
tags: [gpu]
year: 2024
default_runtime: ideal
sources:
  sheet: {title: "Data sheet", url: "https://example.org/sheet"}
source: sheet
confidence: datasheet
engines:
  - name: npu
    kind: roofline
    units: 4
    clock: "1 GHz"
    peaks:
      fp16: {value: "2 TFLOP/s", accumulator: fp32}
      int8: "4 TOP/s"
memories:
  - name: sram
    kind: scratchpad
    capacity: "2 MiB"
    bandwidth: "512 B/clock"
    feeds: [npu]
  - name: dram
    kind: dram
    roles: [main]
    capacity: "8 GB"
    bandwidth: "51.2 GB/s"
    sustained_bandwidth: {value: "45 GB/s", confidence: measured}
    latency: "100 ns"
    feeds: [sram]
power: {boundary: board, idle: "2 W", busy: "10 W"}
"""

NETWORK = """\
schema_version: 1
name: net
family: layers
structure:
  parameters: {batch: 1, height: 32, width: 32, channels: 16}
  unit: frames
  inputs:
    image: [batch, 3, height, width]
  layers:
    - {name: stem, op: conv, channels: channels, kernel: 3, stride: 2, padding: 1}
    - {name: stem_relu, op: relu}
    - name: block
      op: repeat
      count: 3
      layers:
        - {name: conv1, op: conv, kernel: 3, padding: 1}
        - {name: add, op: add, inputs: [conv1, stem_relu]}
    - {name: expand, op: conv, channels: 4 * channels, kernel: 1, bias: false}
    - {name: depthwise, op: conv, kernel: 5, padding: same, groups: 4 * channels}
    - {name: pool, op: global_pool}
    - {name: classifier, op: linear, features: 10}
"""

LLM = """\
schema_version: 1
name: llm
family: transformer
structure:
  layers: 4
  width: 512
  heads: 8
  kv_heads: 2
  experts: {count: 8, per_token: 2, ffn_width: 1024}
  vocabulary: 32000
parameters: {batch: 1, context: 2048}
precision: w4a16
sources:
  paper: {title: "A paper", year: 2024}
published: {params: 63000000, source: paper}
"""

CONFIG = """\
{
  "hidden_act": "silu",
  "hidden_size": 512,
  "intermediate_size": 1024,
  "model_type": "llama",
  "num_attention_heads": 8,
  "num_hidden_layers": 4,
  "num_key_value_heads": 2,
  "tie_word_embeddings": false,
  "torch_dtype": "bfloat16",
  "vocab_size": 32000
}
"""

GRAPH = """\
{
 "model": "small",
 "inputs": {"x": [2, 3, 8, 8]},
 "nodes": [
  {"name": "conv", "op": "Conv", "inputs": ["x", "w"], "outputs": ["c"],
   "in_shapes": [[2, 3, 8, 8], [4, 3, 3, 3]], "out_shapes": [[2, 4, 8, 8]],
   "weights": ["w"], "attrs": {"pads": [1, 1, 1, 1]}},
  {"name": "relu", "op": "Relu", "inputs": ["c"], "outputs": ["r"],
   "in_shapes": [[2, 4, 8, 8]], "out_shapes": [[2, 4, 8, 8]]}
 ]
}
"""

SIZES = """\
{
 "name": "three",
 "unit": "KiB",
 "operators": [
  {"name": "x", "inputs": [], "output_size": 4, "free_store": true},
  {"name": "f", "inputs": [0], "output_size": 4, "inplace": 0},
  {"name": "g", "inputs": [0, 1], "output_size": 2}
 ]
}
"""

ROWS = """\
model,device,runtime,precision,batch,latency_s
resnet18,a100,ideal,fp16,1,0.001
resnet18,h100,ideal,fp16,8,0.002
"""


def onnx_model() -> Any:
    """A network with free dimensions, a computed shape and weights."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    def weight(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(np.zeros(shape, np.float32), name)

    def whole(name: str, value: Any) -> Any:
        return numpy_helper.from_array(np.array(value, np.int64), name)

    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["c"], "conv", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["g"], "pool"),
        helper.make_node("Shape", ["g"], ["s"], "shape"),
        helper.make_node("Gather", ["s", "zero"], ["n"], "gather"),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"], "unsqueeze"),
        helper.make_node("Concat", ["n1", "minus"], ["target"], "concat", axis=0),
        helper.make_node("Reshape", ["g", "target"], ["f"], "reshape"),
        helper.make_node("Gemm", ["f", "v", "d"], ["y"], "gemm", transB=1),
    ]
    stored = [
        weight("w", 8, 3, 3, 3),
        weight("b", 8),
        weight("v", 10, 8),
        weight("d", 10),
        whole("zero", 0),
        whole("axes", [0]),
        whole("minus", [-1]),
    ]
    image = helper.make_tensor_value_info(
        "image", TensorProto.FLOAT, ["batch", 3, "height", "width"]
    )
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph(nodes, "small", [image], [result], stored)
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


PROBLEM = """\
schema_version: 1
title: Bits of a small network
workload: mlperf_tiny_vww
device: gemmini_16x16
precision: w8a8
set: {batch: 1, memories.main.bandwidth: "16 GB/s"}
choices:
  weight_bits: {"*": [4, 8], "kind:depthwise": [8]}
share: kind
constraints:
  - latency_s <= 1 s
  - peak_memory_bytes <= 3 MiB
objective: weight_bytes
method: exact
time_limit_s: 5
seed: 1
"""

RUNTIME = """\
schema_version: 1
name: mine
title: A runtime of one's own
tags: [gpu]
source: made
sources:
  made: {title: "Made for a test"}
per_operator: "3 us"
efficiency:
  gemm: 0.8
  conv: {value: 0.6, confidence: estimated}
fusion: {elementwise: true, attention: unfused}
"""

SYSTEM = """\
schema_version: 1
name: two_boards
device: jetson_nano
server: {device: rtx_4090, precision: w16a16}
link:
  kind: wifi
  bandwidth: {value: "20 Mbit/s", source: made}
  latency: {value: "5 ms", confidence: estimated, source: made}
  efficiency: {value: "0.94", confidence: estimated, source: made}
  power_up: {value: "5 W", confidence: estimated, source: made}
sources:
  made: Made for a test
"""

BUFFERS = "id,lower,upper,size\n1,0,3,1024\n2,1,4,2048\n3,3,6,1024\n"

#: Rows of one device, for a calibration.
MINE = "model,device,runtime,precision,batch,latency_s\n" + "".join(
    f"{name},board.yaml,ideal,fp16,{batch},{seconds}\n"
    for name, batch, seconds in (
        ("resnet18", 1, 0.005),
        ("resnet18", 8, 0.03),
        ("vit_b_16", 1, 0.04),
        ("net.yaml", 1, 1e-4),
        ("mobilenet_v2", 1, 0.003),
        ("mobilenet_v2", 4, 0.01),
    )
)

#: File -> its sound content, and the command that reads it.
SOUND: dict[str, tuple[str, tuple[str, ...]]] = {
    "board.yaml": (DEVICE, ("predict", "resnet18", "board.yaml")),
    "net.yaml": (NETWORK, ("predict", "net.yaml", "a100")),
    "llm.yaml": (LLM, ("predict", "llm.yaml", "a100")),
    "config.json": (CONFIG, ("predict", "config.json", "a100")),
    "graph.json": (GRAPH, ("predict", "graph.json", "a100")),
    "sizes.json": (SIZES, ("workload", "show", "sizes.json")),
    "rows.csv": (ROWS, ("validate", "rows.csv")),
    "system.yaml": (SYSTEM, ("split", "resnet18", "--system", "system.yaml")),
    "runtime.yaml": (RUNTIME, ("predict", "resnet18", "a100", "--runtime", "runtime.yaml")),
    "buffers.csv": (BUFFERS, ("allocate", "buffers.csv", "--capacity", "8192")),
    "problem.yaml": (PROBLEM, ("search", "problem.yaml")),
}

#: Commands that write a file, and the ending of one that they write.
_WRITERS = {
    "predict": ".json",
    "sweep": ".csv",
    "compare": ".json",
    "solve": ".json",
    "validate": ".json",
    "search": ".json",
}
_MENDS = ("; expected ", "; did you mean ", "missing key '", "not priced: ")


@cache
def model_bytes(name: str) -> bytes:
    """A sound model file of another tool."""
    return MODELS[name][0]()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in; what is no bad input comes through as an exception."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERFMODEL_DEBUG", "1")
    return tmp_path


@pytest.fixture(scope="session")
def onnx_bytes() -> bytes:
    pytest.importorskip("onnx")
    return onnx_model().SerializeToString()


@pytest.fixture(scope="session")
def tflite_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A network with free dimensions, constants that shapes hang on, and weights."""
    from tests.workload.tflite_file import Writer

    w = Writer()
    c = w.op(
        3,
        1,
        [w.input(-1, -1, -1, 3), w.weight(8, 3, 3, 3), w.weight(8)],
        [(1, 1, 1, 8)],
        {1: ("i", 2), 2: ("i", 2), 3: ("b", 1)},
    )
    m = w.op(40, 27, [c, w.constant(1, 2)], [(1, 8)])
    cut = w.op(
        45,
        32,
        [m, w.constant(0, 0), w.constant(0, 6), w.constant(1, 1)],
        [(1, 6)],
        {0: ("i", 1), 1: ("i", 1)},
    )
    y = w.op(9, 8, [cut, w.weight(10, 6), w.weight(10)], [(1, 10)])
    return w.write(tmp_path_factory.mktemp("tflite") / "net.tflite", y).read_bytes()


@pytest.fixture
def sound(onnx_bytes: bytes, tflite_bytes: bytes) -> Callable[[str], tuple[bytes, tuple[str, ...]]]:
    """The content of a sound file, by name, and the command that reads it."""

    def get(name: str) -> tuple[bytes, tuple[str, ...]]:
        if name == "net.onnx":
            return onnx_bytes, ("predict", "net.onnx", "a100")
        if name == "net.tflite":
            return tflite_bytes, ("predict", "net.tflite", "a100")
        if name in MODELS:
            return model_bytes(name), ("predict", name, "a100", *SETTINGS.get(name, ()))
        text, command = SOUND[name]
        return text.encode(), command

    return get


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and os.access(path, os.R_OK)
    }


@pytest.fixture
def exit_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run ``perfmodel``; its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(
    folder: Path, exit_code: Callable[..., tuple[int, str, str]]
) -> Callable[..., list[str]]:
    """Run a command that must be refused; what it says, a line a fault.

    Each fault says what was expected or what was meant. Nothing is printed on stdout, no file is
    written, and the file that the command would have replaced is as it was.
    """

    def run(*arguments: str) -> list[str]:
        ending = _WRITERS.get(arguments[0]) if arguments else None
        if ending and not {"-o", "--resume"} & {*arguments}:
            (folder / f"kept{ending}").write_text("as it was")
            arguments = (*arguments, "-o", f"kept{ending}")
        before = contents(folder)
        code, out, err = exit_code(*arguments)
        assert (code, out) == (2, ""), err
        assert contents(folder) == before
        lines = err.splitlines()
        assert lines
        for line in lines:
            assert line.startswith("error: ")
            assert any(mend in line for mend in _MENDS), line
        return [line.removeprefix("error: ") for line in lines]

    return run


@pytest.fixture
def mutated(
    folder: Path,
    sound: Callable[[str], tuple[bytes, tuple[str, ...]]],
    refused: Callable[..., list[str]],
) -> Callable[[str, str, str], list[str]]:
    """Write a sound file with one passage changed; what its command says of it."""

    def run(file: str, old: str, new: str) -> list[str]:
        content, command = sound(file)
        assert old in content.decode()
        (folder / file).write_text(content.decode().replace(old, new, 1))
        return refused(*command)

    return run


@pytest.fixture
def says() -> Callable[[Sequence[str], str], None]:
    """Compare what was said with what should be; ``…`` stands for any text in a line."""

    def check(said: Sequence[str], expected: str) -> None:
        wanted = expected.splitlines()
        same = len(said) == len(wanted) and all(
            re.fullmatch(".*".join(map(re.escape, pattern.split("…"))), line)
            for pattern, line in zip(wanted, said, strict=True)
        )
        if not same:
            assert list(said) == wanted

    return check


def as_json(text: str) -> Any:
    """A text of `SOUND` as data."""
    return json.loads(text)
