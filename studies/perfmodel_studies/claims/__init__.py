"""One published system a file: its claims (YAML), and what computes those that none asks for.

A module ``NAME.py`` beside ``NAME.yaml`` has ``predicted() -> dict[str, float]``: claim -> number.
"""
