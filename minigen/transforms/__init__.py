"""Functions of functions: gradients, Jacobians, forward mode, batches, checkpoints.

They take a function of tensors and return another, and can be nested in any order.
"""

from minigen.transforms import batch_rules_special as _special  # completes the table of rules
from minigen.transforms.batching import vmap
from minigen.transforms.checkpointing import checkpoint, checkpoint_sequential
from minigen.transforms.forward import jvp
from minigen.transforms.jacobians import hessian, hvp, jacfwd, jacobian, jacrev
from minigen.transforms.reverse import grad, grad_and_value, value_and_grad, vjp

__all__ = [
    "checkpoint",
    "checkpoint_sequential",
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "value_and_grad",
    "vjp",
    "vmap",
]
