"""The names of `torch.func`; they live in `minigen.transforms` and `minigen.nn.utils.stateless`."""

from minigen.nn.utils.stateless import functional_call, stack_module_state
from minigen.transforms import (
    grad,
    grad_and_value,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    vjp,
    vmap,
)

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "jacfwd",
    "jacrev",
    "jvp",
    "stack_module_state",
    "vjp",
    "vmap",
]
