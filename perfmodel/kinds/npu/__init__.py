"""Neural processors of vendors: few facts, and the constants of the vendor's runtime.

`spec` is what a spec file says of one, `weights` where its weights lie from run to run, `kind`
costs a table; `docs/npu.md` has the equations.
"""

from perfmodel.kinds.npu.kind import KIND
from perfmodel.kinds.npu.spec import NeuralProcessor

__all__ = ["KIND", "NeuralProcessor"]
