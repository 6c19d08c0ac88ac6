"""Accuracy models: the loss in output error from formats, sparsity and channel pruning.

All sources return losses in one form and are named wherever their numbers appear. A loss has no
unit unless it is calibrated with measurements.
"""

from perfmodel.search.accuracy.accuracy_model import AccuracyModel, Configuration
from perfmodel.search.accuracy.accuracy_table import AccuracyTable
from perfmodel.search.accuracy.activation_ranges import Ranges, read_ranges, record_ranges
from perfmodel.search.accuracy.additivity_test import AdditivityReport, additivity
from perfmodel.search.accuracy.architecture_losses import ArchitectureLosses, architectures
from perfmodel.search.accuracy.hessian_traces import hawq
from perfmodel.search.accuracy.layer_option import LayerOption, describe, parse_option
from perfmodel.search.accuracy.magnitude_pruning import prune, prune_channels
from perfmodel.search.accuracy.monotone_calibration import calibrated
from perfmodel.search.accuracy.noise_model import pruning, sqnr
from perfmodel.search.accuracy.onnx_runs import Rewriter, measured_gains, output_noise, rewritten
from perfmodel.search.accuracy.pairwise_model import pairwise
from perfmodel.search.accuracy.ridge_predictor import fitted
from perfmodel.search.accuracy.sensitivity_table import table
from perfmodel.search.accuracy.simulated_quantisation import fake_quantise, noise
from perfmodel.search.accuracy.user_model import user
from perfmodel.search.accuracy.weight_compression import compress

__all__ = [
    "AccuracyModel",
    "AccuracyTable",
    "AdditivityReport",
    "ArchitectureLosses",
    "Configuration",
    "LayerOption",
    "Ranges",
    "Rewriter",
    "additivity",
    "architectures",
    "calibrated",
    "compress",
    "describe",
    "fake_quantise",
    "fitted",
    "hawq",
    "measured_gains",
    "noise",
    "output_noise",
    "pairwise",
    "parse_option",
    "prune",
    "prune_channels",
    "pruning",
    "read_ranges",
    "record_ranges",
    "rewritten",
    "sqnr",
    "table",
    "user",
]
