"""Single kernels as networks of one operator, their extents free: what a kernel benchmark runs."""
