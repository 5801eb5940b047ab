"""Optimizers, and schedules for their learning rates."""

from minigen.optim import lr_scheduler
from minigen.optim.adam import Adam, AdamW
from minigen.optim.optimizer import Optimizer
from minigen.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
