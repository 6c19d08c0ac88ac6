"""Adapters of an oracle to search loops: Optuna, pymoo, Ray Tune, plain functions, torch, jax."""

from perfmodel.search.adapters.expected_gradients import expected_cost
from perfmodel.search.adapters.optuna_trials import OptunaObjective, optuna_objective
from perfmodel.search.adapters.plain_functions import RayTrainable, profiler, ray_tune_trainable
from perfmodel.search.adapters.pymoo_problems import pymoo_problem
from perfmodel.search.adapters.torch_modules import torch_cost, torch_workload

__all__ = [
    "OptunaObjective",
    "RayTrainable",
    "expected_cost",
    "optuna_objective",
    "profiler",
    "pymoo_problem",
    "ray_tune_trainable",
    "torch_cost",
    "torch_workload",
]
