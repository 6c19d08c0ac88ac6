"""Streaming kernels and stencils on one core: measured clocks a line beside the caches' model."""
