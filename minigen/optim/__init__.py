"""Optimizers, schedules for their learning rates, and averages of weights."""

from minigen.optim import lr_scheduler, swa_utils
from minigen.optim.adadelta import Adadelta
from minigen.optim.adagrad import Adagrad
from minigen.optim.adam import Adam, AdamW
from minigen.optim.adamax import Adamax
from minigen.optim.lbfgs import LBFGS
from minigen.optim.nadam import NAdam
from minigen.optim.optimizer import Optimizer
from minigen.optim.radam import RAdam
from minigen.optim.rmsprop import RMSprop
from minigen.optim.sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
    "swa_utils",
]
