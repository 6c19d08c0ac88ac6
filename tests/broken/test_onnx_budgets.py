"""Small ONNX files that ask for much, that no runtime runs, or that are sound and odd."""

from __future__ import annotations

import cProfile
import json
import pstats
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError, nearest, printable

onnx = pytest.importorskip("onnx")
H, NH = onnx.helper, onnx.numpy_helper
FLOAT, INT64, BOOL = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL

Saved = Callable[..., Path]


def _info(name: str, shape: Any, kind: int = FLOAT) -> Any:
    return H.make_tensor_value_info(name, kind, shape)


def _whole(name: str, values: Any) -> Any:
    return NH.from_array(np.array(values, np.int64), name)


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Return what writes a model of nodes that make ``y`` from ``x``."""

    def save(
        nodes: Sequence[Any],
        shape: Sequence[Any] = (1, 8, 16, 32),
        stored: Sequence[Any] = (),
        functions: Sequence[Any] = (),
        opset: int = 17,
    ) -> Path:
        graph = H.make_graph(nodes, "g", [_info("x", shape)], [_info("y", None)], list(stored))
        sets = [H.make_opsetid("", opset), H.make_opsetid("f", 1)]
        model = H.make_model(graph, opset_imports=sets, ir_version=8, functions=list(functions))
        path = tmp_path / "m.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return save


def _then_relu(op: str, inputs: Sequence[str], **attributes: Any) -> list[Any]:
    return [H.make_node(op, inputs, ["r"], **attributes), H.make_node("Relu", ["r"], ["y"])]


#: Nodes, shape of x, stored numbers -> what the fault says of the node.
INVALID: list[tuple[list[Any], Sequence[int], list[Any], str]] = [
    (_then_relu("DepthToSpace", ["x"], blocksize=2**31), (1, 8, 16, 32), [], "extent of 8"),
    (_then_relu("DepthToSpace", ["x"], blocksize=3), (1, 8, 16, 32), [], "blocks of 9"),
    (_then_relu("SpaceToDepth", ["x"], blocksize=3), (1, 8, 16, 32), [], "blocks of 3"),
    (_then_relu("Reshape", ["x", "k"]), (1, 8), [_whole("k", [-7, 4])], "extent of -7"),
    (_then_relu("Reshape", ["x", "k"]), (1, 8), [_whole("k", [-1, -1])], "left open"),
    (_then_relu("Reshape", ["x", "k"]), (1, 8), [_whole("k", [3, -1])], "divided"),
    (_then_relu("Reshape", ["x", "k"]), (1, 8), [_whole("k", [3, 3])], "8 elements"),
    ([H.make_node("TopK", ["x", "k"], ["y", "z"], axis=1)], (1, 8), [_whole("k", [9])], "first 9"),
    (
        [H.make_node("Split", ["x", "k"], ["y", "z"], axis=1)],
        (1, 8),
        [_whole("k", [3, 4])],
        "parts of 7",
    ),
    (_then_relu("Concat", ["x", "w"], axis=0), (2, 8), [_whole("w", [[1, 2]])], "axis 1"),
    (_then_relu("Transpose", ["x"], perm=[0, 0]), (2, 8), [], "not a permutation"),
    (_then_relu("Softmax", ["x"], axis=2), (2, 8), [], "no axis 2"),
    (_then_relu("Gather", ["x", "k"], axis=1), (2, 8), [_whole("k", [8])], "index of 8"),
    (_then_relu("Expand", ["x", "k"]), (2, 8), [_whole("k", [-2, 8])], "extent of -2"),
    (_then_relu("Tile", ["x", "k"]), (2, 8), [_whole("k", [1, -1])], "negative"),
    (_then_relu("Pad", ["x", "k"]), (2, 8), [_whole("k", [0, 0, -3, 0])], "extent of -1"),
    (_then_relu("MaxPool", ["x"], kernel_shape=[9]), (1, 2, 8), [], "extent of 0"),
    (_then_relu("MaxPool", ["x"], kernel_shape=[2], pads=[2, 2]), (1, 2, 8), [], "padding of 2"),
    (
        _then_relu("Conv", ["x", "w"], group=3),
        (1, 6, 8),
        [NH.from_array(np.zeros((4, 2, 1), np.float32), "w")],
        "4 channels in 3 groups",
    ),
    (
        _then_relu("MatMul", ["x", "w"]),
        (1, 6),
        [NH.from_array(np.zeros((4, 2), np.float32), "w")],
        "inner extents differ: 6 and 4",
    ),
    (
        _then_relu("Add", ["x", "w"]),
        (1, 6),
        [NH.from_array(np.zeros(4, np.float32), "w")],
        "broadcast",
    ),
    (_then_relu("Einsum", ["x", "x"], equation="ij,jk->ik"), (2, 3), [], "index 'j'"),
    (_then_relu("Relu", ["x", "x"]), (2, 3), [], "2 inputs"),
    (_then_relu("Flatten", ["x"], axes=1), (2, 3), [], "no attribute is named 'axes'"),
    (_then_relu("Flatten", ["x"], axis="1"), (2, 3), [], "'axis' is a text"),
    (_then_relu("Concat", ["x", "x"]), (2, 3), [], "'axis' is missing"),
]


@pytest.mark.parametrize("case", range(len(INVALID)))
def test_what_no_runtime_runs_is_refused_by_its_node(case: int, saved: Saved) -> None:
    nodes, shape, stored, said = INVALID[case]
    with pytest.raises(InputError) as refused:
        pm.workload(saved(nodes, shape, stored))
    assert said in str(refused.value)
    assert nodes[0].op_type in str(refused.value)


@pytest.mark.parametrize("equation", ["bi,bj->bij", "bi,bi->", "bi,bi->bi"])
def test_a_product_of_a_tensor_with_itself(equation: str, saved: Saved) -> None:
    made = pm.workload(saved([H.make_node("Einsum", ["x", "x"], ["y"], equation=equation)], (4, 8)))
    assert made.macs == (4 * 8 * 8 if "j" in equation else 4 * 8)


def test_empty_tensors_and_loops_that_never_run_take_no_work(saved: Saved) -> None:
    cut = H.make_node("Slice", ["x", "a", "a", "a"], ["r"])
    alone = [cut, H.make_node("Relu", ["r"], ["y"])]
    with pytest.raises(InputError, match="computes nothing"):
        pm.predict(saved(alone, (4, 8), [_whole("a", [0])]), "a100")
    beside = [
        *alone[:1],
        H.make_node("Relu", ["r"], ["e"]),
        H.make_node("Exp", ["x"], ["p"]),
        H.make_node("Concat", ["p", "e"], ["y"], axis=0),
    ]
    bare = [H.make_node("Exp", ["x"], ["p"]), H.make_node("Concat", ["p"], ["y"], axis=0)]
    with_empty = pm.predict(saved(beside, (4, 8), [_whole("a", [0])]), "a100")
    without = pm.predict(saved(bare, (4, 8)), "a100")
    assert with_empty.latency_s == pytest.approx(without.latency_s, rel=1e-9)
    body = H.make_graph(
        [H.make_node("Identity", ["c"], ["d"]), H.make_node("Exp", ["v"], ["o"])],
        "b",
        [_info("i", [], INT64), _info("c", [], BOOL), _info("v", [4, 8])],
        [_info("d", [], BOOL), _info("o", [4, 8])],
    )
    latencies: list[Any] = []
    for trips in (0, 3):
        nodes = [
            H.make_node("Loop", ["n", "", "x"], ["l"], body=body),
            H.make_node("Exp", ["x"], ["y"]),
        ]
        nodes[1].input[0] = "l"
        latencies.append(pm.predict(saved(nodes, (4, 8), [_whole("n", trips)]), "a100").latency_s)
    assert latencies[1] == pytest.approx(4 * latencies[0], rel=1e-6)


def test_numbers_that_grow_without_bound_stop_at_64_bits(saved: Saved) -> None:
    nodes = [H.make_node("Shape", ["x"], ["q"])]
    for i in range(30):
        nodes.append(H.make_node("Mul", [nodes[-1].output[0]] * 2, [f"q{i}"]))
    nodes += [H.make_node("Expand", ["x", "q29"], ["r"]), H.make_node("Relu", ["r"], ["y"])]
    with pytest.raises(InputError, match="64 bits"):
        pm.workload(saved(nodes))
    # Powers of a free extent are given up: its number decides, and one may be too large.
    path = saved(nodes, ("n",))
    assert "n" in str(pm.workload(path).notes)
    with pytest.raises(InputError, match="64 bits"):
        pm.workload(path, n=3)


def _functions(depth: int, last: str) -> list[Any]:
    sets = [H.make_opsetid("", 17), H.make_opsetid("f", 1)]

    def one(i: int, callee: str, domain: str) -> Any:
        twice = [
            H.make_node(callee, ["a"], ["t"], domain=domain),
            H.make_node(callee, ["t"], ["b"], domain=domain),
        ]
        return H.make_function("f", f"F{i}", ["a"], ["b"], twice, sets)

    inner = [one(i, f"F{i + 1}", "f") for i in range(depth)]
    return [*inner, one(depth, last, "" if last == "Relu" else "f")]


def test_functions_are_counted_before_they_are_written_out(saved: Saved) -> None:
    call = [H.make_node("F0", ["x"], ["y"], domain="f")]
    with pytest.raises(InputError, match=r"1,099,511,627,776 nodes; expected at most 100,000"):
        pm.workload(saved(call, functions=_functions(39, "Relu")))
    with pytest.raises(InputError, match="call themselves"):
        pm.workload(saved(call, functions=_functions(3, "F0")))
    small = pm.workload(saved(call, (1, 8), functions=_functions(3, "Relu")))
    assert sum(len(b.operators) for b in small.graph().blocks) == 2**4


def test_only_the_bytes_that_functions_add_count(saved: Saved) -> None:
    """A comment of 1 MiB in each of 2**8 inlined nodes; the own node of the file has 20 MiB."""
    functions = _functions(8, "Relu")
    functions[-1].node[0].doc_string = "x" * 2**20
    call = [H.make_node("F0", ["x"], ["y"], domain="f", doc_string="x" * (20 * 2**20))]
    with pytest.raises(InputError, match=r"add 257 MiB; expected at most 64 MiB"):
        pm.workload(saved(call, (1, 8), functions=functions))


def _calls(path: Path) -> int:
    """Return how many functions Python calls to predict a file: work that no clock disturbs."""
    profile = cProfile.Profile()
    profile.enable()
    with suppress(InputError):
        str(pm.predict(path, "a100"))
    profile.disable()
    return int(pstats.Stats(profile).total_calls)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", ["chain", "unknown", "branches", "attributes"])
def test_work_grows_with_the_file_and_no_faster(kind: str, saved: Saved) -> None:
    def nodes(count: int) -> list[Any]:
        made: list[Any] = []
        for i in range(count):
            at, to = "x" if i == 0 else f"t{i - 1}", f"t{i}" if i < count - 1 else "y"
            if kind == "unknown":
                made.append(H.make_node("Relu", [f"unknown_{i}"], [to]))
            elif kind == "branches":
                body = H.make_graph([H.make_node("Relu", [at], ["o"])], "b", [], [_info("o", None)])
                made.append(H.make_node("If", ["c"], [to], then_branch=body, else_branch=body))
            elif kind == "attributes":
                made.append(H.make_node("LeakyRelu", [at], [to], alpha=0.1))
            else:
                made.append(H.make_node("Relu", [at], [to]))
        return made

    stored = [NH.from_array(np.array(True), "c")] if kind == "branches" else []
    _calls(saved(nodes(10), (1, 8), stored))
    small, large = (_calls(saved(nodes(n), (1, 8), stored)) for n in (150, 600))
    assert large < 5 * small


def test_of_thousands_of_faults_the_first_are_listed(saved: Saved) -> None:
    nodes = [H.make_node("Relu", [f"unknown_tensor_{i}"], [f"t{i}"]) for i in range(3000)]
    nodes.append(H.make_node("Relu", ["x"], ["y"]))
    with pytest.raises(InputError) as refused:
        pm.workload(saved(nodes))
    assert len(refused.value.faults) == 101
    assert "2900 further faults" in str(refused.value)


def test_a_suggestion_takes_few_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    import difflib

    seen: list[int] = []
    real = difflib.get_close_matches
    monkeypatch.setattr(
        difflib,
        "get_close_matches",
        lambda word, those, *a, **k: (seen.append(len(list(those))), real(word, those, *a, **k))[1],
    )
    names = [f"layer_{i}_output" for i in range(50_000)]
    assert nearest("layer_123_outputt", names).startswith("layer_")
    assert nearest("y" * 10_000, names) == ""
    assert max(seen) <= 2000


def test_thousands_of_activations_at_once_are_predicted(saved: Saved) -> None:
    parts = [f"p{i}" for i in range(9000)]
    nodes = [
        H.make_node("Split", ["x"], parts, axis=0, num_outputs=9000),
        H.make_node("Concat", parts, ["y"], axis=0),
    ]
    predicted = pm.predict(saved(nodes, (9000,), opset=18), "a100", precision="fp16")
    assert predicted.activation_bytes == 2 * 9000 * 2  # the vector and all of its parts


def test_names_that_steer_a_terminal_are_shown_escaped(
    saved: Saved, capsys: pytest.CaptureFixture[str]
) -> None:
    from perfmodel.cli import main

    evil = "\x1b]0;PWNED\x07\x1b[31mRED\rline\nlatency 1 ns\u202egnp\u2066\u200f\x9b\u2028"
    nodes = [
        H.make_node("Exp", ["x"], ["a"], name=evil),
        H.make_node("Softmax", ["a"], ["y"], name=evil + "2"),
    ]
    path = saved(nodes, (1, f"d{evil}"))
    assert main(["predict", str(path), "a100", "--explain"]) == 0
    shown = capsys.readouterr()
    assert printable(evil) in shown.out
    text = shown.out + shown.err
    assert all(c.isprintable() or c == "\n" for c in text)
    assert main(["predict", str(path), "a100", "--json"]) == 0
    assert all(c.isprintable() or c == "\n" for c in capsys.readouterr().out)


def test_markup_in_names_is_inert_in_figures_and_reports(saved: Saved, tmp_path: Path) -> None:
    from perfmodel.charts.chart import Bars, Chart, ChartAxis, Note, Panel
    from perfmodel.charts.draw import draw

    evil = "<a href=\"https://evil.example/\">e</a><img src=x onerror='x'><script>x</script>"
    nodes = [
        H.make_node("Exp", ["x"], ["a"], name=evil),
        H.make_node("Softmax", ["a"], ["y"], name=evil + "2"),
    ]
    p = pm.predict(saved(nodes, (1, 64)), "a100")
    drawn = draw(
        Chart(
            evil,
            evil,
            "alt",
            [
                Panel(
                    x=ChartAxis(evil),
                    y=ChartAxis(names=np.array([evil], dtype=object)),
                    series=[
                        Bars(
                            name=evil,
                            x=[evil],
                            y=np.array([1.0]),
                            hover=[f"<b>{evil}</b><br>1"],
                            text=np.array([[evil]], dtype=object),
                        )
                    ],
                    notes=[Note(text=evil, x=0, y=0)],
                )
            ],
        )
    ).to_json()
    from perfmodel.cli import main

    report = tmp_path / "r.html"
    assert main(["predict", p.workload.origin, "a100", "--report", str(report)]) == 0
    html = report.read_text(encoding="utf-8")
    figures = [
        drawn,
        *re.findall(
            r'<script type="application/json" id="figure[^>]*>(.*?)</script>', html, re.DOTALL
        ),
    ]
    assert len(figures) > 2
    for tag in ("<a href=", "<img", "<script>x"):
        assert f"{tag}x" not in html.lower()
        assert f'{tag}"https' not in html.lower()
        for text in figures:
            assert not [t for t in _drawn_texts(json.loads(text)) if tag in t], tag
    assert any("<b>" in t for t in _drawn_texts(json.loads(drawn)))  # the plot's own markup


def _drawn_texts(part: Any) -> list[str]:
    """Return the texts of a figure that plotly may draw: all but its ``meta``."""
    if isinstance(part, str):
        return [part]
    if isinstance(part, dict):
        return [t for k, v in part.items() if k != "meta" for t in _drawn_texts(v)]
    return [t for v in part for t in _drawn_texts(v)] if isinstance(part, list) else []
