"""Answers with their proof, and the one door to solvers of integer programmes."""
