"""Optimizer: parameter groups with their options, a state for each parameter, and `step`.

A subclass names its options in `defaults` and defines `update`, which moves one parameter.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from minigen import backend, errors
from minigen.autograd import wrap
from minigen.capturing import capturing, on_replay, refuse
from minigen.errors import ShapeError
from minigen.memory import keep_freed_memory
from minigen.modes import enable_grad, no_grad
from minigen.nn.parameter import clear_gradient
from minigen.tensor import Tensor

__all__ = ["Optimizer"]


class Optimizer:
    """Base class of all optimizers.

    params:   tensors, or dictionaries `{"params": tensors, "lr": ...}`: groups with own options.
    defaults: the options of a group that does not name its own.

    `param_groups` may be read and changed at any time, as schedulers do; `state[p]` holds what the
    optimizer remembers of parameter p.  Raises TypeError or ValueError for what is no parameter.
    """

    # Whether a step can be part of a CUDA graph: all that the host computes of it, and that may be
    # something else in the next step, it asks for again before every replay.
    capturable = False

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params should be an iterable of tensors or dictionaries, "
                "but got one tensor; pass a list of it"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self.steps_taken = 0  # schedulers look whether it moves
        keep_freed_memory()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters, with options of their own, to those that are optimized."""
        if not isinstance(param_group, dict):
            raise TypeError(f"a parameter group must be a dict, got {type(param_group).__name__}")
        given = param_group["params"]
        if isinstance(given, set):
            raise TypeError("parameters need an order: give a list, not a set")
        params = [given] if isinstance(given, Tensor) else list(given)
        known = set(chain.from_iterable(group["params"] for group in self.param_groups))
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"an optimizer takes tensors, but one of them is {type(p).__name__}"
                )
            if not p.is_leaf:
                raise ValueError("can't optimize a non-leaf tensor (one that was computed)")
            if p in known:
                raise ValueError("some parameters appear in more than one parameter group")
        if len(set(params)) != len(params):
            warnings.warn(
                "a parameter appears twice in a parameter group, and moves twice in each step",
                stacklevel=4,
            )
        group = {**self.defaults, **param_group, "params": params}
        self.check(group)
        self.param_groups.append(group)

    def check(self, group: dict[str, Any]) -> None:
        """Raise ValueError for options that make no sense; subclasses check theirs."""
        if "lr" in group:
            at_least(0.0, "learning rate", group["lr"])

    # ------------------------------------------------------------------------- stepping

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient, once.

        closure: clears the gradients, computes the loss and its gradients, and returns the loss,
            which `step` returns in turn.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._count()
        where = ""
        with no_grad(), backend.quiet():
            for group in self.param_groups:
                pairs = [(p, g) for p in group["params"] if (g := gradient_of(p)) is not None]
                self.update_all(pairs, group)
                for p, _ in pairs:
                    if p._version is not None:
                        where = where or errors.caller()
                        p.changed_in_place(where)
        return loss

    def _count(self) -> None:
        """Count the step; a captured one, and those of its parameters, again at every replay."""
        if capturing() is None:
            self.steps_taken += 1
            return
        if not self.capturable:
            refuse(f"{type(self).__name__} computes a part of its step on the host")
        stepping = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        states = [self.state[p] for p in stepping]

        def count(by: int) -> None:
            self.steps_taken += by
            for state in states:
                if "step" in state:
                    state["step"] += by

        on_replay(functools.partial(count, 1), undo=functools.partial(count, -1))

    def update_all(self, pairs: list[tuple[Tensor, Any]], group: dict[str, Any]) -> None:
        """Move the parameters of a group, given with the arrays of their gradients, by `update`.

        An optimizer whose kernel takes lists of arrays overrides it.
        """
        for p, g in pairs:
            self.update(p, g, self.state[p], group)

    def update(self, p: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Move `p.array` in place; `grad` is an array and must not be changed."""
        raise NotImplementedError(f"{type(self).__name__} must define update()")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                clear_gradient(p, set_to_none)

    # ------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """`{"state": {number: {...}}, "param_groups": [{..., "params": [numbers]}]}`.

        Parameters are numbered in order.  Tensors in it share their memory with the optimizer.
        """
        numbers: dict[Tensor, int] = {}
        groups = []
        for group in self.param_groups:
            options = {name: value for name, value in group.items() if name != "params"}
            for p in group["params"]:
                numbers.setdefault(p, len(numbers))
            groups.append({**options, "params": [numbers[p] for p in group["params"]]})
        state = {numbers[p]: value for p, value in self.state.items() if p in numbers}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over copies of the state and the options that `state_dict()` gave.

        Floating-point state is cast to the dtype and device of its parameter.  Raises ValueError if
        groups or parameters are not as many as here.
        """
        groups, saved = self.param_groups, state_dict["param_groups"]
        if len(groups) != len(saved):
            raise ValueError(
                f"the state has {len(saved)} parameter groups, the optimizer has {len(groups)}"
            )
        for number, (group, other) in enumerate(zip(groups, saved)):
            if len(group["params"]) != len(other["params"]):
                raise ValueError(
                    f"parameter group {number} has {len(other['params'])} parameters in the state, "
                    f"{len(group['params'])} in the optimizer"
                )
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        for group, other in zip(groups, saved):
            for p, number in zip(group["params"], other["params"]):
                if number in state_dict["state"]:
                    entries = state_dict["state"][number].items()
                    state[p] = {name: self.restored(name, value, p) for name, value in entries}
        self.state = state
        for group, other in zip(groups, saved):
            options = {name: value for name, value in other.items() if name != "params"}
            group.update(copy.deepcopy(options))

    def restored(self, name: str, value: Any, p: Tensor) -> Any:
        """A copy of one entry of a state, of the dtype and on the device of its parameter.

        Subclasses that keep something else than one tensor for each parameter override it.
        """
        if name == "step":  # a tensor in PyTorch
            return int(value)
        if not isinstance(value, Tensor):
            return copy.deepcopy(value)
        array = value.array
        if array.shape != p.array.shape:
            raise ValueError(
                f"{name} of a parameter of shape {tuple(p.shape)} has shape {tuple(array.shape)} "
                "in the state; was it made for another model?"
            )
        return copied_like(p, array)

    def __repr__(self) -> str:
        lines = []
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return f"{type(self).__name__} (\n" + "\n".join(lines) + "\n)"


def copied_like(p: Tensor, array: Any) -> Tensor:
    """A copy of the array on the device and, if it is floating-point, in the dtype of `p`."""
    there = backend.to_device(array, p.device)
    return wrap(there.astype(p.array.dtype if array.dtype.kind == "f" else array.dtype))


def gradient_of(p: Tensor) -> Any:
    """The array of the gradient of p, or None; ShapeError if it is not like the parameter."""
    if p.grad is None:
        return None
    g, x = p.grad.array, p.array
    if g.shape != x.shape or g.dtype != x.dtype or type(g) is not type(x):
        raise ShapeError(
            f"optimizer: a parameter is {errors.describe(p)} on {p.device}, but its .grad is "
            f"{errors.describe(p.grad)} on {p.grad.device}; assign one like the parameter"
        )
    return g


def at_least(bound: float, what: str, value: Any) -> None:
    """Raise ValueError unless `value` is a number that is not below the bound."""
    if isinstance(value, Tensor):
        raise TypeError(f"the {what} must be a Python number, not a tensor; use .item()")
    if not bound <= value:
        raise ValueError(f"invalid {what}: {value}; it must be at least {bound:g}")


def check_betas(betas: Any) -> None:
    """Raise ValueError unless all decay rates of running averages are in [0, 1)."""
    for index, beta in enumerate(betas):
        if not 0 <= beta < 1:
            raise ValueError(f"invalid beta at index {index}: {beta}; it must be in [0, 1)")


class Lists:
    """Arrays that belong to several parameters, as the kernels take them: sorted by a key.

    >>> import numpy as np
    >>> lists = Lists()
    >>> lists.add("a", np.ones(1), np.ones(1))
    >>> lists.add("a", np.ones(2), np.ones(2))
    >>> [(key, len(first), len(second)) for key, (first, second) in lists.items()]
    [('a', 2, 2)]
    """

    def __init__(self) -> None:
        self._rows: dict[Any, list[tuple[Any, ...]]] = {}

    def add(self, key: Any, *arrays: Any) -> None:
        """Arrays of one parameter, to be worked on with the others of this key."""
        rows = self._rows.get(key)
        if rows is None:
            self._rows[key] = [arrays]
        else:
            rows.append(arrays)

    def items(self) -> Iterator[tuple[Any, list[list[Any]]]]:
        """Each key with as many lists as arrays were added at a time."""
        for key, rows in self._rows.items():
            yield key, [list(column) for column in zip(*rows)]


def advance(state: dict[str, Any], p: Tensor, *names: str) -> list[Any]:
    """Count a step in `state["step"]`; the arrays by these names, shaped as `p`, zero at first."""
    if capturing() is None:  # else `Optimizer.step` has counted it
        state["step"] = state.get("step", 0) + 1
    for name in names:
        if name not in state:
            refuse("an optimizer's first step is not like the others; take one before")
            state[name] = wrap(np.zeros_like(p.array, order="C"))
    return [state[name].array for name in names]


def followed(x: Any, g: Any, group: dict[str, Any], out: Any, scratch: Any) -> Any:
    """What a step follows: ±g + λ x, written to `out`, or `g` itself where nothing is added.

    With decoupled weight decay x itself shrinks, in place, by the factor 1 - γ λ.
    """
    decay = group["weight_decay"]
    if group["maximize"]:
        g = np.negative(g, out=out)
    if decay and group.get("decoupled_weight_decay"):
        x *= 1 - group["lr"] * decay
    elif decay:
        g = np.add(g, np.multiply(x, decay, out=scratch), out=out)
    return g


def average(kept: Any, value: Any, beta: float, scratch: Any) -> None:
    """kept <- β kept + (1 - β) value, in place."""
    np.subtract(value, kept, out=scratch)
    scratch *= 1 - beta
    kept += scratch


def average_square(kept: Any, value: Any, beta: float, scratch: Any) -> None:
    """kept <- β kept + (1 - β) value², in place."""
    np.multiply(value, value, out=scratch)
    scratch *= 1 - beta
    kept *= beta
    kept += scratch


def live(options: Callable[[], tuple]) -> tuple:
    """The options of a step; while it is captured, functions that give them at every replay.

    >>> live(lambda: (0.1, 0.9))
    (0.1, 0.9)
    """
    if capturing() is None:
        return options()
    return tuple(functools.partial(_nth, options, n) for n in range(len(options())))


def _nth(options: Callable[[], tuple], n: int) -> Any:
    return options()[n]


BLOCK = 16384  # elements that are worked on at a time, so that they stay in the cache


def contiguous(*arrays: Any) -> bool:
    """Whether all can be seen as flat vectors without a copy."""
    return all(array.flags.c_contiguous for array in arrays)


def blocks(scratch: int, *arrays: Any) -> Iterator[list[Any]]:
    """Corresponding pieces of arrays of one shape, each with `scratch` arrays to write into.

    Long contiguous NumPy arrays are cut into pieces that stay in the processor's cache between one
    ufunc and the next; others come in one piece.

    >>> import numpy as np
    >>> for x, y, twice in blocks(1, np.ones(3), np.zeros(3)):
    ...     y += np.multiply(x, 2, out=twice)
    """
    first = arrays[0]
    if first.size > BLOCK and isinstance(first, np.ndarray) and contiguous(*arrays):
        flat = [array.reshape(-1) for array in arrays]
        spare = np.empty((scratch, BLOCK), first.dtype)
        for start in range(0, first.size, BLOCK):
            pieces = [array[start : start + BLOCK] for array in flat]
            yield [*pieces, *spare[:, : pieces[0].size]]
    else:
        yield [*arrays, *(np.empty_like(first) for _ in range(scratch))]
