"""Broken flatbuffers: every one a fault with its byte, or read as what it now is; never more."""

import random
import struct
import tracemalloc
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from perfmodel.errors import InputError
from perfmodel.workload.importers.tflite import load_tflite
from tests.draws import draws, of_draws
from tests.workload.tflite_file import Writer, example


def _real() -> list[bytes]:
    """Two real networks, where their packages are installed: one streams, one has an ``IF``."""
    found: list[bytes] = []
    for package, name in (
        ("pymicro-wakeword", "pymicro_wakeword/models/alexa.tflite"),
        ("silabs-mltk", "mltk/models/tflite_micro/tflite_micro_magic_wand.mltk.zip"),
    ):
        try:
            path = Path(str(distribution(package).locate_file(name)))
        except PackageNotFoundError:
            continue
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                (inner,) = (n for n in archive.namelist() if n.endswith(".tflite"))
                found.append(archive.read(inner))
        else:
            found.append(path.read_bytes())
    return found


GOOD = [example.NETWORKS["kws"](), *_real()]
#: Lengths, offsets and counts that hostile files state.
LENGTHS = (0, 1, 4, 2**16, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)


def _broken(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(GOOD))
    structure = [i for i in range(0, len(data), 4) if any(data[i : i + 4])]
    at = rng.choice(structure)
    match rng.randrange(5):
        case 0:
            return bytes(data[: rng.randrange(len(data))])
        case 1:
            for _ in range(rng.randrange(1, 6)):
                data[rng.choice(structure) + rng.randrange(4)] = rng.randrange(256)
        case 2:
            data[at : at + 4] = struct.pack("<I", rng.choice(LENGTHS))
        case 3:
            del data[at : at + rng.randrange(1, 40)]
        case _:
            data[at:at] = rng.randbytes(rng.randrange(1, 40))
    return bytes(data)


def _load(data: bytes, path: Path) -> str:
    path.write_bytes(data)
    try:
        workload = load_tflite(path)
        graph = workload.graph()
        assert workload.macs >= 0
        assert all(o.accesses or o.kind for _, o in graph.walk())
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("seed", range(4))
def test_broken_bytes_are_faults(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = tmp_path / "broken.tflite"
    said = [_load(_broken(rng), path) for _ in range(draws(125))]
    faults = [text for text in said if text]
    assert len(faults) > of_draws(60)
    # The place in the file, its name and the field that it is of.
    assert all(str(path) in text for text in faults)
    placed = [text for text in faults if "(byte " in text]
    assert len(placed) > 0.6 * len(faults)
    assert all("model" in text for text in placed)


def test_lengths_that_lie_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.tflite"
    good = GOOD[0]
    places = [i for i in range(0, 3000, 4) if any(good[i : i + 4])]
    tracemalloc.start()
    for at in places[::12]:
        _load(good[:at] + struct.pack("<I", 2**31 - 8) + good[at + 4 :], path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6


def test_every_fault_at_once_with_its_byte(tmp_path: Path) -> None:
    w = Writer()
    x = w.input(1, 8)
    y = w.op(9, 8, [x, w.weight(4, 8), 99], [(1, 4)])
    w.net.tensors[x].fields[1] = ("b", 77)
    w.net.tensors[1].fields[0] = example.Numbers("i", [4, 9])
    w.net.tensors[2].fields[2] = ("I", 50)
    path = w.write(tmp_path / "net.tflite", y)
    with pytest.raises(InputError) as caught:
        load_tflite(path)
    fields = [fault.path for fault in caught.value.faults]
    assert fields == [
        f"model.subgraphs[0].tensors[{i}].{name}"
        for i, name in enumerate(("type", "buffer", "buffer"))
    ]
    data = path.read_bytes()
    for fault in caught.value.faults:
        at = int(fault.message.rpartition("byte ")[2].rstrip(")"))
        # Where a table begins, as its own offset back to the vtable says.
        assert 0 <= at - struct.unpack_from("<i", data, at)[0] < len(data)
    assert "'weight_1' has 128 bytes for 36 elements of fp32" in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a TensorFlow Lite model"),
        (b"\x08\0\0\0ONNX", "not a TensorFlow Lite model"),
        (b"\x08\0\0\0TFL3", "not a table"),
        (b"\xff\xff\xff\xffTFL3" + bytes(64), "not a table"),
        (b"\x10\0\0\0TFL3" + bytes(64), "vtable has 0 bytes"),
    ],
)
def test_what_is_no_model(data: bytes, message: str, tmp_path: Path) -> None:
    assert message in _load(data, tmp_path / "none.tflite")


def test_an_offset_that_many_share_is_not_followed_without_end(tmp_path: Path) -> None:
    """Twenty thousand tensors are one table, whose shape has twenty thousand extents."""
    many = 20_000
    tensors = 56
    tensor = tensors + 4 + 4 * many + 8
    data = bytearray(struct.pack("<I4s", 20, b"TFL3"))
    data += struct.pack("<5H2x", 10, 12, 4, 0, 8) + struct.pack("<iII", 12, 3, 32 - 28)
    data += struct.pack("<II", 1, 48 - 36) + struct.pack("<3H2x", 6, 8, 4)
    data += struct.pack("<iI", 8, tensors - 52) + struct.pack("<I", many)
    for i in range(many):
        data += struct.pack("<I", tensor - (tensors + 4 + 4 * i))
    data += struct.pack("<3H2x", 6, 8, 4) + struct.pack("<iI", 8, 4)
    data += struct.pack(f"<I{many}i", many, *[1] * many)
    assert len(data) < 200_000
    assert "again and again" in _load(bytes(data), tmp_path / "net.tflite")


def test_a_subgraph_that_runs_itself(tmp_path: Path) -> None:
    w = Writer()
    x = w.input(1, 8)
    condition = w.op(58, 41, [x, x], [(1, 8)], kind=6)
    y = w.op(118, 92, [condition, x], [(1, 8)], {0: ("i", 0), 1: ("i", 0)})
    workload = load_tflite(w.write(tmp_path / "loop.tflite", y))
    assert any("runs the subgraphs" in text for text in workload.graph().not_priced)


def test_a_file_is_not_touched_by_reading(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(GOOD[0])
    load_tflite(path)
    assert path.read_bytes() == GOOD[0]
    assert [p.name for p in tmp_path.iterdir()] == ["net.tflite"]
