"""Mutations of sound workload files, a plain graph and a transformer: what each is told."""
# ruff: noqa: E501  (each fault reads as it is printed; … stands for a list of names)

from collections.abc import Callable

import pytest

# (file, old text, new text, what is said)
MUTATIONS = [
    (
        "net.yaml",
        "family: layers",
        "family: layrs",
        "net.yaml:3:9: family: no family is named 'layrs'; expected one of …; did you mean 'layers'?",
    ),
    (
        "net.yaml",
        "op: conv, channels",
        "op: convv, channels",
        "net.yaml:10:24: structure.layers.stem.op: no operator is named 'convv'; did you mean 'conv'?",
    ),
    (
        "net.yaml",
        "channels: channels",
        "channels: chanels",
        "net.yaml:10:40: structure.layers.stem.channels: no free dimension 'chanels'; did you mean 'channels'?",
    ),
    (
        "net.yaml",
        "kernel: 3",
        "kernal: 3",
        (
            "net.yaml:10:7: structure.layers.stem: missing key 'kernel'; expected a whole number from 1, or a list of one per axis\n"
            "net.yaml:10:50: structure.layers.stem.kernal: unknown key 'kernal'; did you mean 'kernel'?"
        ),
    ),
    (
        "net.yaml",
        "kernel: 3",
        "kernel: 0",
        "net.yaml:10:58: structure.layers.stem.kernel: 0 is out of range; expected a whole number from 1, or a list of one per axis",
    ),
    (
        "net.yaml",
        "kernel: 3",
        "kernel: three",
        "net.yaml:10:58: structure.layers.stem.kernel: 'three' is not a number; expected a whole number from 1, or a list of one per axis",
    ),
    (
        "net.yaml",
        "kernel: 3",
        "kernel: [3, 3, 3]",
        "net.yaml:10:7: structure.layers.stem: shapes do not fit: [3, 3, 3] has 3 numbers for 2 spatial axes; expected fields that fit an input (batch, 3, height, width)",
    ),
    (
        "net.yaml",
        "stride: 2",
        "stride: 0",
        "net.yaml:10:69: structure.layers.stem.stride: 0 is out of range; expected a whole number from 1, or a list of one per axis",
    ),
    (
        "net.yaml",
        "padding: same",
        "padding: sane",
        "net.yaml:19:55: structure.layers.depthwise.padding: 'sane' is not a number; expected a whole number from 0, or a list of one per axis, or 'same'; did you mean 'same'?",
    ),
    (
        "net.yaml",
        "height: 32",
        "height: -32",
        "net.yaml:5:34: structure.parameters.height: -32 is not an extent; expected a number from 1",
    ),
    (
        "net.yaml",
        "height: 32",
        "height: .nan",
        "net.yaml:5:34: '.nan' is not a finite number; expected a finite number",
    ),
    (
        "net.yaml",
        "height: 32",
        "height: 1e400",
        "net.yaml:5:34: '1e400' is too large for a number; expected a finite number",
    ),
    (
        "net.yaml",
        "[batch, 3, height, width]",
        "[batch, 3, heigth, width]",
        "net.yaml:8:23: structure.inputs.image.2: no free dimension 'heigth'; did you mean 'height'?",
    ),
    (
        "net.yaml",
        "[batch, 3, height, width]",
        "[batch, 3]",
        "net.yaml:10:7: structure.layers.stem: a conv of an input (batch, 3) of rank 2; expected an input of rank 3 or 4 or 5",
    ),
    (
        "net.yaml",
        "[batch, 3, height, width]",
        "[]",
        "net.yaml:8:12: structure.inputs.image: a list of 0 is not a shape; expected a list of 1 to 8 extents",
    ),
    (
        "net.yaml",
        "[conv1, stem_relu]",
        "[conv1, stem_rel]",
        "net.yaml:17:48: structure.layers.block.layers.add.inputs.1: no layer or input is named 'stem_rel'; did you mean 'stem_relu'?",
    ),
    (
        "net.yaml",
        "[conv1, stem_relu]",
        "[conv1, image]",
        "net.yaml:17:11: structure.layers.block.layers.add: shapes do not fit where free dimensions have their defaults: shapes do not broadcast: 16 and 32; expected fields that fit an input (1, 16, 16, 16), (1, 3, 32, 32)",
    ),
    (
        "net.yaml",
        "[conv1, stem_relu]",
        "[conv1, add]",
        "net.yaml:17:48: structure.layers.block.layers.add.inputs.1: a cycle: add -> add; expected layers that read earlier layers only",
    ),
    (
        "net.yaml",
        "name: stem_relu",
        "name: stem",
        (
            "net.yaml:11:14: structure.layers.stem.name: a second 'stem'; expected each name once\n"
            "net.yaml:17:48: structure.layers.block.layers.add.inputs.1: no layer or input is named 'stem_relu'; did you mean 'stem'?"
        ),
    ),
    (
        "net.yaml",
        "count: 3",
        "count: 0",
        "net.yaml:14:14: structure.layers.block.count: extent 0 is below 1; expected a whole number from 1 to 1e12, a free dimension, or arithmetic on them",
    ),
    (
        "net.yaml",
        "4 * channels, kernel",
        "4 / 0, kernel",
        "net.yaml:18:42: structure.layers.expand.channels: '4 / 0' divides by zero or overflows; expected a whole number from 1 to 1e12, a free dimension, or arithmetic on them",
    ),
    (
        "net.yaml",
        "4 * channels, kernel",
        "9**9**9, kernel",
        "net.yaml:18:42: structure.layers.expand.channels: only + - * / and // are extents; expected a whole number from 1 to 1e12, a free dimension, or arithmetic on them",
    ),
    (
        "net.yaml",
        "4 * channels, kernel",
        "1e999 * channels, kernel",
        "net.yaml:18:42: structure.layers.expand.channels: '1e309' is beyond 1e+12; expected a whole number from 1 to 1e12, a free dimension, or arithmetic on them",
    ),
    (
        "net.yaml",
        "4 * channels, kernel",
        "1e12 * channels, kernel",
        "net.yaml:18:7: structure.layers.expand: makes (batch, 1000000000000*channels, …): extent 1000000000000*channels is 1.6e+13 at the defaults of the parameters; expected a whole number from 1 to 1e12, a free dimension, or arithmetic on them",
    ),
    (
        "net.yaml",
        "4 * channels, kernel",
        "__import__('os'), kernel",
        "net.yaml:18:42: structure.layers.expand.channels: '__import__('os')' is not an extent; expected a whole number from 1 to 1e12, a free dimension, or arithmetic on them",
    ),
    (
        "net.yaml",
        "groups: 4 * channels",
        "groups: 7",
        "net.yaml:19:7: structure.layers.depthwise: shapes do not fit where free dimensions have their defaults: 64 input channels do not divide into 7 groups; expected fields that fit an input (1, 64, 16, 16)",
    ),
    (
        "net.yaml",
        "features: 10",
        "features: 1e30",
        "net.yaml:21:48: structure.layers.classifier.features: extent 1e+30 is beyond 1e+12; expected a whole number from 1 to 1e12, a free dimension, or arithmetic on them",
    ),
    (
        "net.yaml",
        "features: 10",
        "featuers: 10",
        (
            "net.yaml:21:7: structure.layers.classifier: missing key 'features'; expected an extent\n"
            "net.yaml:21:38: structure.layers.classifier.featuers: unknown key 'featuers'; did you mean 'features'?"
        ),
    ),
    (
        "net.yaml",
        "unit: frames",
        "unit: frames\n  unit: frames",
        "net.yaml:7:3: duplicate key 'unit' (first on line 6); expected each key once",
    ),
    (
        "net.yaml",
        "unit: frames",
        "outputs: [clasifier]",
        "net.yaml:6:13: structure.outputs.0: no layer is named 'clasifier'; did you mean 'classifier'?",
    ),
    (
        "net.yaml",
        "structure:",
        "structur:",
        "net.yaml:4:1: structur: unknown key 'structur'; did you mean 'structure'?",
    ),
    (
        "llm.yaml",
        "family: transformer",
        "family: transformr",
        "llm.yaml:3:9: family: no family is named 'transformr'; expected one of …; did you mean 'transformer'?",
    ),
    (
        "llm.yaml",
        "layers: 4",
        "layers: 0",
        "llm.yaml:5:11: structure.layers: 0 is too small; expected a number above 0",
    ),
    (
        "llm.yaml",
        "layers: 4",
        'layers: "4"',
        "llm.yaml:5:11: structure.layers: '4' is not a whole number; expected a whole number without quotes",
    ),
    (
        "llm.yaml",
        "layers: 4",
        "layers: 4.5",
        "llm.yaml:5:11: structure.layers: 4.5 is not a whole number; expected a whole number",
    ),
    (
        "llm.yaml",
        "layers: 4",
        "layers: 99999999999999",
        "llm.yaml:5:11: structure.layers: 99999999999999 is too large; expected at most 10,000,000",
    ),
    (
        "llm.yaml",
        "heads: 8",
        "heads: 7",
        (
            "llm.yaml:7:10: structure.heads: a width of 512 does not divide by 7 heads; expected a divisor of 512, or 'head_dim'; did you mean '8'?\n"
            "llm.yaml:8:13: structure.kv_heads: 7 heads do not divide by 2 key and value heads; expected a divisor of 7; did you mean '1'?"
        ),
    ),
    (
        "llm.yaml",
        "kv_heads: 2",
        "kv_heads: 3",
        "llm.yaml:8:13: structure.kv_heads: 8 heads do not divide by 3 key and value heads; expected a divisor of 8; did you mean '2'?",
    ),
    (
        "llm.yaml",
        "per_token: 2",
        "per_token: 9",
        "llm.yaml:9:34: structure.experts.per_token: a token cannot visit 9 of 8 experts; expected 1 to 8",
    ),
    (
        "llm.yaml",
        "per_token: 2",
        "per_tokens: 2",
        (
            "llm.yaml:9:3: structure.experts: missing key 'per_token'\n"
            "llm.yaml:9:23: structure.experts.per_tokens: unknown key 'per_tokens'; did you mean 'per_token'?"
        ),
    ),
    (
        "llm.yaml",
        "experts: {count: 8, per_token: 2, ffn_width: 1024}",
        "experts: 8",
        "llm.yaml:9:12: structure.experts: 8 is not a mapping; expected keys and values",
    ),
    (
        "llm.yaml",
        "vocabulary: 32000",
        "vocabulary: .inf",
        "llm.yaml:10:15: '.inf' is not a finite number; expected a finite number",
    ),
    (
        "llm.yaml",
        "vocabulary: 32000",
        "vocabulary: [32000]",
        "llm.yaml:10:15: structure.vocabulary: a list is not a whole number; expected a whole number",
    ),
    (
        "llm.yaml",
        "batch: 1",
        "bacth: 1",
        "llm.yaml:11:14: parameters.bacth: no free dimension 'bacth'; expected one of batch, context, prompt, past, generate, tokens; did you mean 'batch'?",
    ),
    (
        "llm.yaml",
        "batch: 1",
        "batch: 0",
        "llm.yaml:11:21: parameters.batch: 0 is not an extent; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        "llm.yaml",
        "context: 2048",
        "context: 1e300",
        "llm.yaml:11:33: parameters.context: 1e+300 is not an extent; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        "llm.yaml",
        "precision: w4a16",
        "precision: w4b16",
        "llm.yaml:12:12: precision: 'w4b16' is not a precision; expected one format (fp16, q4_0), widths (w4a16, w4g128a16kv8) or w=int4,a=fp16,kv=fp8; did you mean 'w4a16'?",
    ),
    (
        "llm.yaml",
        "source: paper",
        "source: papr",
        "llm.yaml:15:39: published.source: no source is named 'papr'; expected a key of 'sources'; did you mean 'paper'?",
    ),
    (
        "llm.yaml",
        "params: 63000000",
        "params: -1",
        "llm.yaml:15:21: published.params: -1 is too small; expected a number above 0",
    ),
    (
        "llm.yaml",
        "year: 2024",
        "year: 24",
        "llm.yaml:14:35: sources.paper.year: 24 is too small; expected a number from 1950",
    ),
    (
        "llm.yaml",
        "name: llm",
        "name: My LLM",
        "llm.yaml:2:7: name: 'My LLM' is not spelled as it must be; expected text that matches ^[a-z0-9][a-z0-9_]*$; did you mean 'my_llm'?",
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
