"""Functions of functions: gradients, Jacobians, forward mode, batches, checkpoints.

They take a function of tensors and return another, and can be nested in any order.
"""

from minigen.transforms.forward import jvp
from minigen.transforms.reverse import grad, grad_and_value, value_and_grad, vjp

__all__ = ["grad", "grad_and_value", "jvp", "value_and_grad", "vjp"]
