"""Mutations of a valid spec: each fault has its place, what was expected or what was meant."""
# ruff: noqa: E501  (each fault reads as it is printed)

from collections.abc import Callable

import pytest

from perfmodel.errors import InputError
from perfmodel.hardware.device import Device

Load = Callable[..., Device]

# (old text, new text, the fault after "card.yaml:")
MUTATIONS = [
    (
        'bandwidth: "2 TB/s"',
        "bandwidth: 2039",
        '45:16: memories.hbm.bandwidth: 2039 has no unit; expected a bandwidth with its unit, such as "51.2 GB/s"',
    ),
    (
        'bandwidth: "2 TB/s"',
        'bandwidth: "2 GHz"',
        "45:16: memories.hbm.bandwidth: '2 GHz' is a frequency, not a bandwidth; expected a bandwidth with its unit, such as \"51.2 GB/s\"",
    ),
    (
        'bandwidth: "600 GB/s"',
        'bandwidth: "600 GBps"',
        "51:45: links.nvlink.bandwidth: 'GBps' is not a unit of bandwidth; expected a bandwidth with its unit, such as \"51.2 GB/s\"; did you mean '600 GB/s'?",
    ),
    (
        'capacity: "40 MiB"',
        'capacity: "40 MB/s"',
        "37:15: memories.cache.capacity: '40 MB/s' is a bandwidth, not a size; expected a size with its unit, such as \"256 KiB\"; did you mean '40 MB'?",
    ),
    (
        'capacity: "40 MiB"',
        "capacity:",
        '37:14: memories.cache.capacity: has no value; expected a size with its unit, such as "256 KiB"',
    ),
    (
        'capacity: "80 GB"',
        'capacity: "80000000000 GiB"',
        "43:15: memories.hbm.capacity: 85.9 EB is absurd; expected at most 1 EB",
    ),
    (
        'capacity: "80 GB"',
        'capacity: "-80 GB"',
        "43:15: memories.hbm.capacity: is negative; expected a size above zero",
    ),
    (
        'clock: "3 GHz"',
        'clock: "0 GHz"',
        "31:12: engines.host.clock: is zero; expected a frequency above zero",
    ),
    (
        'latency: "400 ns"',
        "latency: .nan",
        "47:14: '.nan' is not a finite number; expected a finite number",
    ),
    (
        'reserved: "1 GB"',
        'reserved: "100 GB"',
        "44:15: memories.hbm.reserved: 100 GB is above capacity; expected at most 80 GB",
    ),
    (
        '"1.5 TB/s"',
        '"2.5 TB/s"',
        "46:26: memories.hbm.sustained_bandwidth: 2.5 TB/s is above bandwidth; expected at most 2 TB/s",
    ),
    (
        'idle: "50 W"',
        'idle: "500 W"',
        "54:9: power.idle: 500 W is above busy; expected at most 400 W",
    ),
    (
        '    clock: "3 GHz"',
        '    clock: "3 GHz"\n    busy_power: "20 W"',
        "32:17: engines.host.busy_power: 20 W is below power.idle; expected at least 50 W",
    ),
    (
        '    clock: "3 GHz"',
        '    clock: "3 GHz"\n    busy_power: "600 W"',
        "32:17: engines.host.busy_power: 600 W is above power.busy; expected at most 400 W",
    ),
    (
        "boundary: board",
        "boundary: bord",
        "53:13: power.boundary: unknown value 'bord'; expected one of core, module, board, wall; did you mean 'board'?",
    ),
    (
        "kind: dram",
        "kind: drm",
        "41:11: memories.hbm.kind: no kind of memory is named 'drm'; did you mean 'dram'?",
    ),
    (
        "kind: roofline",
        "kind: rooflin",
        "18:11: engines.tensor.kind: no kind of engine is named 'rooflin'; did you mean 'roofline'?",
    ),
    (
        "    feeds: [tensor]",
        "    fedes: [tensor]",
        "35:5: memories.cache: missing key 'feeds'\ncard.yaml:39:5: memories.cache.fedes: unknown key 'fedes'; did you mean 'feeds'?",
    ),
    (
        "feeds: [tensor]",
        "feeds: [tensr]",
        "39:13: memories.cache.feeds.0: no engine or memory is named 'tensr'; did you mean 'tensor'?",
    ),
    (
        "feeds: [tensor]",
        "feeds: [tensor, hbm]",
        "39:12: memories.cache.feeds: memories feed each other in a circle: cache -> hbm -> cache; expected a hierarchy that ends at an engine",
    ),
    (
        "feeds: [cache, host]",
        "feeds: cache",
        "49:12: memories.hbm.feeds: 'cache' is not a list; expected a list",
    ),
    (
        "roles: [main]",
        "roles: [cache]",
        "42:13: memories.hbm.roles.0: role 'cache' is the name of a memory; expected another word",
    ),
    (
        "name: host",
        "name: tensor",
        "29:11: engines.tensor.name: 'tensor' is used twice; expected each name once\ncard.yaml:49:20: memories.hbm.feeds.1: no engine or memory is named 'host'; expected one of tensor, cache",
    ),
    (
        'fp16: {value: "300',
        'fp61: {value: "300',
        "23:7: engines.tensor.peaks.fp61: 'fp61' is not a compute format; did you mean 'fp16'?",
    ),
    (
        ", sparsity: dense}",
        "}",
        "23:13: engines.tensor.peaks.fp16: does not say dense or sparse, on an engine with a sparse speed-up; expected sparsity: dense",
    ),
    (
        'sparsity: "2:4"}',
        'sparsity: "4:8"}',
        "24:65: engines.tensor.peaks.int8.sparsity: the dense peak cannot be told from a '4:8' one; expected dense, or a key of sparse_speedup (2:4)",
    ),
    (
        "source: sheet",
        "source: shet",
        "14:9: source: no entry of sources is named 'shet'; did you mean 'sheet'?",
    ),
    (
        "confidence: measured",
        "confidence: mesured",
        "46:72: memories.hbm.sustained_bandwidth.confidence: unknown value 'mesured'; expected one of datasheet, measured, fitted, estimated; did you mean 'measured'?",
    ),
    (
        "default_engine: tensor",
        "default_engine: tensors",
        "10:17: default_engine: no engine is named 'tensors'; did you mean 'tensor'?",
    ),
    ("schema_version: 1", "schema_version: 2", "1:17: schema_version: unknown value 2; expected 1"),
    ("title: A card", "titel: A card", "4:1: titel: unknown key 'titel'; did you mean 'title'?"),
    (
        "year: 2020",
        "year: 2020\nyear: 2021",
        "7:1: duplicate key 'year' (first on line 6); expected each key once",
    ),
    (
        "feeds: [tensor]",
        "feeds: [host, tensor]",
        "38:16: memories.cache.bandwidth: per clock of which engine? it feeds host, tensor; expected clocked_by: host",
    ),
    (
        '    clock: "1 GHz"\n',
        "",
        "37:16: memories.cache.bandwidth: is per clock, but engine 'tensor' has no clock; expected a clock there, or B/s here",
    ),
    (
        '{"2:4": 2.0}',
        '{"2:4": 0.5}',
        "28:29: engines.tensor.sparse_speedup.2:4: 0.5 would slow down; expected 1 or more",
    ),
]


@pytest.mark.parametrize(("old", "new", "fault"), MUTATIONS)
def test_a_mutation_is_faulted_with_place_and_mend(
    load: Load, spec: str, old: str, new: str, fault: str
) -> None:
    assert old in spec
    with pytest.raises(InputError) as caught:
        load(spec.replace(old, new, 1))
    lines = str(caught.value).splitlines()
    found = "\n".join("card.yaml:" + line.partition("card.yaml:")[2] for line in lines)
    assert found == "card.yaml:" + fault


def test_faults_of_every_kind_come_at_once(load: Load, spec: str) -> None:
    text = spec
    for old, new in (
        ('bandwidth: "2 TB/s"', "bandwidth: 2039"),
        ("title: A card", "titel: A card"),
        ("default_engine: tensor", "default_engine: tensors"),
        ("source: sheet", "source: shet"),
        ("kind: dram", "kind: drm"),
    ):
        text = text.replace(old, new, 1)
    with pytest.raises(InputError) as caught:
        load(text)
    assert [(fault.path, fault.line) for fault in caught.value.faults] == [
        ("titel", 4),
        ("default_engine", 10),
        ("source", 14),
        ("memories.hbm.kind", 41),
        ("memories.hbm.bandwidth", 45),
    ]


def test_the_unmutated_spec_is_sound(load: Load, spec: str) -> None:
    assert load(spec).name == "card"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("just a text", "card.yaml:1:1: 'just a text' is not a mapping"),
        ("[1, 2]", "card.yaml:1:1: a list is not a mapping"),
        ("name: card\n", "card.yaml:1:1: missing key 'engines'"),
        ("name: card\nengines: []\nmemories: []\n", "engines: []"),
        ("name: Card 80\nengines: x\nmemories: 3\n", "engines: 'x' is not a list"),
        ("name: card\nengines: [x]\nmemories: [null]\n", "'x' is not a mapping"),
    ],
)
def test_what_is_no_device_at_all(load: Load, text: str, part: str) -> None:
    with pytest.raises(InputError) as caught:
        load(text)
    lines = str(caught.value)
    assert part in lines or part == "engines: []"
    assert all(fault.line for fault in caught.value.faults)


def test_random_truncations_never_escape_as_another_error(load: Load, spec: str) -> None:
    for end in range(0, len(spec), 37):
        try:
            load(spec[:end])
        except InputError as error:
            assert error.faults  # noqa: PT017
