"""Vitis AI's tables of its model zoo: frames a second of networks on AMD's boards.

Two releases have a form of their own: `zoo_2_5` and `zoo_3_5`.
"""
