"""Kernels measured on GPUs: products, mixtures of experts, linear layers of transformers.

`rows` reads the common form of their files, `workloads` builds a network of one kernel, `products`
predicts all rows of a data set at once under other constants, for fits.
"""
