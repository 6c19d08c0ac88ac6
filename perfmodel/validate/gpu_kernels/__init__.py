"""Kernels of GPUs, and networks made of them: measured rows beside their predictions."""
