"""Thousands of random ONNX models, sound and just not, and small ones that ask for much work.

Each is read and predicted in a process of limited memory; onnx's own inference says which are
sound and which shapes their values have.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

#: Of each file: seconds of processor time, and bytes of memory of the process that reads it.
MOST_S, MOST_BYTES = 10.0, 2**30

#: Reads files and says of each what came of it.
WORKER = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
import perfmodel
from perfmodel.errors import PerfmodelError
made = []
for file in sys.argv[1:]:
    begin = time.process_time()
    try:
        said = str(perfmodel.predict(file, "a100")) and "predicted"
    except PerfmodelError as error:
        said = "refused: " + str(error)
    except BaseException as error:
        said = "internal error: " + repr(error)
    made.append((file, said, time.process_time() - begin))
# Not ru_maxrss: that starts from what the process had before it became this one.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps([made, int(status["VmHWM"].split()[0]) * 1024]))
"""


def read_all(files: Sequence[Path]) -> dict[str, str]:
    """Return name -> what came of a file, all within the limits."""
    done = subprocess.run(
        [sys.executable, "-c", WORKER, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    made, memory = json.loads(done.stdout)
    assert memory < MOST_BYTES, f"{memory / 2**20:.0f} MiB"
    assert [(Path(f).name, s) for f, s, _ in made if s.startswith("internal error")] == []
    assert [(Path(f).name, t) for f, _, t in made if t > MOST_S] == []
    return {Path(file).name: said for file, said, _ in made}


def campaign(seeds: range, folder: Path) -> None:
    from tests.broken.random_onnx import random_model

    files = [folder / f"r{seed}.onnx" for seed in seeds]
    for seed, file in zip(seeds, files, strict=True):
        file.write_bytes(random_model(seed).SerializeToString())
    said = read_all(files)
    predicted = sum(s == "predicted" for s in said.values())
    assert 0.3 < predicted / len(files) < 0.95  # neither all sound nor all broken


def test_random_models_are_predicted_or_refused(tmp_path: Path) -> None:
    campaign(range(100), tmp_path)


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", range(10))
def test_five_thousand_random_models_are_predicted_or_refused(block: int, tmp_path: Path) -> None:
    campaign(range(500 * block, 500 * (block + 1)), tmp_path)


def agreement(seeds: range, folder: Path) -> None:
    """Shapes are those that onnx infers; what onnx refuses for its shapes is refused."""
    import onnx

    from perfmodel.errors import InputError
    from perfmodel.workload.importers.onnx.graph_build import OnnxBuild
    from perfmodel.workload.importers.onnx.parser import read_onnx
    from perfmodel.workload.symbols import constant
    from tests.broken.random_onnx import random_model

    compared = 0
    for seed in seeds:
        model = random_model(seed)
        file = folder / f"r{seed}.onnx"
        file.write_bytes(model.SerializeToString())
        theirs: Any = None
        reason = ""
        try:
            theirs = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception as error:  # its C++ raises what it likes
            reason = str(error)
        try:
            walked = OnnxBuild(read_onnx(file), "random", {}, {}, {}).walk()
        except InputError:
            continue
        assert theirs is not None or _is_excused(model, reason), (seed, reason)
        made = {e.name: e.shape for e in walked.outputs if e.shape is not None}
        for value in theirs.graph.output if theirs is not None else ():
            kind = value.type.tensor_type
            if value.name not in made or not kind.HasField("shape") or _is_older(model):
                continue
            dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
            here = [constant(d) for d in made[value.name]]
            assert len(here) == len(dims), (seed, value.name, here, dims)
            if 0 not in dims and 0 not in here:  # an empty window is refused later, by its node
                pairs = [(a, b) for a, b in zip(here, dims, strict=True) if None not in (a, b)]
                assert all(a == b for a, b in pairs), (seed, value.name, here, dims)
                compared += 1
    assert compared > len(seeds) / 2


def _is_excused(model: Any, reason: str) -> bool:
    """Whether a model is read although onnx refuses it, for a reason that stands.

    An extent of 0 in an input is what exporters write who know none, so it is free here. What is in
    a body may never run. Extents beyond 32 bits wrap in onnx. Operators are priced whichever
    version of the standard is declared.
    """
    odd = any(
        d.HasField("dim_value") and not 0 < d.dim_value < 2**31
        for v in model.graph.input
        for d in v.type.tensor_type.shape.dim
    )
    bodies = any(a.HasField("g") for n in model.graph.node for a in n.attribute)
    words = (
        "external tensors",
        "No Op registered",
        "No opset import",
        "No schema registered",
        "is not registered",
    )
    return odd or bodies or any(word in reason for word in words)


def _is_older(model: Any) -> bool:
    """Whether onnx itself infers other shapes for it than those that runtimes compute.

    Until version 22 of the standard, a pool that rounds up counted windows that begin in the
    padding; a negative axis of ``Unsqueeze`` was not defined before version 11. Of a transposed
    convolution that pads by itself, onnx takes the kernel into account, the standard does not.
    """
    up = any(
        (a.name == "ceil_mode" and a.i) or (a.name == "auto_pad" and n.op_type == "ConvTranspose")
        for n in model.graph.node
        for a in n.attribute
    )
    return up or model.opset_import[0].version < 11


def test_shapes_and_refusals_are_those_of_onnx(tmp_path: Path) -> None:
    agreement(range(1000, 1150), tmp_path)


@pytest.mark.exhaustive
def test_shapes_and_refusals_are_those_of_onnx_for_thousands(tmp_path: Path) -> None:
    agreement(range(5000), tmp_path)
