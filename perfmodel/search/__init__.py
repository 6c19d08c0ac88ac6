"""Which configuration: bits, sparsity, widths and architectures under hard limits."""
