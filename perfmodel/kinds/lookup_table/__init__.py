"""Products by table look-up: the law of T-MAC and TeLLMe, and engines of tables in fabric.

`counts` is the law, for fabric and for the shuffles of a CPU alike; `kind` costs a table of
operators on an engine of tables (`spec`), and is not imported here: CPUs need the law alone.
"""

from perfmodel.kinds.lookup_table.counts import blocks, passes

__all__ = ["blocks", "passes"]
