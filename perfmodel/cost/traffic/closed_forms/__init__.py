"""Tiled traffic in closed form, for arrays of dimensions: nothing is searched point by point."""

from __future__ import annotations

from perfmodel.cost.traffic.closed_forms.attention import AttentionTraffic, attention_traffic
from perfmodel.cost.traffic.closed_forms.convolution import ConvolutionTraffic, convolution_traffic
from perfmodel.cost.traffic.closed_forms.depthwise import depthwise_traffic
from perfmodel.cost.traffic.closed_forms.gemm import GemmTraffic, gemm_traffic

__all__ = [
    "AttentionTraffic",
    "ConvolutionTraffic",
    "GemmTraffic",
    "attention_traffic",
    "convolution_traffic",
    "depthwise_traffic",
    "gemm_traffic",
]
