"""Conditions on columns: ``"tpot_s <= 50 ms and peak_memory_bytes < 8 GiB"``.

Sweeps filter rows, searches state limits and `solve` states its goal by them. The grammar has
names, numbers with or without a unit, quoted texts, ``+ - * /``, comparisons (chained as in
mathematics), ``and or not`` and parentheses. No code is executed.
"""

from perfmodel.expressions.expression import Expression, parse_expression

__all__ = ["Expression", "parse_expression"]
