"""Classical machine learning: families of models that are no neural networks.

`svm`, `linear`, `bayes`, `neighbours`, `k_means` and `forest` hold a family each, `builder` the
operators that they share.
"""
