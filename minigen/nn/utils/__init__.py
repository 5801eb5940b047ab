"""Functions on the parameters of a module, and on sequences of unequal lengths."""

from minigen.nn.utils import parametrizations, parametrize, rnn
from minigen.nn.utils.clip_grad import clip_grad_norm_, clip_grad_value_, get_total_norm
from minigen.nn.utils.reweighting import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
from minigen.nn.utils.vectors import parameters_to_vector, vector_to_parameters

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]
