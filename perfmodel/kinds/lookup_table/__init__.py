"""Products by table look-up: the law of T-MAC and TeLLMe, and engines with tables in fabric.

`counts` has the law, for tables in fabric and for the shuffles of a CPU; `kind` costs a table of
operators on an engine of tables (`spec`), and is not imported here: CPUs only need the law.
"""

from perfmodel.kinds.lookup_table.counts import blocks, passes

__all__ = ["blocks", "passes"]
