"""Memory of a run: what its tensors take, and what the process that runs it takes beside them.

A runtime states its program (``process``), further copies of weights (``weight_copies``: unpacked
or repacked for its kernels) and what it allocates for activations (``arena_share``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from perfmodel.arrays import Value
from perfmodel.hardware.fact_views import or_else

if TYPE_CHECKING:
    from perfmodel.prediction.prediction import Prediction


class MemoryMetrics:
    """Metrics of a prediction in bytes that are held, not moved."""

    @property
    def weight_bytes(self) -> Value:
        """Bytes of stored weights."""
        return self._shaped_total("weight_bytes")

    @property
    def kv_bytes(self) -> Value:
        """Bytes of KV cache and recurrent state."""
        return self._shaped_total("kv_bytes")

    @property
    def activation_bytes(self) -> Value:
        """Peak bytes of live activations in execution order."""
        return self._shaped_total("activation_bytes")

    @property
    def peak_memory_bytes(self) -> Value:
        """Weights + KV cache + peak activations, bytes, over all memories."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes

    @property
    def arena_bytes(self) -> Value:
        """Bytes that the runtime allocates for activations: ``activation_bytes * arena_share``."""
        prediction = cast("Prediction", self)
        share = or_else(prediction.setting.runtime.arena_share, 1.0)
        return self.activation_bytes * prediction.shaped(share)

    @property
    def process_parts(self) -> dict[str, Value]:
        """Parts of `process_bytes` by name, bytes."""
        prediction = cast("Prediction", self)
        return {
            "program": prediction.shaped(or_else(prediction.setting.runtime.process, 0.0)),
            "weights": self.weight_bytes,
            "copies of weights": self._shaped_total("copied_weight_bytes"),
            "kv cache": self.kv_bytes,
            "arena": self.arena_bytes,
        }

    @property
    def process_bytes(self) -> Value:
        """Resident memory of the process, bytes: what the runtime keeps beside the tensors too.

        ``process + weights * (1 + weight_copies) + KV cache + activations * arena_share``; that of
        the tensors where the runtime states nothing.
        """
        return sum(self.process_parts.values())

    def _shaped_total(self, name: str) -> Value:
        """Return a total of the network in the shape of the prediction; 0 if it is not counted."""
        prediction = cast("Prediction", self)
        return prediction.shaped(prediction.totals.get(name, 0.0))
