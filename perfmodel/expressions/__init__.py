"""Conditions on columns: ``"tpot_s <= 50 ms and peak_memory_bytes < 8 GiB"``.

Names, numbers with or without a unit, quoted texts, ``+ - * /``, comparisons (chained as in
mathematics), ``and or not`` and parentheses: nothing else, and nothing is ever run.
"""

from perfmodel.expressions.expression import Expression, parse_expression

__all__ = ["Expression", "parse_expression"]
