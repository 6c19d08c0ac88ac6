"""Tables of sensitivities: every form gives the same, and every fault has its place."""

from pathlib import Path

import numpy as np
import pytest

from perfmodel.errors import InputError
from perfmodel.formats import format_named
from perfmodel.search import accuracy
from perfmodel.search.accuracy import LayerOption, describe, parse_option

INT8, INT4 = LayerOption(format_named("int8")), LayerOption(format_named("int4"))
OPTIONS = [[INT8, INT4], [INT4, LayerOption()]]
LONG = "layer,weights,sensitivity\nconv1,int8,0.5\nconv1,int4,2\nfc,int4,3\nfc,int8,1\n"
WIDE = "layer,int8,w=int4\nconv1,0.5,2\nfc,1,3\n"
YAML = "conv1: {int8: 0.5, int4: 2}\nfc: {int8: 1, int4: 3}\n"
FULL = f"""sensitivities:
  {YAML.splitlines()[0]}
  {YAML.splitlines()[1]}
unit: bits
pairs:
  - {{layers: [fc, conv1], options: [int4, int4], sensitivity: -0.25}}
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [("long.csv", LONG), ("wide.csv", WIDE), ("plain.yaml", YAML), ("full.yaml", FULL)],
)
def test_every_form_gives_the_same_losses(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    model = accuracy.table(path)
    made = model.table(["conv1", "fc"], OPTIONS)
    np.testing.assert_array_equal(made.unary[0], [0.5, 2])
    np.testing.assert_array_equal(made.unary[1], [3, 0])  # nothing changed costs nothing
    assert model.name == f"table {name}"
    assert model.measured_error is None
    if name == "full.yaml":
        assert model.unit == "bits"
        np.testing.assert_array_equal(made.pairs[0, 1], [[0, 0], [-0.25, 0]])
        np.testing.assert_array_equal(made.loss([[0, 0], [1, 0]]), [3.5, 4.75])
    else:
        assert model.unit == ""
        assert not made.pairs


def test_a_mapping_takes_options_or_their_texts() -> None:
    model = accuracy.table({"a": {INT8: 1.0, "w=int4,a=int8,2:4,kept=0.5": np.float32(2)}})
    rich = parse_option("int4,a=int8,2:4,kept=0.5")
    np.testing.assert_array_equal(model.table(["a"], [[rich, INT8]]).unary[0], [2, 1])


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("int4", "w=int4"),
        ("w4a8", "w=int4,a=int8"),
        ("as_is", "as_is"),
        ("kept=0.25", "kept=0.25"),
        ("a=fp8_e4m3,w=mxfp4", "w=mxfp4,a=fp8_e4m3"),
        ("int8+2:4", "w=int8,2:4"),
        ("s0.9", "s0.9"),
        ("w4g128a16", "w=int4g128,a=fp16"),
        ("W=INT8, kept=.5", "w=int8,kept=0.5"),
        ("w2", "w=int2"),
    ],
)
def test_options_are_read_and_written(text: str, canonical: str) -> None:
    assert describe(parse_option(text)) == canonical
    assert describe(parse_option(canonical)) == canonical


@pytest.mark.parametrize("text", ["int99", "kept=0", "kept=2", "w=int4,w=int8", "x=3", "", "0:4"])
def test_what_is_no_option_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_option(text)


def _faults(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        accuracy.table(path)
    return [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]


def test_every_fault_of_a_csv_file_has_its_cell(tmp_path: Path) -> None:
    found = _faults(
        tmp_path / "t.csv",
        "layer,weights,sensitivity,mood\n,int8,1,x\na,int99,nan,\n"
        "b,int8,,\nb,int4,1,\nb,w=int4,1,\n",
    )
    places = [fault.split(": ")[0] for fault in found]
    assert places == ["1:27", "2:1", "3:3", "3:9", "4:8", "6:3"]
    assert "did you mean 'int8'" in found[2] or "unknown format" in found[2]


def test_every_fault_of_a_yaml_file_has_its_place(tmp_path: Path) -> None:
    found = _faults(
        tmp_path / "t.yaml",
        """sensitivities:
  a: {int8: high, int99: 1, int4: true}
  b: 3
unti: points
pairs:
  - {layers: [a, c], options: [int8, int4], sensitivity: 1}
  - {layers: [a], options: [int8, int4], sensitivity: .inf}
""".replace(".inf", "x"),
    )
    places = [fault.split(": ")[0] for fault in found]
    assert places == ["4:1", "2:13", "2:19", "2:35", "3:6", "6:18", "7:14", "7:55"]
    assert "did you mean 'unit'" in found[0]


def test_a_question_that_the_table_cannot_answer_names_all_of_it() -> None:
    model = accuracy.table({"conv1": {"int8": 1}, "fc": {"int8": 2}})
    with pytest.raises(InputError, match=r"no layer 'conv'.*did you mean 'conv1'"):
        model.table(["conv"], [[INT8]])
    with pytest.raises(InputError) as caught:
        model.table(["conv1", "fc"], [[INT4], [INT8, INT4]])
    assert len(caught.value.faults) == 2
    with pytest.raises(InputError, match="1 layers and 2 lists"):
        model.table(["fc"], OPTIONS)
    with pytest.raises(InputError, match="has no options"):
        model.table(["fc"], [[]])


def test_pairwise_terms_lie_on_top_of_any_model(tmp_path: Path) -> None:
    base = accuracy.table({"a": {"int8": 1, "int4": 2}, "b": {"int8": 3, "int4": 5}})
    model = accuracy.pairwise(base, {("b", "a"): {("int4", "int8"): 0.5, ("int4", INT4): 7}})
    made = model.table(["a", "b"], [[INT8, INT4], [INT8, INT4]])
    np.testing.assert_array_equal(made.pairs[0, 1], [[0, 0.5], [0, 7]])
    assert made.loss([1, 1]) == 14
    assert model.name == "table with 2 pairwise terms"
    swapped = model.table(["b", "a"], [[INT8, INT4], [INT8, INT4]])
    np.testing.assert_array_equal(swapped.pairs[0, 1], made.pairs[0, 1].T)
    path = tmp_path / "pairs.csv"
    path.write_text(
        "layer,option,other_layer,other_option,sensitivity\nb,int4,a,int8,0.5\nb,int4,a,int4,7\n"
    )
    again = accuracy.pairwise(base, path).table(["a", "b"], [[INT8, INT4], [INT8, INT4]])
    np.testing.assert_array_equal(again.pairs[0, 1], made.pairs[0, 1])
    with pytest.raises(InputError, match="with itself"):
        accuracy.pairwise(base, {("a", "a"): {("int4", "int8"): 1}})
    path.write_text("layer,option,other_layer,other_option,sensitivity\nb,int4,b,int8,x\n")
    with pytest.raises(InputError, match=r"pairs.csv:2:15: sensitivity: 'x' is not a measurement"):
        accuracy.pairwise(base, path)
