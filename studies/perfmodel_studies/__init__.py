"""Measured data sets and published claims, with what reads them for perfmodel."""
