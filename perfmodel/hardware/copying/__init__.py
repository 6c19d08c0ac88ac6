"""Specs of one's own, copied from those of the library."""
