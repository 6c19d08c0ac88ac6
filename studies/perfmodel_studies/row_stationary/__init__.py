"""The row-stationary mappings of chips that published theirs."""
