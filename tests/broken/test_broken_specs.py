"""Mutations of a sound device spec: what each is told."""
# ruff: noqa: E501  (each fault reads as it is printed; … stands for a list of names)

from collections.abc import Callable
from pathlib import Path

import pytest

# (file, old text, new text, what is said)
MUTATIONS = [
    (
        "board.yaml",
        '"51.2 GB/s"',
        "51.2",
        'board.yaml:29:16: memories.dram.bandwidth: 51.2 has no unit; expected a bandwidth with its unit, such as "51.2 GB/s"',
    ),
    (
        "board.yaml",
        '"51.2 GB/s"',
        '"51.2 GHz"',
        "board.yaml:29:16: memories.dram.bandwidth: '51.2 GHz' is a frequency, not a bandwidth; expected a bandwidth with its unit, such as \"51.2 GB/s\"",
    ),
    (
        "board.yaml",
        '"51.2 GB/s"',
        '"51.2 GBps"',
        "board.yaml:29:16: memories.dram.bandwidth: 'GBps' is not a unit of bandwidth; expected a bandwidth with its unit, such as \"51.2 GB/s\"; did you mean '51.2 GB/s'?",
    ),
    (
        "board.yaml",
        '"51.2 GB/s"',
        '"51.2 gigabytes a second"',
        "board.yaml:29:16: memories.dram.bandwidth: 'gigabytes a second' is not a unit of bandwidth; expected a bandwidth with its unit, such as \"51.2 GB/s\"",
    ),
    (
        "board.yaml",
        '"51.2 GB/s"',
        "true",
        'board.yaml:29:16: memories.dram.bandwidth: true is not a bandwidth; expected a bandwidth with its unit, such as "51.2 GB/s"',
    ),
    (
        "board.yaml",
        'capacity: "8 GB"',
        'capacity: "8 GB/s"',
        "board.yaml:28:15: memories.dram.capacity: '8 GB/s' is a bandwidth, not a size; expected a size with its unit, such as \"256 KiB\"; did you mean '8 GB'?",
    ),
    (
        "board.yaml",
        'capacity: "8 GB"',
        'capacity: "-8 GB"',
        "board.yaml:28:15: memories.dram.capacity: is negative; expected a size above zero",
    ),
    (
        "board.yaml",
        'capacity: "8 GB"',
        'capacity: "80000000000 GiB"',
        "board.yaml:28:15: memories.dram.capacity: 85.9 EB is absurd; expected at most 1 EB",
    ),
    (
        "board.yaml",
        '"100 ns"',
        '"1e-300 ns"',
        "board.yaml:31:14: memories.dram.latency: 1e-309 s is absurdly small; expected zero, or at least 1e-30 s",
    ),
    (
        "board.yaml",
        'capacity: "8 GB"',
        "capacity:",
        'board.yaml:28:14: memories.dram.capacity: has no value; expected a size with its unit, such as "256 KiB"',
    ),
    (
        "board.yaml",
        'clock: "1 GHz"',
        'clock: "0 GHz"',
        "board.yaml:15:12: engines.npu.clock: is zero; expected a frequency above zero",
    ),
    (
        "board.yaml",
        'latency: "100 ns"',
        "latency: .nan",
        "board.yaml:31:14: '.nan' is not a finite number; expected a finite number",
    ),
    (
        "board.yaml",
        'latency: "100 ns"',
        'latency: "inf ns"',
        "board.yaml:31:14: memories.dram.latency: 'inf ns' is not a time; expected a time with its unit, such as \"30 us\"",
    ),
    (
        "board.yaml",
        '"45 GB/s"',
        '"60 GB/s"',
        "board.yaml:30:26: memories.dram.sustained_bandwidth: 60 GB/s is above bandwidth; expected at most 51.2 GB/s",
    ),
    (
        "board.yaml",
        'idle: "2 W"',
        'idle: "20 W"',
        "board.yaml:33:32: power.idle: 20 W is above busy; expected at most 10 W",
    ),
    (
        "board.yaml",
        "kind: dram",
        "kind: drm",
        "board.yaml:26:11: memories.dram.kind: no kind of memory is named 'drm'; did you mean 'dram'?",
    ),
    (
        "board.yaml",
        "kind: roofline",
        "kind: rooflin",
        "board.yaml:13:11: engines.npu.kind: no kind of engine is named 'rooflin'; did you mean 'roofline'?",
    ),
    (
        "board.yaml",
        "feeds: [npu]",
        "feeds: [npuu]",
        "board.yaml:24:13: memories.sram.feeds.0: no engine or memory is named 'npuu'; did you mean 'npu'?",
    ),
    (
        "board.yaml",
        "feeds: [npu]",
        "feeds: [npu, dram]",
        "board.yaml:24:12: memories.sram.feeds: memories feed each other in a circle: sram -> dram -> sram; expected a hierarchy that ends at an engine",
    ),
    (
        "board.yaml",
        "feeds: [npu]",
        "feeds: npu",
        "board.yaml:24:12: memories.sram.feeds: 'npu' is not a list; expected a list",
    ),
    (
        "board.yaml",
        'int8: "4 TOP/s"',
        'int9: "4 TOP/s"',
        "board.yaml:18:7: engines.npu.peaks.int9: 'int9' is not a compute format; did you mean 'int8'?",
    ),
    (
        "board.yaml",
        "units: 4",
        "units: -4",
        "board.yaml:14:12: engines.npu.units: is negative; expected a count above zero",
    ),
    (
        "board.yaml",
        "units: 4",
        "units: many",
        "board.yaml:14:12: engines.npu.units: 'many' is not a count; expected a count, such as 108",
    ),
    (
        "board.yaml",
        "year: 2024",
        "year: 2024\nyear: 2025",
        "board.yaml:6:1: duplicate key 'year' (first on line 5); expected each key once",
    ),
    (
        "board.yaml",
        "title: A board",
        "titel: A board",
        "board.yaml:3:1: titel: unknown key 'titel'; did you mean 'title'?",
    ),
    ("board.yaml", "name: board\n", "", "board.yaml:1:1: missing key 'name'"),
    (
        "board.yaml",
        "name: board",
        "name: Big Board",
        "board.yaml:2:7: name: 'Big Board' is not spelled as it must be; expected text that matches ^[a-z][a-z0-9_]*$; did you mean 'big_board'?",
    ),
    (
        "board.yaml",
        "source: sheet",
        "source: shet",
        "board.yaml:9:9: source: no entry of sources is named 'shet'; did you mean 'sheet'?",
    ),
    (
        "board.yaml",
        "confidence: measured",
        "confidence: mesured",
        "board.yaml:30:57: memories.dram.sustained_bandwidth.confidence: unknown value 'mesured'; expected one of datasheet, measured, fitted, estimated; did you mean 'measured'?",
    ),
    (
        "board.yaml",
        "default_runtime: ideal",
        "default_runtime: ideel",
        "board.yaml:6:18: default_runtime: no runtime is named 'ideel'; did you mean 'ideal'?",
    ),
    (
        "board.yaml",
        "schema_version: 1",
        "schema_version: 2",
        "board.yaml:1:17: schema_version: unknown value 2; expected 1",
    ),
    (
        "board.yaml",
        "name: board",
        "name: board\nbase: h1oo",
        "board.yaml:3:7: base: no spec is named 'h1oo'; expected a path to a .yaml file, or one of …",
    ),
    (
        "board.yaml",
        "name: board",
        "name: board\nbase: board",
        "board.yaml:3:7: base: specs inherit in a circle: board -> board; expected another base",
    ),
    (
        "board.yaml",
        "title: A board",
        "title: !!python/object/apply:os.system [id]",
        "board.yaml:3:8: a tag ('tag:yaml.org,2002:python/object/apply:os.system') is not allowed; expected plain values",
    ),
    (
        "board.yaml",
        "title: A board",
        "<<: {title: A board}",
        "board.yaml:3:1: merge keys are not supported; expected 'base: NAME' to inherit",
    ),
    (
        "board.yaml",
        "title: A board",
        "title: a: b",
        "board.yaml:3:9: not valid YAML: mapping values are not allowed in this context; expected quotes around a text that holds ': '",
    ),
    (
        "board.yaml",
        "tags: [gpu]",
        "tags: [gpu",
        "board.yaml:5:5: not valid YAML: did not find expected ',' or ']'; expected a closed bracket, brace or quote and even indentation",
    ),
    (
        "board.yaml",
        "tags: [gpu]",
        "tags: &t [*t]",
        "board.yaml:4:11: no anchor 't' before this alias; expected '&t' on a value above",
    ),
    (
        "board.yaml",
        "tags: [gpu]",
        "\ttags: [gpu]",
        "board.yaml:4:1: not valid YAML: found a tab character that violates indentation; expected spaces for indentation, and quotes around texts that begin with a sign",
    ),
    (
        "board.yaml",
        "title: A board",
        "---\ntitle: A board",
        "board.yaml:3:1: a second document; expected one document",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "expected"), MUTATIONS)
def test_a_mutation_is_refused(
    mutated: Callable[[str, str, str], list[str]],
    says: Callable[[list[str], str], None],
    file: str,
    old: str,
    new: str,
    expected: str,
) -> None:
    says(mutated(file, old, new), expected)


def test_faults_of_every_kind_at_once(
    folder: Path,
    sound: Callable[[str], tuple[bytes, tuple[str, ...]]],
    refused: Callable[..., list[str]],
) -> None:
    text = sound("board.yaml")[0].decode()
    for old, new in (
        ('"51.2 GB/s"', "51.2"),
        ("title: A board", "titel: A board"),
        ("source: sheet", "source: shet"),
        ("kind: dram", "kind: drm"),
        ("ideal", "ideel"),
        ("units: 4", "units: -4"),
    ):
        text = text.replace(old, new, 1)
    (folder / "board.yaml").write_text(text)
    found = refused("predict", "resnet81", "board.yaml", "--set", "batch=0", "--precision", "fp61")
    places = [line.partition(": ")[0] for line in found]
    assert places == [
        "no workload is named 'resnet81'; did you mean 'resnet18'?",
        "board.yaml:3:1",
        "board.yaml:6:18",
        "board.yaml:9:9",
        "board.yaml:14:12",
        "board.yaml:26:11",
        "board.yaml:29:16",
        "--precision",
    ]
