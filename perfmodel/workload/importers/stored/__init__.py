"""Weights as a file stores them: which tensor is which weight of a graph, and in which format."""
