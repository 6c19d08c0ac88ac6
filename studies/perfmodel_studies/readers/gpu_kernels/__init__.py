"""Kernels measured on GPUs: products, experts, attention, collectives, and networks of them.

`rows` reads the common form of their files, `workloads` builds a network of one kernel, `products`
predicts all rows of a data set at once under other constants, for fits.
"""
