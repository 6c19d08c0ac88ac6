"""Strict YAML and JSON: places, every fault at once, and nothing hostile gets through."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.errors import Fault, InputError
from perfmodel.json_positions import decode_valid_json
from perfmodel.source_positions import merge
from perfmodel.specfile import MAX_BYTES, MAX_DEPTH, compose_json, dumps_json, read, reads_as_text


def faults(text: str | bytes, *, as_json: bool = False) -> list[str]:
    with pytest.raises(InputError) as caught:
        read(text, "f", json_text=as_json)
    return [str(fault) for fault in caught.value.faults]


def test_values_come_with_their_places() -> None:
    data, marks = read("a: 1\nb: {c: [1, 2.5e3]}\nl:\n  - {name: x, v: 3}\n", "f.yaml")
    assert data == {"a": 1, "b": {"c": [1, 2500.0]}, "l": [{"name": "x", "v": 3}]}
    assert marks.at(("b", "c", 1)) == (2, 12)
    assert marks.at("l.x.v") == (4, 18)
    assert marks.at("l.x.v", key=True) == (4, 15)
    assert marks.at("l.x.nothing") == (4, 5), "an absent path has its nearest ancestor's place"
    assert marks.show(("l", 0, "v")) == "l.x.v"
    assert marks.file("a") == "f.yaml"
    assert marks.has(("b", "c"))
    assert not marks.has(("b", "d"))


def test_scalars_follow_yaml_1_2() -> None:
    data, _ = read("{a: on, b: no, c: 2021-01-01, d: 1e3, e: 010, f: true, g: , h: ~, i: 1:30}")
    assert data == {
        "a": "on",
        "b": "no",
        "c": "2021-01-01",
        "d": 1000.0,
        "e": 10,
        "f": True,
        "g": None,
        "h": None,
        "i": "1:30",
    }
    assert read("a: '1'\nb: \"true\"")[0] == {"a": "1", "b": "true"}


def test_every_fault_of_form_is_reported_at_once() -> None:
    found = faults("a: 1\na: 2\nb: !!python/object/apply:os.system ['x']\nc: .nan\nd: 1e999\n")
    assert found == [
        "f:2:1: duplicate key 'a' (first on line 1); expected each key once",
        (
            "f:3:4: a tag ('tag:yaml.org,2002:python/object/apply:os.system') is not allowed; "
            "expected plain values"
        ),
        "f:4:4: '.nan' is not a finite number; expected a finite number",
        "f:5:4: '1e999' is too large for a number; expected a finite number",
    ]


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "f:1:1: is empty"),
        ("# nothing\n", "f:1:1: is empty"),
        ("a: [1,\nb: 2", "f:3:1: not valid YAML"),
        ("a: 'open", "not valid YAML"),
        ("a:\n\t- b", "expected spaces for indentation"),
        ("a: b: c", "f:1:5: not valid YAML: mapping values are not allowed"),
        ("a: 1\n---\nb: 1", "f:2:1: a second document"),
        ("<<: {a: 1}", "merge keys are not supported; expected 'base: NAME' to inherit"),
        ("? [1]\n: 2", "a key that is not a text"),
        ("a: *b", "f:1:4: no anchor 'b'"),
        ("a: &a [*a]", "no anchor 'a'"),
        (LAUGHS, "holds more than"),
        ("[" * 5000, "nest"),
        ("a: " + "{b: " * 70 + "1" + "}" * 70, f"is nested deeper than {MAX_DEPTH} levels"),
        ("a: " + "9" * 5000, "is too large for a number"),
        ("a: !!binary aGk=", "a tag"),
        ("!x a: 1", "a tag"),
        ("!!str a: 1", "a tag"),
        (b"\xff\xfe\x00a: 1", "f:1:1: is not UTF-8 text"),
        (b"ok: 1\nb: \xe9\n", "f:2:4: is not UTF-8 text"),
        ("a: \x00", "not valid YAML"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "not valid YAML"),
    ],
)
def test_hostile_and_broken_yaml(text: str | bytes, part: str) -> None:
    assert part in faults(text)[0]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"a": }', "f:1:7: not valid JSON"),
        ('{"a": 1, "a": 2}', "f:1:10: duplicate key 'a'"),
        ('{"a": [1, 1e999]}', "f:1:11: '1e999' is too large for a number"),
        ('{"a": NaN}', "not a finite number"),
        ("[" * 90 + "]" * 90, "f:1:66: is nested deeper than 64 levels"),
        ("[" * 90_000 + "]" * 90_000, "is nested deeper"),
        ("1" * 5000, "too large"),
        ("", "not valid JSON"),
    ],
)
def test_hostile_and_broken_json(text: str, part: str) -> None:
    assert part in faults(text, as_json=True)[0]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.text(max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=20,
)


@given(values, st.sampled_from([None, 1]))
def test_json_reads_as_the_standard_decoder_does(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    data, marks = read(text, "f.json")
    assert data == value
    lines = text.split("\n")
    for _, node in marks.walk():
        assert 1 <= node.line <= len(lines)
        assert 1 <= node.column <= len(lines[node.line - 1])


#: Pieces that make sound, broken and hostile JSON when they are put in a row.
_PIECES = st.lists(
    st.sampled_from(
        [
            '{"a": ',
            '{"b":',
            ', "a":',
            ", ",
            "[",
            "]",
            "}",
            "1",
            "-0.5e3",
            "1e999",
            "NaN",
            "true",
            '"x"',
            "null",
            "[]",
            "{}",
            "\n",
        ]
    ),
    max_size=14,
)


@given(_PIECES.map("".join) | values.map(json.dumps), st.integers(1, 4), st.integers(1, 12))
def test_the_quick_reader_and_the_placing_one_agree(text: str, depth: int, nodes: int) -> None:
    found: list[Fault] = []
    root = compose_json(text, "f", found, depth, nodes)
    quick = decode_valid_json(text, depth, nodes)
    if quick is not None:
        assert found == []
        assert quick.value == root.plain()
    deep = compose_json(text, "f", [], depth - 1, 10**6)
    if not found and text.count(",") + text.count("[") + text.count("{") < nodes:
        # Nothing at fault is read slowly, but for what touches a limit.
        assert quick is not None or deep.value is None


@given(st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
def test_any_bytes_read_or_give_faults(text: bytes) -> None:
    try:
        read(text, "f")
    except InputError as error:
        assert all(fault.message and fault.file == "f" for fault in error.faults)  # noqa: PT017


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.yaml: no such file"):
        read(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="is a directory"):
        read(tmp_path)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InputError, match="is larger than"):
        read(large)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(path)[0] == {"a": 1}


def test_merge_goes_by_key_and_by_name() -> None:
    base = read("x: 1\nl: [{name: a, v: 1, w: 1}, {name: b}]\nt: [p, q]", "base")[1].root
    over = read("l: [{name: c}, {name: a, v: 2}]\nt: [r]", "over")[1].root
    merged = merge(base, over)
    assert merged.plain() == {
        "x": 1,
        "l": [{"name": "a", "v": 2, "w": 1}, {"name": "b"}, {"name": "c"}],
        "t": ["r"],
    }


def test_a_new_value_drops_the_provenance_of_the_old() -> None:
    base = read("p: {value: 1, source: s, confidence: measured, accumulator: fp32}")[1].root
    assert merge(base, read("p: {value: 2}")[1].root).plain() == {
        "p": {"accumulator": "fp32", "value": 2}
    }
    assert merge(base, read("p: 3")[1].root).plain() == {"p": {"accumulator": "fp32", "value": 3}}
    assert merge(base, read("p: {note: n}")[1].root).plain()["p"]["source"] == "s"


@pytest.mark.parametrize("text", ["1", "1e3", "true", "", "~", ".inf", "<<"])
def test_texts_that_must_be_quoted(text: str) -> None:
    assert not reads_as_text(text)


def test_canonical_json_ignores_order() -> None:
    assert dumps_json({"b": 1, "a": [1.5, "x"]}) == '{"a":[1.5,"x"],"b":1}'
