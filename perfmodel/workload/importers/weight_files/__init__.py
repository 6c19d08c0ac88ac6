"""Stored weights: match the tensors of a file with the weights of a graph, and set formats."""
