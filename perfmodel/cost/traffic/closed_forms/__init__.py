"""Tiled traffic in closed form, vectorised over arrays of dimensions, widths and capacities."""

from __future__ import annotations

from perfmodel.cost.traffic.closed_forms.attention import attention_traffic
from perfmodel.cost.traffic.closed_forms.convolution import convolution_traffic
from perfmodel.cost.traffic.closed_forms.depthwise import depthwise_traffic
from perfmodel.cost.traffic.closed_forms.gemm import gemm_traffic

__all__ = ["attention_traffic", "convolution_traffic", "depthwise_traffic", "gemm_traffic"]
