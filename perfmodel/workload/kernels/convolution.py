"""Family ``convolution``: one convolution of images, without bias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field

from perfmodel.frozen import FrozenModel
from perfmodel.workload.families import ExecutionSemantics, Family
from perfmodel.workload.graph import Graph
from perfmodel.workload.kernels.products import one_run
from perfmodel.workload.sequence import SequenceBuilder
from perfmodel.workload.symbols import symbol

_Above = Annotated[int, Field(gt=0, le=1000)]
_Padding = Annotated[int, Field(ge=0, le=1000)]


class ConvolutionStructure(FrozenModel):
    """Window of a convolution, by axis.

    Attributes
    ----------
    kernel_rows, kernel_columns
        Extents of the filters.
    stride_rows, stride_columns
        Steps of the window.
    padding_rows, padding_columns
        Zeros on either side.
    """

    kernel_rows: _Above
    kernel_columns: _Above
    stride_rows: _Above = 1
    stride_columns: _Above = 1
    padding_rows: _Padding = 0
    padding_columns: _Padding = 0


def _extents(structure: ConvolutionStructure) -> Mapping[str, float]:
    del structure
    return {"batch": 1, "channels": 64, "height": 56, "width": 56, "filters": 64}


def _build(structure: ConvolutionStructure, semantics: ExecutionSemantics) -> Graph:
    del semantics
    s = structure
    g = SequenceBuilder("convolution")
    x = g.input("x", tuple(symbol(name) for name in ("batch", "channels", "height", "width")))
    y = g.conv(
        x, symbol("filters"), (s.kernel_rows, s.kernel_columns),
        stride=(s.stride_rows, s.stride_columns), padding=(s.padding_rows, s.padding_columns),
        bias=False,
    )  # fmt: skip
    g.output(y)
    return g.build(_extents(structure))


FAMILY_CONVOLUTION: Final = Family("convolution", ConvolutionStructure, _extents, _build, one_run)
