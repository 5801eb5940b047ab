"""What a change in place does to the graph.

A change in place is a new value at an old address.  For the graph, `x` before and `x` after are two
tensors; so the operation is recorded as if it had made a new tensor, and `x` takes over the
history of the result.  Three things follow, all as in PyTorch:

* whoever saved the old value for a gradient must hear of it: the version counter moves on;
* if `x` is a view, its base changed too: the base's new history is "the old base, overwritten in
  that region", and every other view of the base is brought up to date when next used;
* a leaf that requires grad has no history to rewrite, so it can be changed under `no_grad` only.
"""

from __future__ import annotations

from typing import Any

from minigen.autograd import Variable, View, differentiable, wrap
from minigen.modes import GRAD, mode

__all__: list[str] = []


# ------------------------------------------------------------------------- regions of a tensor


class _Viewed:
    """The region that a view shows of its base."""

    def __init__(self, view: View) -> None:
        self.operation, self.args = view.operation, view.args

    def read(self, value: Any) -> Any:
        return self.operation(value, *self.args)

    def write(self, array: Any, value: Any) -> None:
        self.operation(array, *self.args)[...] = value


@differentiable
def overwrite(input: Any, value: Any, region: Any) -> Any:
    """`input` after `value` was written into a region of it; the memory already holds it."""
    return input


@differentiable
def _cleared(input: Any, region: Any) -> Any:
    """A copy with zeros in the region: a projection, so it is its own adjoint."""
    output = input.copy()
    region.write(output, 0)
    return output


overwrite.gradients(
    input=lambda g, region: _cleared(g, region),
    value=lambda g, region: region.read(g),
)
_cleared.gradients(input=lambda g, region: _cleared(g, region))


# ------------------------------------------------------------------------------ the history


def check_writable(tensor: Variable) -> None:
    """Raise RuntimeError if a leaf that requires grad would lose its value unnoticed."""
    root: Variable = tensor
    while root._view is not None:
        root = root._view.base
    if mode.flags & GRAD and root.node is None and root._requires_grad:
        what = "a leaf" if root is tensor else "a view of a leaf"
        raise RuntimeError(
            f"{what} that requires grad cannot be changed in place while operations are recorded; "
            "do it inside no_grad(), or make a new tensor"
        )


def stands_for(tensor: Variable) -> Any:
    """The tensor as it stands in the graph now, over the same memory."""
    same = wrap(tensor.array)
    same.node, same._requires_grad = tensor.node, tensor._requires_grad
    return same


def adopt(tensor: Variable, result: Variable) -> None:
    """Give `tensor`, whose memory holds the new value already, the history of `result`."""
    if not result._requires_grad:
        return
    view = tensor._view
    if view is None:
        tensor.node, tensor._requires_grad = result.node, True
    else:
        view.base.refresh()
        adopt(view.base, overwrite(stands_for(view.base), result, _Viewed(view)))
        tensor.refresh()
