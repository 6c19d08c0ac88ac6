"""Write small ``.tflite`` files: the writer of ``examples/make_tflite.py``, as tests use it."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

_PATH = Path(__file__).resolve().parents[2] / "examples" / "make_tflite.py"


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_tflite", _PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["make_tflite"] = module
    spec.loader.exec_module(module)
    return module


example = _example()

FP32, FP16, INT32, INT8, INT16 = 0, 1, 2, 9, 7
_BYTES = {FP32: 4, FP16: 2, INT32: 4, INT8: 1, INT16: 2}


class Writer:
    """A network of fp32, operator by operator; `write` puts it in a file."""

    def __init__(self) -> None:
        self.net = example.Network()
        self.inputs: list[int] = []
        self.signatures: dict[int, tuple[int, ...]] = {}

    def input(self, *shape: int, kind: int = FP32) -> int:
        """Add an input; -1 leaves an extent open, which is 1 in the shape."""
        at = self.net.tensor(f"input_{len(self.inputs)}", tuple(abs(d) for d in shape), kind)
        if -1 in shape:
            self.net.tensors[at].fields[7] = example.Numbers("i", list(shape))
        self.inputs.append(at)
        return at

    def constant(self, *numbers: int) -> int:
        """Add a constant of whole numbers."""
        content = np.array(numbers, np.int32).tobytes()
        return self.net.tensor(f"constant_{len(self.net.tensors)}", (len(numbers),), INT32, content)

    def weight(self, *shape: int, kind: int = FP32) -> int:
        """Add weights of zero; of huge ones the test says where they lie."""
        size = int(np.prod(shape)) * _BYTES[kind] if np.prod(shape) < 2**28 else 0
        return self.net.tensor(f"weight_{len(self.net.tensors)}", shape, kind, bytes(size))

    def state(self, *shape: int) -> int:
        """Add a variable: content kept from one run to the next."""
        at = self.net.tensor(f"state_{len(self.net.tensors)}", shape, FP32)
        self.net.tensors[at].fields[5] = ("?", True)
        return at

    def op(
        self,
        code: int | str,
        union: int,
        inputs: list[int],
        shapes: list[tuple[int, ...]],
        options: dict[int, object] | None = None,
        kind: int = FP32,
    ) -> int:
        """Add an operator by its number (a custom one by its name) and that of its options.

        Returns
        -------
        int
            Its first output.
        """
        if code not in self.net.codes:
            self.net.codes.append(code)
        made = [
            self.net.tensor(f"made_{len(self.net.tensors)}_{i}", shape, kind)
            for i, shape in enumerate(shapes)
        ]
        number = example.Numbers
        fields = {
            0: ("I", self.net.codes.index(code)),
            1: number("i", inputs),
            2: number("i", made),
        }
        if union:
            fields |= {3: ("B", union), 4: example.Table(options or {})}
        self.net.operators.append(example.Table(fields))
        return made[0] if made else -1

    def write(self, path: Path, *outputs: int) -> Path:
        """Write the file."""
        number, table = example.Numbers, example.Table
        graph = table(
            {
                0: list(self.net.tensors),
                1: number("i", self.inputs),
                2: number("i", list(outputs)),
                3: list(self.net.operators),
                4: "main",
            }
        )
        codes = [
            table(
                {0: ("b", 32), 1: c} if isinstance(c, str) else {0: ("b", min(c, 127)), 3: ("i", c)}
            )
            for c in self.net.codes
        ]
        model = table({0: ("I", 3), 1: codes, 2: [graph], 3: "", 4: list(self.net.buffers)})
        path.write_bytes(example.flatbuffer(model, b"TFL3"))
        return path
