"""Small multi-layer perceptrons in an FPGA's fabric: C-synthesis reports of hls4ml's circuits.

All numbers are estimates of the high-level synthesis, before place and route: cycles are those of
its schedule, amounts what it expects.
"""
