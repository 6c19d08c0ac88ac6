"""Mutations of sound configs, operator graphs and CSV files: what each is told."""
# ruff: noqa: E501  (each fault reads as it is printed; … stands for a list of names)

from collections.abc import Callable

import pytest

# (file, old text, new text, what is said)
MUTATIONS = [
    (
        "config.json",
        '"llama"',
        '"lama"',
        "config.json:5:17: model_type: no reader for the architecture 'lama'; did you mean 'llama'?",
    ),
    (
        "config.json",
        '"llama"',
        '"m2m_100"',
        "config.json:5:17: model_type: no reader for the architecture 'm2m_100'; expected one of …",
    ),
    (
        "config.json",
        '"llama"',
        "3",
        "config.json:5:17: model_type: 3 is not a text; expected one of …",
    ),
    (
        "config.json",
        "model_type",
        "modeltype",
        "config.json:5:3: modeltype: unknown key 'modeltype'; did you mean 'model_type'?",
    ),
    (
        "config.json",
        'attention_heads": 8',
        'attention_heads": 7',
        (
            "config.json:6:26: num_attention_heads: a width of 512 does not divide by 7 heads; expected a divisor of 512, or 'head_dim'; did you mean '8'?\n"
            "config.json:8:26: num_key_value_heads: 7 heads do not divide by 2 key and value heads; expected a divisor of 7; did you mean '1'?"
        ),
    ),
    (
        "config.json",
        'key_value_heads": 2',
        'key_value_heads": 3',
        "config.json:8:26: num_key_value_heads: 8 heads do not divide by 3 key and value heads; expected a divisor of 8; did you mean '2'?",
    ),
    (
        "config.json",
        'attention_heads": 8',
        'attention_head": 8',
        "config.json:6:3: num_attention_head: unknown key 'num_attention_head'; did you mean 'num_attention_heads'?",
    ),
    (
        "config.json",
        '"hidden_size": 512',
        '"hidden_size": -512',
        "config.json:3:18: hidden_size: -512 is not a size; expected a whole number from 1 to 10,000,000",
    ),
    (
        "config.json",
        '"hidden_size": 512',
        '"hidden_size": "512"',
        "config.json:3:18: hidden_size: '512' is not a size; expected a whole number from 1 to 10,000,000",
    ),
    (
        "config.json",
        '"hidden_size": 512',
        '"hidden_size": NaN',
        "config.json:3:18: 'NaN' is not a finite number; expected a finite number",
    ),
    (
        "config.json",
        '"hidden_size": 512',
        '"hidden_size": 1e400',
        "config.json:3:18: '1e400' is too large for a number; expected a finite number",
    ),
    (
        "config.json",
        '"hidden_size": 512',
        '"hidden_size": 1e18',
        "config.json:3:18: hidden_size: 1000000000000000000 is not a size; expected a whole number from 1 to 10,000,000",
    ),
    (
        "config.json",
        '"hidden_size": 512',
        '"hidden_size": null',
        "config.json:3:18: hidden_size: has no value; expected a whole number from 1 to 10,000,000",
    ),
    (
        "config.json",
        '"hidden_size": 512,\n',
        "",
        "config.json:1:1: missing key 'hidden_size'; expected a whole number from 1 to 10,000,000",
    ),
    (
        "config.json",
        '"silu"',
        '"silly"',
        "config.json:2:17: hidden_act: unknown activation 'silly'; expected one of …; did you mean 'silu'?",
    ),
    (
        "config.json",
        "false",
        '"no"',
        "config.json:9:26: tie_word_embeddings: 'no' is not a flag; expected true or false",
    ),
    (
        "config.json",
        '"vocab_size"',
        '"hidden_size": 512, "vocab_size"',
        "config.json:11:3: duplicate key 'hidden_size' (first on line 3); expected each key once",
    ),
    (
        "graph.json",
        '"inputs": ["x", "w"]',
        '"inputs": ["xx", "w"]',
        "graph.json:5:45: nodes.conv.inputs.0: no node produces 'xx'; expected an input of the graph, an output of a node, or a name among 'weights'; did you mean 'x'?",
    ),
    (
        "graph.json",
        '"inputs": ["x", "w"]',
        '"inputs": ["r", "w"]',
        "graph.json:5:45: nodes.conv.inputs.0: 'r' is read before 'relu' produces it; expected nodes in order of execution, without a cycle",
    ),
    (
        "graph.json",
        '"outputs": ["r"]',
        '"outputs": ["c"]',
        "graph.json:8:63: nodes.relu.outputs.0: 'c' is produced twice; expected each name once",
    ),
    (
        "graph.json",
        '[[2, 4, 8, 8]], "out_shapes": [[2, 4, 8, 8]]}',
        '[[2, 4, 8, 9]], "out_shapes": [[2, 4, 8, 8]]}',
        "graph.json:9:18: nodes.relu.in_shapes.0: 'c' is read as [2, 4, 8, 9]; expected [2, 4, 8, 8], as it is produced",
    ),
    (
        "graph.json",
        '{"x": [2, 3, 8, 8]}',
        '{"x": [2, -3, 8, 8]}',
        "graph.json:3:18: inputs.x: [2, -3, 8, 8] is not a shape; expected extents from 1 to 1099511627776",
    ),
    (
        "graph.json",
        '{"x": [2, 3, 8, 8]}',
        '{"x": [2, 3, 8, "8"]}',
        "graph.json:3:28: inputs.x.3: '8' is not a whole number; expected a whole number without quotes",
    ),
    (
        "graph.json",
        '{"x": [2, 3, 8, 8]}',
        '{"x": [2, 3, 8, 10000000000000]}',
        "graph.json:3:18: inputs.x: [2, 3, 8, 10000000000000] is not a shape; expected extents from 1 to 1099511627776",
    ),
    (
        "graph.json",
        '"op": "Conv"',
        '"opp": "Conv"',
        (
            "graph.json:5:3: nodes.conv: missing key 'op'\n"
            "graph.json:5:20: nodes.conv.opp: unknown key 'opp'; did you mean 'op'?"
        ),
    ),
    (
        "graph.json",
        '"op": "Conv"',
        '"op": ""',
        "graph.json:5:26: nodes.conv.op: is empty; expected at least 1 character",
    ),
    (
        "graph.json",
        "[[2, 3, 8, 8], [4, 3, 3, 3]]",
        "[[2, 3, 8, 8]]",
        "graph.json:6:17: nodes.conv.in_shapes: 1 shapes for 2 tensors; expected one for each, or null",
    ),
    (
        "sizes.json",
        "KiB",
        "Kib",
        "sizes.json:3:10: unit: 'Kib' is not a unit of size; expected one of …; did you mean 'KiB'?",
    ),
    (
        "sizes.json",
        "[0, 1]",
        "[0, 7]",
        "sizes.json:7:31: operators.g.inputs.1: there is no operator 7; expected a position from 0 to 2",
    ),
    (
        "sizes.json",
        '"inputs": [0], ',
        '"inputs": [2], ',
        "sizes.json:6:61: operators.f.inplace: 0 is not one of its inputs; expected null or 2",
    ),
    (
        "sizes.json",
        '"inplace": 0',
        '"inplace": 2',
        "sizes.json:6:61: operators.f.inplace: 2 is not one of its inputs; expected null or 0",
    ),
    (
        "sizes.json",
        '"output_size": 4,',
        '"output_size": -4,',
        "sizes.json:5:46: operators.x.output_size: -4 is too small; expected a number from 0",
    ),
    (
        "sizes.json",
        '"output_size": 4,',
        '"output_size": 1e300,',
        "sizes.json:5:46: operators.x.output_size: 1e+300 KiB is not a size; expected whole bytes up to 1152921504606846976",
    ),
    (
        "sizes.json",
        '"output_size": 4,',
        '"output_size": "4",',
        "sizes.json:5:46: operators.x.output_size: '4' is not a number; expected a number",
    ),
    (
        "sizes.json",
        "free_store",
        "fre_store",
        "sizes.json:5:49: operators.x.fre_store: unknown key 'fre_store'; did you mean 'free_store'?",
    ),
    (
        "rows.csv",
        "latency_s",
        "latency_ms",
        "rows.csv:1:38: latency_ms: no column of measurements; expected one or more of latency_s, tokens_per_s, frames_per_s, fps, ttft_s, tpot_s, energy_j, power_w, peak_memory_bytes, process_bytes, traffic_bytes; or 'metric' and 'value'; did you mean 'latency_s'?",
    ),
    (
        "rows.csv",
        "model",
        "modle",
        "rows.csv:1:1: model: no column 'model'; expected column 'modle' renamed",
    ),
    (
        "rows.csv",
        "batch",
        "bacth",
        "rows.csv:1:32: bacth: no model has a parameter of this name; did you mean 'batch'?",
    ),
    (
        "rows.csv",
        "device",
        "model",
        "rows.csv:1:7: column 'model' occurs twice; expected a different name for each column",
    ),
    (
        "rows.csv",
        "0.001",
        "-0.001",
        "rows.csv:2:28: latency_s: '-0.001' is not a measurement; expected a number above zero",
    ),
    (
        "rows.csv",
        "0.001",
        "nan",
        "rows.csv:2:28: latency_s: 'nan' is not a measurement; expected a number above zero",
    ),
    (
        "rows.csv",
        "0.001",
        "fast",
        "rows.csv:2:28: latency_s: 'fast' is not a measurement; expected a number above zero",
    ),
    (
        "rows.csv",
        "0.001",
        "1e-320",
        "rows.csv:2:28: latency_s: '1e-320' is not a measurement; expected a number above zero",
    ),
    (
        "rows.csv",
        "0.001",
        "1 ms",
        "rows.csv:2:28: latency_s: '1 ms' is not a measurement; expected a number above zero",
    ),
    (
        "rows.csv",
        ",1,0.001",
        ",0,0.001",
        "rows.csv:2:26: batch: 0 is not an extent; expected a number above 0, at most 1e+12, or an array of them",
    ),
    (
        "rows.csv",
        "fp16,1,",
        "fp16,1,1,",
        "rows.csv:2:1: 7 cells; expected 6 cells, as the header has",
    ),
    (
        "rows.csv",
        "fp16,1,",
        '"fp16,1,',
        "rows.csv:2:1: not CSV: unexpected end of data; expected quotes that close, or none",
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
