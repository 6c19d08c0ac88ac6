"""Quantisation and pruning noise of real weights and activations, summed over layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from perfmodel.arrays import Array
from perfmodel.errors import Fault, input_error
from perfmodel.formats import Format
from perfmodel.search.accuracy.accuracy_faults import unknown_layer_faults
from perfmodel.search.accuracy.accuracy_table import Floats
from perfmodel.search.accuracy.activation_ranges import Ranges, activation_noise, read_ranges
from perfmodel.search.accuracy.layer_option import LayerOption, describe
from perfmodel.search.accuracy.layer_weights import LayerWeights, Source, Weights, read_weights
from perfmodel.search.accuracy.separable_model import SeparableModel
from perfmodel.search.accuracy.simulated_quantisation import Clip, simulated
from perfmodel.search.accuracy.weight_compression import noise_ratio
from perfmodel.settings import FaultList


@dataclass(frozen=True)
class Noise(SeparableModel):
    """Noise-to-signal ratios from weights and activation samples: see `sqnr`."""

    name: str
    weights: Weights
    ranges: Ranges | None = None
    gains: Mapping[str, float] = field(default_factory=dict[str, float])
    norm: int = 2
    clip: Clip = "mse"
    _ratios: dict[tuple[str, str], float] = field(
        default_factory=dict[tuple[str, str], float], compare=False, repr=False
    )

    @property
    def known(self) -> Collection[str]:
        """Names of the layers: weight tensors, then aliases."""
        return self.weights.names

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers' weight tensors."""
        return tuple(self.weights.layers)

    def combination_faults(
        self, layers: Sequence[str], options: Sequence[Sequence[LayerOption]]
    ) -> list[Fault]:
        """Return a fault for each format that cannot be simulated."""
        formats = {
            f.name: f
            for own in options
            for o in own
            for f in (o.weights, o.activations)
            if f is not None
        }
        return [
            Fault(
                f"format '{name}' is not simulated",
                path="accuracy",
                expected="integers, floats, ternary, block floats, microscaling, plain ggml",
            )
            for name, format in formats.items()
            if not simulated(format)
        ]

    def losses(
        self, layer: str, options: Sequence[LayerOption], faults: list[Fault]
    ) -> Sequence[float]:
        """Return the contribution of each option to the output's noise-to-signal ratio."""
        own = self.weights.find(layer)
        assert own is not None
        texts = list(map(describe, options))
        arrays: list[tuple[Array, int]] = []
        for option, text in zip(options, texts, strict=True):
            if (layer, text) in self._ratios:
                continue
            if not arrays:  # read once for all options, and freed afterwards
                arrays = [(weight.read(), weight.axis) for weight in own.weights]
            change = option._replace(activations=None)
            total = own.uses * noise_ratio(arrays, change, norm=self.norm, clip=self.clip)
            before = len(faults)
            if option.activations is not None:
                total += self._activations(layer, own, option.activations, faults)
            if len(faults) == before:
                self._ratios[layer, text] = total * self._gain(layer, own)
        return [self._ratios.get((layer, text), 0.0) for text in texts]

    def _gain(self, name: str, layer: LayerWeights) -> float:
        names = (name, layer.name, *(weight.name for weight in layer.weights))
        return next((self.gains[n] for n in names if n in self.gains), 1.0)

    def _activations(
        self, name: str, layer: LayerWeights, format: Format, faults: list[Fault]
    ) -> float:
        """Return the summed activation noise of a layer's inputs in a format, or append a fault."""
        known = self.ranges.samples if self.ranges is not None else {}
        total = 0.0
        for tensor in layer.inputs or ("",):
            values = known.get(tensor, known.get(name, known.get(layer.name)))
            if values is None and format.family == "float" and format.element_bits >= 16:
                values = Ranges.of_range(-8.0, 8.0, 1.0)  # relative steps: any range is valid
            if values is None:
                at = f"'{tensor}', which it reads" if tensor else "that name"
                faults.append(
                    Fault(
                        f"no range of activations for layer '{name}'",
                        path="accuracy",
                        expected=f"calibration= with {at} (see record_ranges)",
                    )
                )
                return 0.0
            total += activation_noise(values, format)
        return total

    def sqnr_db(self, loss: Floats) -> Floats:
        """Return the output's signal-to-quantisation-noise ratio, dB: ``-10 log10(loss)``."""
        return -10.0 * np.log10(loss)


def sqnr(
    path: Source,
    calibration: str | Path | Ranges | None = None,
    *,
    gains: Mapping[str, float] | None = None,
    clip: Clip = "mse",
) -> Noise:
    """Return a model of quantisation noise from real weights and activations.

    Parameters
    ----------
    path
        An ``.onnx`` or ``.safetensors`` file (or a ``.safetensors.index.json``), or layer -> array
        with output channels first. A layer is named by its weight tensor or its operator.
    calibration
        CSV or NPZ of activations (`read_ranges`), or the result of `record_ranges`. Required if
        an option has activations narrower than 16-bit floats.
    gains
        Layer -> factor of its relative noise at the output, 1 by default; see `measured_gains`.
    clip
        As for `fake_quantise`.

    Notes
    -----
    The output's noise-to-signal ratio is the sum over layers of those of weights and activations,
    ``1/s = sum(1/s_w + 1/s_a)``: Lin, Talathi and Annapureddy, "Fixed Point Quantization of Deep
    Convolutional Networks", ICML 2016. To first order a layer propagates relative noise unchanged,
    and independent noises add. The weight noise of a layer is ``||C(W) - W||^2 / ||W||^2``, where C
    prunes and quantises; this is exact for uncorrelated inputs of equal variance.
    """
    weights = read_weights(path)
    ranges = None if calibration is None else read_ranges(calibration)
    factors = dict(gains or {})
    faults = FaultList(unknown_layer_faults(factors, weights.names, "the weights"))
    faults += [
        Fault(f"gain {g} of '{name}'", path="gains", expected="a finite number, not below zero")
        for name, g in factors.items()
        if not (0.0 <= g < np.inf)
    ]
    faults.settle()
    return Noise(f"sqnr of {weights.file}", weights, ranges, factors, clip=clip)


def pruning(
    path: Source, calibration: str | Path | Ranges | None = None, *, norm: int = 2
) -> Noise:
    """Return a model of pruning error from real weights: removed energy over total energy.

    On the scale of `sqnr`, and equal to it for an option with a format: removal and rounding are
    one error. Pruning by magnitude removes the least energy.

    Parameters
    ----------
    path, calibration
        As for `sqnr`.
    norm
        Norm, 1 or 2, that ranks channels where `LayerOption.channels` prunes them (Li et al.,
        ICLR 2017).
    """
    if norm not in {1, 2}:
        raise input_error(f"norm {norm}", path="norm", expected="1 or 2")
    weights = read_weights(path)
    ranges = None if calibration is None else read_ranges(calibration)
    return Noise(
        f"pruning error of {weights.file} (channels by L{norm})", weights, ranges, norm=norm
    )
