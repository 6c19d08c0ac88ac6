"""GPUs with matrix units: kernels of products and attention, as their libraries tile them.

`gemm` has the time of dense, batched and grouped products; `kind` costs a table with it.
"""

from perfmodel.kinds.tensor_core.kind import KIND
from perfmodel.kinds.tensor_core.spec import TensorCore

__all__ = ["KIND", "TensorCore"]
