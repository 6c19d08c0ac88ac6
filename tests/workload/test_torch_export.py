"""Programs of torch.export, against what torch counts (tests/data/write_torch_export.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.workload.importers.torch_export.extent_expressions import (
    ExpressionError,
    parse_extent,
)
from perfmodel.workload.symbols import evaluate

HERE = Path(__file__).parent.parent / "data" / "torch_export"
EXAMPLES = Path(__file__).parent.parent.parent / "examples"
COUNTS: dict[str, Any] = json.loads((HERE / "counts.json").read_text())
NETWORKS = [name for name, count in COUNTS.items() if isinstance(count, dict)]

#: Exported with two images; their batch is free, and 1 where nothing is said.
FREE = {"resnet18", "resnet18_core", "mobilenet_v2", "efficientnet_b0"}


def _file(name: str) -> Path:
    places = (HERE / f"{name}.pt2", EXAMPLES / f"{name}.pt2")
    return next(path for path in places if path.exists())


@pytest.mark.parametrize("name", NETWORKS)
def test_as_many_parameters_and_as_much_work_as_torch_counts(name: str) -> None:
    workload = pm.workload(_file(name), **({"batch": 2} if name in FREE else {}))
    assert workload.not_priced == ()
    assert workload.weights == COUNTS[name]["parameters"]
    if name == "recurrent":  # FlopCounterMode leaves recurrent layers out
        steps = 2 * 12
        lstm = 2 * steps * (4 * 24 * (16 + 24) + 4 * 24 * (48 + 24))
        assert workload.macs == lstm + steps * 3 * 8 * (48 + 8) + 2 * 8 * 4
    else:
        assert workload.macs == COUNTS[name]["macs"]


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("resnet18", "resnet18"),
        ("mobilenet_v2", "mobilenet_v2"),
        ("efficientnet_b0", "efficientnet_b0"),
        ("vit_b_16", "vit_b_16"),
        ("swin_t", "swin_tiny"),
    ],
)
def test_costs_as_the_same_network_of_the_library(name: str, own: str) -> None:
    imported = pm.workload(_file(name), **({"batch": 2} if name in FREE else {}))
    known = pm.workload(own, batch=2)
    assert imported.weights == known.weights
    assert imported.macs == known.macs
    a, b = (pm.predict(w, "rtx_4090", precision="fp16", runtime="ideal") for w in (imported, known))
    # A transformer of torch rounds and scales where the library's family has one kernel.
    near = 0.15 if own in {"vit_b_16", "swin_tiny"} else 1e-9
    assert a.latency_s == pytest.approx(b.latency_s, rel=near)


def test_core_operators_are_the_same_network() -> None:
    """After ``run_decompositions``: ``addmm`` of a turned weight, ``convolution``, tuples."""
    plain, core = (pm.workload(_file(f"resnet18{end}")) for end in ("", "_core"))
    assert (plain.weights, plain.macs) == (core.weights, core.macs)
    times = [pm.predict(w, "jetson_agx_orin", precision="fp16").latency_s for w in (plain, core)]
    assert times[0] == times[1]


def test_a_part_without_gradients_stands_where_it_is_run() -> None:
    operators = [o.name for _, o in pm.workload(_file("frozen")).graph().walk()]
    assert len(operators) == len(set(operators)) == 7  # three products, relu, a view, two sums


def test_a_free_batch_takes_an_array() -> None:
    workload = pm.workload(_file("mobilenet_v2"), batch=[1, 8])
    assert list(workload.macs) == [300_774_272, 8 * 300_774_272]
    with pytest.raises(InputError, match="did you mean 'batch'"):
        pm.workload(_file("mobilenet_v2"), bach=2)


def test_expressions_of_extents() -> None:
    names = {"s0": "batch"}

    def value(text: str, batch: int) -> Any:
        return evaluate(parse_extent(text, names), {"batch": batch})

    s = "Symbol('s0', positive=True, integer=True)"
    assert value(f"Add(Mul(Integer(2), {s}), Integer(-1))", 5) == 9
    assert value(f"FloorDiv(Add({s}, Integer(-1)), Integer(2))", 8) == 3
    assert value(f"Max(Integer(1), {s})", 7) == 7
    assert value(f"Pow({s}, Integer(2))", 7) == 49
    for bad in ("__import__('os').system('true')", f"Mod({s}, Integer(2))", "Add(" * 3000, "1.5"):
        with pytest.raises(ExpressionError):
            parse_extent(bad, names)


def test_a_program_in_memory_is_that_of_its_file() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: only files are tested")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
            self.head = torch.nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            with torch.no_grad():  # a graph inside the graph
                y = self.conv(x).relu()
            return self.head(y.mean((2, 3)))

    free = {"x": {0: torch.export.Dim("n", min=1, max=64)}}
    program = torch.export.export(Net(), (torch.zeros(2, 3, 16, 16),), dynamic_shapes=free)
    workload = pm.workload(program, batch=3)
    assert workload.weights == 8 * 27 + 8 + 8 * 5 + 5
    assert workload.macs == 3 * (16 * 16 * 8 * 27 + 40)
    assert workload.not_priced == ()
    assert pm.predict(program, "rtx_4090", precision="fp16").latency_s > 0


def test_what_is_no_model_is_a_fault() -> None:
    thing: Any = 3.5
    with pytest.raises(InputError, match="a float is not a workload"):
        pm.workload(thing)
