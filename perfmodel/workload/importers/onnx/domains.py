"""Operators by domain: of the standard, of runtimes, and of other formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any, Final

from perfmodel.workload.builder import VECTOR_OPS
from perfmodel.workload.importers.onnx import attention, own, qonnx
from perfmodel.workload.importers.onnx import operators_ml as learned
from perfmodel.workload.importers.onnx import operators_movement as move
from perfmodel.workload.importers.onnx import operators_products as multiply
from perfmodel.workload.importers.onnx import operators_quantised as quantised
from perfmodel.workload.importers.onnx import operators_special as special
from perfmodel.workload.importers.onnx import shapes as s
from perfmodel.workload.importers.onnx import shapes_made as creation
from perfmodel.workload.importers.onnx import shapes_movement as movement
from perfmodel.workload.importers.onnx import shapes_products as products
from perfmodel.workload.importers.onnx import shapes_special as unusual
from perfmodel.workload.importers.onnx.node import OnnxNode
from perfmodel.workload.importers.onnx.operators_pointwise import elementwise, norm
from perfmodel.workload.importers.onnx.pricing import STANDARD as NAMES
from perfmodel.workload.importers.onnx.pricing import Pricer, Pricing, counted
from perfmodel.workload.importers.onnx.registry import (
    COPIED,
    COPIES,
    FUNCTIONS,
    LOOKUPS,
    NORMS,
    POOLS,
    REDUCTIONS,
    Group,
    RegisteredOperator,
    by_name,
    each,
    function,
    priced,
)
from perfmodel.workload.importers.onnx.shapes import Rule

_op = RegisteredOperator


def _integer(op: str, *, zero: int = 0, shape: Rule | None = None) -> RegisteredOperator:
    """Return the integer form of an operator: its first input among scales and zero points.

    Parameters
    ----------
    zero
        Input that is the zero point of the output, which has its format.
    """

    def bare(node: OnnxNode) -> OnnxNode:
        return OnnxNode(op, node.name, (node.get(0),), node.outputs, node.attributes, node.domain)

    def rule(node: OnnxNode) -> None:
        infer = STANDARD[op].shape
        assert infer is not None
        infer(bare(node))
        point = node.get(zero) if zero else None
        if point is not None:
            node.out.format = point.format

    def price(p: Pricer, n: OnnxNode) -> None:
        known = STANDARD[op].price
        assert known is not None
        known(p, bare(n))

    return RegisteredOperator(f"QLinear{op}", shape or rule, price)


#: Of an integer product ``A, scale, zero, B, scale, zero, ...`` the second factor, and what brings
#: an accumulated integer to the output's scale.
_LINEAR: Final[Mapping[str, Any]] = {"second": 3, "extra": quantised.REQUANTISE}

_written: Final = counted("copy", reads="nothing")
_looked_at: Final = counted("pool", 1)
_random: Final = partial(function, shape=creation.random_like)

#: All others of the standard, and what runtimes spell as operators of it.
_OTHERS: Final = (
    function("Cast", shape=s.cast),
    function("CastLike", shape=s.cast, cost="cast"),
    _random("RandomUniform", cost=4),
    _random("RandomUniformLike", cost=4),
    _random("RandomNormal", cost=12),
    _random("RandomNormalLike", cost=12),
    _random("Bernoulli", cost=5),
    function("FastGelu", cost="gelu_tanh"),
    function("BiasGelu", cost=13),
    function("QuickGelu", cost="silu"),
    function("BiasAdd", cost=2),
    function("ScaledTanh", cost=9),
    function("ParametricSoftplus", cost="softplus"),
    function("ImageScaler", cost=2),
    *priced(norm(VECTOR_OPS["layer_norm"] + 2), EmbedLayerNormalization=None),
    *priced(norm(VECTOR_OPS["group_norm"]), GroupNorm=s.first_same),
    *priced(norm(VECTOR_OPS["group_norm"] + 1), SkipGroupNorm=None),
    *priced(norm(VECTOR_OPS["layer_norm"] + 1), SkipLayerNormalization=s.layer_norm),
    *priced(norm(VECTOR_OPS["rms_norm"] + 1), SkipSimplifiedLayerNormalization=s.layer_norm),
    *priced(elementwise(14), BiasSplitGelu=None),
    *priced(elementwise(1), IsAllFinite=None),
    *priced(counted("softmax", 2, inplace=True), Hardmax=s.first_same),
    *priced(
        move.view,
        BitCast=s.cast,
        Identity=s.first_same,
        Dropout=creation.dropout,
        Reshape=movement.reshape,
        Flatten=movement.flatten,
        Squeeze=movement.squeeze,
        Unsqueeze=movement.unsqueeze,
        Optional=None,
        OptionalGetElement=None,
        ScanInput=None,
    ),
    *priced(move.gather_up, ScanOutput=None),
    *priced(None, Scan=unusual.scan),
    *priced(move.shape_only, Shape=creation.shape_of, Size=creation.size_of),
    *priced(
        move.copy,
        Transpose=movement.transpose,
        Expand=movement.expand,
        ReverseSequence=s.first_same,
    ),
    *priced(
        move.part,
        Slice=movement.sliced,
        Split=movement.split,
        CenterCropPad=creation.center_crop,
        DynamicSlice=None,
    ),
    *priced(move.resize, Resize=movement.resize, Upsample=movement.resize),
    *priced(
        move.sample,
        RoiAlign=creation.roi_align,
        AffineGrid=creation.affine_grid,
        CropAndResize=None,
    ),
    *priced(
        counted("pool", 1, reads="all"),
        MaxRoiPool=creation.roi_align,
        MaxUnpool=creation.unpool,
        NegativeLogLikelihoodLoss=s.loss,
    ),
    *priced(
        _written,
        Constant=None,
        ConstantOfShape=creation.filled,
        Range=creation.range_of,
        EyeLike=creation.eye_like,
        OneHot=creation.one_hot,
        HannWindow=creation.window,
        HammingWindow=creation.window,
        BlackmanWindow=creation.window,
        MelWeightMatrix=creation.mel_matrix,
    ),
    *priced(multiply.conv, Conv=s.convolution),
    *priced(partial(multiply.conv, transposed=True), ConvTranspose=s.convolution),
    *priced(multiply.deform_conv, DeformConv=s.convolution),
    # Accumulators are written; a scale per channel is taken in from the product behind.
    *priced(partial(multiply.conv, bias=4), ConvInteger=s.convolution),
    *priced(partial(multiply.conv, bias=8, **_LINEAR), QLinearConv=s.convolution),
    *priced(multiply.gemm, Gemm=products.gemm),
    *priced(multiply.matmul, MatMul=products.matmul),
    *priced(partial(multiply.matmul, bias=4), MatMulInteger=products.matmul),
    *priced(partial(multiply.matmul, bias=8, **_LINEAR), QLinearMatMul=products.matmul),
    *priced(multiply.einsum, Einsum=products.einsum),
    *priced(multiply.det, Det=s.determinants),
    *priced(
        quantised.convert, QuantizeLinear=unusual.quantise, DequantizeLinear=unusual.dequantise
    ),
    *priced(
        counted("quantise", VECTOR_OPS["quantise"] + 2, function="quantise"),
        DynamicQuantizeLinear=unusual.dynamic_quantise,
    ),
    *each(s.recurrent, special.recurrent, "LSTM", "GRU", "RNN"),
    *priced(attention.price, Attention=attention.shapes),
    *priced(special.linear_attention, LinearAttention=unusual.linear_attention),
    *priced(special.causal_conv, CausalConvWithState=unusual.causal_conv),
    *priced(
        counted("elementwise", VECTOR_OPS["rope"], reads="all", inplace=True, function="rope"),
        RotaryEmbedding=s.first_same,
    ),
    *priced(
        counted("elementwise", VECTOR_OPS["swiglu"], of="output", reads="all", function="swiglu"),
        SwiGLU=unusual.swiglu,
    ),
    *priced(special.dft, DFT=unusual.dft),
    *priced(special.stft, STFT=unusual.stft),
    *priced(special.select, TopK=s.top_k, Unique=unusual.unique),
    *priced(
        _looked_at, NonZero=unusual.nonzero, Multinomial=unusual.multinomial, Col2Im=creation.col2im
    ),
    *priced(special.suppress, NonMaxSuppression=unusual.suppression),
    *priced(
        counted("softmax", VECTOR_OPS["softmax"] + 5, reads="all"), SoftmaxCrossEntropyLoss=s.loss
    ),
)


#: Operators of the standard, by name.
STANDARD: Final[Group] = by_name(
    *(group.values() for group in (FUNCTIONS, REDUCTIONS, NORMS, POOLS, COPIES, LOOKUPS)), _OTHERS
)

#: Operators of other domains that mean something else than the standard's of that name.
CONTRIBUTED: Final[Group] = by_name(
    each(
        attention.shapes,
        attention.price,
        "Attention",
        "MultiHeadAttention",
        "GroupQueryAttention",
        "QAttention",
    ),
    (
        STANDARD["RotaryEmbedding"],
        STANDARD["SkipLayerNormalization"],
        STANDARD["SkipSimplifiedLayerNormalization"],
        _integer("LeakyRelu", zero=4),
        _integer("Sigmoid", zero=4),
        _integer("Softmax", zero=4),
        _integer("AveragePool"),
        _integer("ReduceMean"),
        _integer("GlobalAveragePool", shape=unusual.spatial_mean),
        *priced(
            quantised.convert, QuantizeLinear=unusual.quantise, DequantizeLinear=unusual.dequantise
        ),
        *priced(multiply.conv, FusedConv=s.convolution),
        *priced(multiply.gemm, FusedGemm=products.gemm),
        *priced(special.experts, MoE=s.first_same),
        *priced(special.embed_norm, EmbedLayerNormalization=unusual.embed_norm),
        *priced(quantised.narrow_gather, GatherBlockQuantized=unusual.block_gather),
        *priced(special.quantised_lstm, DynamicQuantizeLSTM=unusual.quantised_lstm),
        *priced(partial(multiply.gemm, bias=6, **_LINEAR), QGemm=unusual.quantised_gemm),
        *priced(
            partial(multiply.matmul, bias=6, extra=VECTOR_OPS["dequantise"]),
            MatMulIntegerToFloat=unusual.integer_to_float,
        ),
        *priced(quantised.dynamic_matmul, DynamicQuantizeMatMul=unusual.integer_to_float),
        *priced(quantised.quantised_concat, QLinearConcat=unusual.quantised_concat),
    ),
    each(unusual.quantised_pair, quantised.scaled, "QLinearAdd", "QLinearMul"),
    each(unusual.fused_matmul, special.fused_matmul, "FusedMatMul", "TransposeMatMul"),
    each(unusual.narrow, quantised.narrow_matmul, "MatMulNBits", "MatMulBnb4", "MatMulFpQ4"),
)

#: Operators of ``ai.onnx.ml``.
LEARNED: Final[Group] = by_name(
    (
        *priced(learned.scaler, Scaler=s.first_same),
        *priced(learned.normalizer, Normalizer=s.first_same),
        *priced(COPIED, ZipMap=s.first_same),
        *priced(counted("copy", 1), OneHotEncoder=learned.one_hot),
        *priced(counted("gather", reads="all"), ArrayFeatureExtractor=learned.columns),
        *priced(
            learned.linear,
            LinearClassifier=learned.classifier,
            LinearRegressor=learned.regressor,
        ),
        *priced(
            learned.support_vectors,
            SVMClassifier=learned.classifier,
            SVMRegressor=learned.regressor,
        ),
        *priced(
            learned.trees,
            TreeEnsembleClassifier=learned.classifier,
            TreeEnsembleRegressor=learned.regressor,
        ),
        *priced(learned.ensemble, TreeEnsemble=learned.regressor),
    ),
    (
        _op(name, shape, counted("elementwise", each, inplace=True, function=name.lower()))
        for name, shape, each in (
            ("Imputer", s.first_same, 2),
            ("Binarizer", s.first_same, 1),
            ("LabelEncoder", learned.encoded, 1),
        )
    ),
)

#: Quantisers of QONNX, FINN and Brevitas.
QUANTISERS: Final[Group] = by_name(
    each(
        qonnx.shaped,
        counted("quantise", VECTOR_OPS["quantise"], function="quantise"),
        *qonnx.QUANTISERS,
    ),
    each(qonnx.shaped, qonnx.thresholds, "MultiThreshold"),
)

#: Operators that importers of other formats write.
OWN: Final[Group] = by_name(
    priced(move.view, View=own.viewed), priced(multiply.matmul, Linear=own.linear)
)

#: Domains of other formats, and the module with their ``OPERATORS``, which is imported when such a
#: file is read.
FORMATS: Final[Mapping[str, str]] = dict.fromkeys(
    ("tflite", "tflite.custom"), "perfmodel.workload.importers.tflite.operators"
)


@dataclass(frozen=True, slots=True)
class Domain:
    """The operators of a domain.

    Attributes
    ----------
    rules, prices
        Operator -> what infers its shapes, and what prices it.
    any_rule, any_price
        Those of every other operator, if there are.
    unpriced
        What is said of an operator without a price; a domain that nothing knows is named.
    """

    rules: Mapping[str, Rule]
    prices: Mapping[str, Pricing]
    any_rule: Rule | None = None
    any_price: Pricing | None = None
    unpriced: str = ""

    def rule(self, op: str) -> Rule | None:
        """Return what infers the shapes of an operator."""
        return self.rules.get(op, self.any_rule)

    def price(self, op: str) -> Pricing | None:
        """Return what prices an operator."""
        return self.prices.get(op, self.any_price)


def _rules(*groups: Group) -> dict[str, Rule]:
    return {n: entry.shape for g in groups for n, entry in g.items() if entry.shape is not None}


def _prices(*groups: Group) -> dict[str, Pricing]:
    return {n: entry.price for g in groups for n, entry in g.items() if entry.price is not None}


def _of(group: Group, unpriced: str = "") -> Domain:
    return Domain(_rules(group), _prices(group), unpriced=unpriced)


_MICROSOFT: Final = _rules(STANDARD, CONTRIBUTED)

_DOMAINS: Final[Mapping[str, Domain]] = {
    **dict.fromkeys(NAMES, Domain(_rules(CONTRIBUTED, STANDARD), _prices(STANDARD))),
    # Other operators of these are spelled and behave as the standard's.
    **dict.fromkeys(
        ("com.microsoft", "com.microsoft.nchwc"), Domain(_MICROSOFT, _prices(STANDARD, CONTRIBUTED))
    ),
    "ai.onnx.contrib": Domain({}, _prices(STANDARD, CONTRIBUTED)),
    "ai.onnx.ml": _of(LEARNED),
    **dict.fromkeys(qonnx.DOMAINS, _of(QUANTISERS)),
    own.DOMAIN: _of(OWN),
    own.TYPED: Domain({}, _prices(STANDARD, OWN), any_rule=own.stated),
    own.UNKNOWN: Domain({}, {}, any_rule=own.stated, any_price=own.price_unknown),
}
_OTHER: Final = Domain({}, _prices(CONTRIBUTED))
_OTHER_MICROSOFT: Final = Domain(_MICROSOFT, _prices(CONTRIBUTED))


@cache
def _of_format(name: str) -> Domain:
    custom = name.endswith(".custom")
    return _of(
        import_module(FORMATS[name]).OPERATORS, "a custom operator" if custom else "has no price"
    )


def domain_of(name: str) -> Domain:
    """Return the operators of a domain; of one that nothing knows, those that runtimes add."""
    if name in FORMATS:
        return _of_format(name)
    return _DOMAINS.get(name, _OTHER_MICROSOFT if name.startswith("com.microsoft") else _OTHER)
