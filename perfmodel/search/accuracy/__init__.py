"""Accuracy models: the loss in output error from formats, sparsity and channel pruning.

All sources return losses in one form and are named wherever their numbers appear. A loss has no
unit unless it is calibrated with measurements.
"""

from perfmodel.search.accuracy.additive import AdditivityReport, additivity
from perfmodel.search.accuracy.architectures import ArchitectureLosses, architectures
from perfmodel.search.accuracy.callables import user
from perfmodel.search.accuracy.compress import compress
from perfmodel.search.accuracy.model import AccuracyModel, AccuracyTable, Configuration
from perfmodel.search.accuracy.monotone import calibrated
from perfmodel.search.accuracy.noise_model import pruning, sqnr
from perfmodel.search.accuracy.onnx_runs import Rewriter, measured_gains, output_noise, rewritten
from perfmodel.search.accuracy.option import LayerOption, describe, parse_option
from perfmodel.search.accuracy.pairwise import pairwise
from perfmodel.search.accuracy.predictor import fitted
from perfmodel.search.accuracy.prune import prune, prune_channels
from perfmodel.search.accuracy.quantise import fake_quantise, noise
from perfmodel.search.accuracy.ranges import Ranges, read_ranges, record_ranges
from perfmodel.search.accuracy.sensitivities import table
from perfmodel.search.accuracy.traces import hawq

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
