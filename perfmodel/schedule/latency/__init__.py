"""Latency and energy of schedules whose transfers go on beside compute."""

from perfmodel.schedule.latency.face import (
    EnergyOutcome,
    LatencyOutcome,
    Power,
    Tradeoff,
    energy,
    latency,
    tradeoff,
)
from perfmodel.schedule.latency.model import Dma, Move, Row, Timeline
from perfmodel.schedule.latency.prefetch import prefetch
from perfmodel.schedule.latency.simulate import simulate

__all__ = [
    "Dma",
    "EnergyOutcome",
    "LatencyOutcome",
    "Move",
    "Power",
    "Row",
    "Timeline",
    "Tradeoff",
    "energy",
    "latency",
    "prefetch",
    "simulate",
    "tradeoff",
]
