"""Tiled traffic in closed form, for arrays of dimensions: nothing is searched point by point."""

from __future__ import annotations

from perfmodel.cost.traffic.closed_forms.attention import AttentionTraffic, attention_traffic
from perfmodel.cost.traffic.closed_forms.gemm import GemmTraffic, gemm_traffic

__all__ = ["AttentionTraffic", "GemmTraffic", "attention_traffic", "gemm_traffic"]
