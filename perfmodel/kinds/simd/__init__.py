"""CPU cores with vector units that run a network's kernels.

`spec` is the spec class of such cores, `kind` costs an operator table on them.
"""

from perfmodel.kinds.simd.kind import KIND
from perfmodel.kinds.simd.spec import Simd

__all__ = ["KIND", "Simd"]
