"""The JSON Schemas that editors read: committed, current, and in agreement with the loader."""

import json
from pathlib import Path
from typing import Any

import pytest

from perfmodel.hardware.library import data_root, names
from perfmodel.hardware.schema import json_schema, main, stale, write
from perfmodel.specfile import read


def test_committed_schemas_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert [path.name for path in stale()] == []
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == ""


def test_drift_is_noticed(tmp_path: Path) -> None:
    names = [path.name for path in stale(tmp_path)]
    assert names == ["device.schema.json", "runtime.schema.json", "system.schema.json"]
    written = write(tmp_path)
    assert stale(tmp_path) == []
    written[0].write_text("{}")
    assert stale(tmp_path) == [written[0]]


@pytest.mark.parametrize("kind", ["device", "runtime", "system"])
def test_every_field_is_described(kind: str) -> None:
    schema = json_schema(kind)
    for owner in (schema, *schema["$defs"].values()):
        for name, field in owner["properties"].items():
            assert field.get("description") or "$ref" in field, name


def validator(kind: str) -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("kind", ["device", "runtime"])
def test_the_library_agrees_with_the_schema(kind: str) -> None:
    checker = validator(kind)
    for name in names("devices" if kind == "device" else "runtimes"):
        data, _ = read(data_root() / f"{kind}s" / f"{name}.yaml")
        assert [error.message for error in checker.iter_errors(data)] == [], name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"2 TB/s"', "2000"),
        ('"2 TB/s"', '"2 TBps"'),
        ('"40 MiB"', '"40 MB/s"'),
        ("kind: dram", "kind: drm"),
        ("feeds: [tensor]", "fedes: [tensor]"),
        ("boundary: board", "boundary: bord"),
        ("schema_version: 1", "schema_version: 2"),
        ("title: A card", "titel: A card"),
        ("confidence: measured", "confidence: mesured"),
        ("accumulator: fp32", "acumulator: fp32"),
        ('    clock: "3 GHz"', '    clokc: "3 GHz"'),
    ],
)
def test_an_editor_sees_what_the_loader_refuses(spec: str, old: str, new: str) -> None:
    checker = validator("device")
    assert not [*checker.iter_errors(read(spec)[0])]
    assert [*checker.iter_errors(read(spec.replace(old, new, 1))[0])]


def test_an_heir_may_leave_out_what_its_base_says() -> None:
    checker = validator("device")
    assert not [*checker.iter_errors({"name": "heir", "base": "card"})]
    assert [*checker.iter_errors({"name": "heir"})]


def test_the_schema_is_json_with_a_dialect() -> None:
    text = json.dumps(json_schema("device"))
    assert json.loads(text)["$schema"].startswith("https://json-schema.org/draft/2020-12")


def test_a_system_of_the_examples_agrees_with_the_schema(checkout: Path) -> None:
    checker = validator("system")
    text = (checkout / "examples" / "pi_and_gpu_over_wifi.yaml").read_text()
    assert not [*checker.iter_errors(read(text)[0])]
    for old, new in (
        ("18.88 Mbit/s", "18.88"),
        ("latency:", "latncy:"),
        ("device: rasp", "devic: rasp"),
    ):
        assert [*checker.iter_errors(read(text.replace(old, new, 1))[0])], new
