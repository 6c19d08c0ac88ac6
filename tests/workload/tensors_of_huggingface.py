"""Names and shapes of the tensors of published models, as their own classes make them.

``tests/data/tensors_of_huggingface.json`` was written by transformers 5.24 on torch's meta device
from the configs in ``tests/data/huggingface``, with the names that the converter of llama.cpp has
for them (``gguf`` 0.19, ``get_tensor_name_map``; empty where it has none): name with N for the
layer, shape, GGUF's name, runs of layers.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "data"
TENSORS: dict[str, list[Any]] = json.loads((DATA / "tensors_of_huggingface.json").read_text())
BYTES = {"BF16": 2, "F16": 2, "F32": 4, "I32": 4, "U8": 1, "F8_E4M3": 1}


def tensors(model: str) -> Iterator[tuple[str, list[int], str]]:
    """Yield name, shape and GGUF's name of every tensor."""
    for name, shape, gguf, runs in TENSORS[model]:
        for first, last in runs:
            for i in range(first, last + 1):
                yield name.replace(".N.", f".{i}."), shape, gguf.replace("blk.N.", f"blk.{i}.")


def config(model: str) -> str:
    return (DATA / "huggingface" / f"{model}.config.json").read_text()


def write(path: Path, held: Mapping[str, tuple[str, list[int]]]) -> int:
    """Write a safetensors header over a sparse file; return the bytes of its tensors."""
    at, header = 0, {}
    for name, (dtype, shape) in held.items():
        end = at + prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(raw)) + raw)
        stream.truncate(8 + len(raw) + at)
    return at
