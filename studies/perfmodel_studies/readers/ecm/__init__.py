"""Streaming kernels and stencils on one core: measured clocks per line beside the caches' model."""
