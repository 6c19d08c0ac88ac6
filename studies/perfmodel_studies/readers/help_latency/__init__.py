"""HELP's latencies of whole spaces of architectures (Lee et al., NeurIPS 2021), a file a space.

`columns.yaml` says what each column was measured on, `evaluate` costs all networks of a column with
an oracle, `kernels` does so under other constants, for fits.
"""
