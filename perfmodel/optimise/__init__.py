"""Optimisation with proofs: branch and bound, variable elimination, flows, integer programmes."""
