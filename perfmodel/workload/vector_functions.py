"""Elementwise functions by name, with their arithmetic operations per element."""

from __future__ import annotations

from collections.abc import Mapping

#: Elementwise functions by their names in YAML, with operation counts from their formulas; a
#: transcendental counts as 4. Names in other formats are those of the operators registered in
#: `importers/onnx/registry.py`.
FUNCTIONS: Mapping[str, float] = {
    "relu": 1,
    "relu6": 2,
    "leaky_relu": 2,
    "prelu": 2,
    "clip": 2,
    "abs": 1,
    "neg": 1,
    "erf": 8,
    "add": 1,
    "sub": 1,
    "mul": 1,
    "div": 4,
    "sqrt": 4,
    "pow": 8,
    "exp": 4,
    "log": 4,
    "tanh": 8,
    "sigmoid": 6,
    "hard_sigmoid": 3,
    "hard_swish": 4,
    "silu": 7,
    "gelu": 12,
    "gelu_tanh": 12,
    "elu": 6,
    "selu": 7,
    "softplus": 9,
    "mish": 14,
    "square": 1,
    "relu2": 2,
    "swiglu": 8,
    "geglu": 13,
    "silu_gate": 8,
    "gelu_gate": 13,
    "gelu_tanh_gate": 13,
    "relu_gate": 2,
    "sigmoid_gate": 7,
    "compare": 1,
    "logical": 1,
    "where": 1,
    "cast": 1,
    "shift": 0,
    "rope": 6,
}

#: Arithmetic operations per element, including normalisations and conversions.
VECTOR_OPS: Mapping[str, float] = {
    **FUNCTIONS,
    "batch_norm": 2,
    "layer_norm": 8,
    "rms_norm": 5,
    "group_norm": 8,
    "softmax": 7,
    "quantise": 3,
    "dequantise": 2,
}
