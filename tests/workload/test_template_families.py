"""Families that a template states: those of the library, and files of one's own."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import perfmodel as pm
from perfmodel.errors import InputError
from perfmodel.workload.families import family_files, family_names
from perfmodel.workload.library import describe, names
from perfmodel.workload.structure_model import TemplateStructure
from perfmodel.workload.template_family import (
    TemplateFamily,
    read_family,
    structure_as_written,
)
from tests.offenders import each

OWN = """\
schema_version: 1
name: own
family: layers
structure:
  extends: image
  fields:
    depths: {list: [1, 4], default: [2, 3], doc: Units of each stage.}
    width: {default: 8}
    head: {choices: [dense, pooled], default: dense}
  refuse:
    - {when: head == 'pooled' and width < 8, field: width, message: too narrow to pool}
  parameters: {batch: 1, height: 32, width_of_image: 32}
  unit: frames
  inputs: {image: [batch, image_channels, height, width_of_image]}
  blocks:
    unit:
      takes: {channels: extent, stride: {wholes: 1}}
      layers:
        - {name: conv1, op: conv_norm, channels: channels, kernel: 3, stride: stride,
           activation: relu}
        - {name: conv2, op: conv_norm, channels: channels, kernel: 3}
        - {name: short, op: conv_norm, input: x, channels: channels, kernel: 1, stride: stride,
           when: stride > 1 or x.channels != channels}
        - {name: add, op: add, inputs: [conv2, short]}
  layers:
    - {name: stem, op: conv_norm, channels: width, kernel: 3, activation: relu}
    - for: depth
      in: depths
      index: i
      layers:
        - {name: "stage{i}.0", op: unit, channels: width * power_of_two(i), stride: 2,
           collect: maps}
        - name: "stage{i}.rest"
          op: repeat
          when: depth > 1
          count: depth - 1
          layers:
            - {name: again, op: unit, channels: width * power_of_two(i)}
    - {name: narrow, op: conv, input: "maps[0]", channels: 4, kernel: 1}
    - {name: up, op: resize, input: stage1.rest, spatial: narrow.size}
    - {name: joined, op: concat, inputs: [up, narrow]}
    - {name: pool, op: global_pool}
    - {name: fc, op: linear, features: classes, tag: head, when: head == 'dense'}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


@cache
def family_as_read(name: str) -> TemplateFamily:
    """Return a family that is not that of the library, so that its parameters may be set."""
    return read_family(family_files()[name])


@each("name", names)
def test_every_family_of_the_library_is_sound_for_each_of_its_networks(name: str) -> None:
    entry = describe(name)
    if entry.family.name in family_files():
        made = family_as_read(entry.family.name)
        made.template = replace(made.template, parameters=entry.parameters)
        structure = made.structure.model_validate(entry.structure.model_dump())
        flaws = (*made.flaws, *made.all_flaws(structure))
        assert [f"{flaw.path}: {flaw.message}" for flaw in flaws] == []


def test_fields_of_a_family_are_documented_and_it_names_its_source() -> None:
    undocumented: list[str] = []
    for name, path in family_files().items():
        made = read_family(path)
        fields = made.structure.model_fields.items()
        undocumented += (
            f"{name}.{key}"
            for key, field in fields
            if not field.description and key not in ("classes", "image_channels", "batch_norm")
        )
    assert undocumented == []
    assert {"densenet", "inception", "ssd"} <= set(family_names())


def test_a_file_of_ones_own_has_fields_blocks_and_loops(own: Path) -> None:
    made = pm.workload(own)
    stem = 32 * 32 * 3 * 9 * 8
    first = 16 * 16 * (8 * 9 * 8 * 2 + 8 * 8)
    second = 8 * 8 * (8 * 9 * 16 + 16 * 9 * 16 + 8 * 16)
    rest = 16 * 16 * 2 * 8 * 9 * 8 + 2 * 8 * 8 * 2 * 16 * 9 * 16
    ends = 16 * 16 * 8 * 4 + (16 + 4) * 1000
    assert made.macs == stem + first + second + rest + ends
    deeper = pm.workload(own, depths=[2, 4])
    assert deeper.macs - made.macs == 8 * 8 * 2 * 16 * 9 * 16
    assert pm.workload(own, head="pooled").macs == made.macs - 20 * 1000
    assert pm.workload(own, batch_norm="folded").graph() != made.graph()
    graph = made.graph()
    operators = [operator.name for _, operator in graph.walk()]
    assert "stage1.rest.again.conv2.norm" in operators
    assert "stage0.0.short" in operators
    assert pm.predict(own, "a100").latency_s > 0


def test_structures_and_workloads_of_templates_reach_other_processes(own: Path) -> None:
    for made in (pm.workload(own, width=16), pm.workload("densenet121", growth=16)):
        again = pickle.loads(pickle.dumps(made))
        assert again.graph().content_hash() == made.graph().content_hash()


def test_a_file_of_ones_own_is_written_with_its_fields(own: Path) -> None:
    from perfmodel.workload.workload import StructureBuild

    build = pm.workload(own, width=16)._build  # pyright: ignore[reportPrivateUsage]
    assert isinstance(build, StructureBuild)
    assert isinstance(build.structure, TemplateStructure)
    written = structure_as_written(build.structure)
    assert written["fields"]["width"] == {"default": 16}
    assert written["blocks"].keys() == {"unit"}


def faults(path: Path, **settings: object) -> list[str]:
    with pytest.raises(InputError) as caught:
        pm.workload(path, **settings)  # pyright: ignore[reportArgumentType]
    return [str(fault).removeprefix(f"{path}:") for fault in caught.value.faults]


def test_settings_of_fields_are_checked(own: Path) -> None:
    assert "did you mean 'depths'" in faults(own, depth=3)[0]
    assert "too large" in faults(own, width=10**6)[0]
    assert "did you mean 'pooled'" in faults(own, head="pooledd")[0]
    assert "too narrow to pool" in faults(own, head="pooled", width=4)[0]


WRONG = {
    "width: {default: 8}": ("width: {defualt: 8}", "8:13", "did you mean 'default'"),
    "channels: width, kernel": ("channels: widht, kernel", "26:45", "did you mean 'width'"),
    "op: unit, channels: width * power_of_two(i), stride": (
        "op: unti, channels: 4, stride",
        "31:36",
        "did you mean 'unit'",
    ),
    "stride: {wholes: 1}": ("stride: {hole: 1}", "17:41", "no kind of value is named 'hole'"),
    "in: depths": ("in: 3 / 0", "28:11", "divides by zero"),
    '"maps[0]"': ('"maps[7]"', "39:39", "no entry 7 of 2"),
    "when: head == 'dense'": ("when: head", "43:66", "neither true nor false"),
    "features: classes": ("features: clases", "43:40", "did you mean 'classes'"),
    "spatial: narrow.size": ("spatial: narow.size", "40:59", "did you mean 'narrow'"),
    "count: depth - 1": ("count: dpth - 1", "36:18", "did you mean 'depth'"),
    "extends: image": ("extends: imgae", "5:12", "no structure is named 'imgae'"),
}


@pytest.mark.parametrize("sound", WRONG)
def test_faults_have_their_places(own: Path, sound: str) -> None:
    wrong, place, message = WRONG[sound]
    assert OWN.count(sound) == 1
    own.write_text(OWN.replace(sound, wrong))
    told = [line for line in faults(own) if message in line]
    assert told, faults(own)
    assert told[0].startswith(place), told


def test_layers_that_the_fields_leave_out_are_checked_too(own: Path) -> None:
    extra = "    - {name: off, op: linaer, features: classes, when: head == 'pooled'}\n"
    more = extra.replace("linaer", "linear").replace("off", "on").replace("classes", "clases")
    own.write_text(OWN + extra + more)
    told = faults(own)
    assert any("did you mean 'linear'" in line for line in told)
    assert any("'clases'" in line and "classes" in line for line in told)


def test_a_block_may_not_call_itself_and_a_loop_ends(own: Path) -> None:
    own.write_text(
        OWN.replace(
            "conv2, op: conv_norm, channels: channels, kernel: 3",
            "conv2, op: unit, channels: channels",
        )
    )
    assert any("calls itself" in line for line in faults(own))
    endless = "    - {for: a, in: 10000, layers: [{for: b, in: 10000, layers: [{let: {c: a}}]}]}\n"
    own.write_text(OWN + endless)
    assert any("more than 200000 layers" in line for line in faults(own))


PHASED = """\
schema_version: 1
name: phased
family: layers
structure:
  fields:
    phase: {choices: [decode, request], default: decode}
    layers: {type: count, default: 2}
    width: {type: count, default: 8}
  free: [layers]
  parameters:
    batch: 1
    context: {default: 16, when: phase == 'decode'}
    prompt: {default: 2 * width, when: phase == 'request'}
    generate: {default: 3, when: phase == 'request'}
  unit: "{'tokens' if phase == 'decode' else 'sequences'}"
  yields: batch * (1 if phase == 'decode' else generate)
  blocks:
    pass:
      inputs: []
      takes: {steps: extent, keys: extent, cached: flag}
      layers:
        - {name: ids, op: input, shape: [batch, steps], format: int64}
        - {name: embedding, op: embedding, input: ids, vocabulary: 100, features: width}
        - name: layer
          op: repeat
          count: layers
          layers:
            - {name: qkv, op: linear, features: width, bias: false}
            - {name: attention, op: attention, heads: 2, head_dim: width // 2, keys: keys,
               cached: cached, stores: true}
        - {name: head, op: linear, features: 100, bias: false, weight: embedding}
  layers:
    - when: phase == 'decode'
      layers:
        - {name: once, label: "", op: pass, steps: 1, keys: context, cached: true}
      else:
        - phase: prefill
          layers:
            - {name: first, label: "", op: pass, steps: prompt, keys: prompt, cached: false}
        - phase: decode
          count: generate
          layers:
            - {name: step, label: "", op: pass, steps: 1, keys: prompt, cached: true}
"""


def test_phases_share_their_weights_and_have_free_dimensions_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "phased.yaml"
    path.write_text(PHASED)
    decode, request = pm.workload(path), pm.workload(path, phase="request")
    assert decode.parameters == {"batch": 1, "context": 16}
    assert request.parameters == {"batch": 1, "prompt": 16, "generate": 3}
    assert (decode.unit, request.unit) == ("tokens", "sequences")
    assert request.items() == 3
    step = 2 * (8 * 8 + 2 * 16 * 8) + 8 * 100
    assert decode.macs == step
    assert request.macs == 2 * 16 * (8 * 8 + 2 * 16 * 8) + 16 * 8 * 100 + 3 * step
    # Nothing reads what the prompt's pass makes, but for the cache: it runs all the same.
    assert {block.phase for block in request.graph().blocks} == {"prefill", "decode"}
    assert decode.weights == request.weights == 100 * 8 + 2 * 8 * 8


def test_fields_that_may_stay_free_are_swept_as_one_graph(tmp_path: Path) -> None:
    path = tmp_path / "phased.yaml"
    path.write_text(PHASED)
    many = pm.workload(path, layers=np.array([1.0, 2.0, 5.0]))
    assert many.macs.tolist() == [pm.workload(path, layers=n).macs for n in (1, 2, 5)]


WRONG_PHASES = {
    "default: 2 * width": ("default: 2 * widht", "13:13", "did you mean 'width'"),
    "free: [layers]": ("free: [layer]", "9:9", "did you mean 'layers'"),
    "count: generate": ("count: genrate", "41:18", "did you mean 'generate'"),
    "phase: decode\n": ("phase: decode\n          cuont: 3\n", "41:11", "did you mean 'count'"),
}


@pytest.mark.parametrize("sound", WRONG_PHASES)
def test_faults_of_phases_have_their_places(tmp_path: Path, sound: str) -> None:
    wrong, place, message = WRONG_PHASES[sound]
    assert PHASED.count(sound) == 1
    path = tmp_path / "phased.yaml"
    path.write_text(PHASED.replace(sound, wrong).replace("default: decode", "default: request"))
    lines = [line for line in faults(path) if message in line]
    assert lines, faults(path)
    assert lines[0].startswith(place), lines


def test_two_repeats_of_one_phase_do_not_share_a_layer_name(tmp_path: Path) -> None:
    path = tmp_path / "phased.yaml"
    once = '        - {name: once, label: "", op: pass, steps: 1, keys: context, cached: true}\n'
    assert PHASED.count(once) == 1
    path.write_text(PHASED.replace(once, once + once.replace("once", "again")))
    assert any(
        line.startswith("24:11: ") and "a second repeat with layers 'layer'" in line
        for line in faults(path)
    )


def test_loops_of_a_stated_nest_are_integers(own: Path) -> None:
    layer = """\
    - name: product
      op: operator
      input: fc
      kind: gemm
      shape: [batch, 4]
      nests: [{loops: {m: batch, n: 4, k: 2.5}, operands: [[fc, mk], [joined, mn]]}]
"""
    own.write_text(OWN + layer)
    assert any(
        line.startswith("49:43: ") and "extent 2.5 is not whole" in line for line in faults(own)
    )
