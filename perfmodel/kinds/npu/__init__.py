"""Neural processors of vendors: few published facts, and constants of the vendor's runtime.

`spec` is the spec class, `weights` the residency of weights between runs, `kind` costs a table;
`docs/npu.md` has the equations.
"""

from perfmodel.kinds.npu.kind import KIND
from perfmodel.kinds.npu.spec import NeuralProcessor

__all__ = ["KIND", "NeuralProcessor"]
