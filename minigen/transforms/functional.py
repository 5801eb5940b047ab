"""PyTorch's `torch.autograd.functional`: derivatives of a function at given inputs.

Inputs and outputs are tensors or tuples of tensors, and what is a derivative "with respect to the
inputs" is a tensor or a tuple accordingly.  Three options are the same everywhere:

    create_graph: the results can be differentiated in turn, with respect to the inputs too.
    strict:       raise RuntimeError where an output does not depend on an input, whose derivative
                  is otherwise zeros.
    vectorize:    PyTorch's choice between one row after the other and all at once; here reverse
                  mode goes by rows, forward mode does all columns at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigen.errors import describe
from minigen.modes import enable_grad
from minigen.ops.creation import ones_like, zeros_like
from minigen.tensor import Tensor
from minigen.transforms import forward
from minigen.transforms.jacobians import jacfwd, rows
from minigen.transforms.reverse import Started
from minigen.transforms.tracing import pull, requires_grad, unrecorded

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tensors(what: str, values: Any) -> tuple:
    """The values as a tuple.  Raises TypeError unless they are a tensor or a tuple of tensors."""
    given = values if isinstance(values, tuple) else (values,)
    if not given or not all(isinstance(each, Tensor) for each in given):
        raise TypeError(
            f"{what} must be either a tensor or a tuple of tensors, got {describe(values)}"
        )
    return given


def _alike(values: Sequence, model: Any) -> Any:
    """A tuple where the model is one, else the only value."""
    return tuple(values) if isinstance(model, tuple) else values[0]


class _Run:
    """One call of the function, from inputs that are the start of a graph."""

    def __init__(self, name: str, func: Callable, inputs: Any, strict: bool) -> None:
        self.name, self.inputs, self.strict = name, inputs, strict
        self.started = Started(name, _tensors(f"{name}: the inputs", inputs))
        with enable_grad():
            self.output = func(*self.started.arguments)
        self.outputs = _tensors(f"{name}: the outputs of the function", self.output)
        for i, each in enumerate(self.outputs):
            if strict and not requires_grad(each):
                raise RuntimeError(
                    f"{name}: output {i} of the function does not depend on the inputs (strict)"
                )

    def filled(self, gradients: Sequence) -> list:
        """Zeros for what is independent, an error if that is so in strict mode."""
        for i, each in enumerate(gradients):
            if each is None and self.strict:
                raise RuntimeError(
                    f"{self.name}: the outputs do not depend on input {i} (strict mode)"
                )
        pairs = zip(self.started.leaves, gradients)
        return [zeros_like(x).detach() if g is None else g for x, g in pairs]

    def single(self) -> Tensor:
        """The output, which has to be one number."""
        if isinstance(self.output, tuple) or self.output.array.size != 1:
            raise RuntimeError(
                f"{self.name}: the function should return a single tensor with a single element, "
                f"got {describe(self.output)}"
            )
        return self.output.reshape(())


def _vector(name: str, v: Any, like: tuple, what: str) -> tuple:
    """v as a tuple, checked; ones if it is left out and there is a single number."""
    if v is None:
        if len(like) != 1 or like[0].array.size != 1:
            raise RuntimeError(
                f"{name}: v can only be left out if {what} is a single tensor with a single element"
            )
        return (ones_like(like[0]),)
    given = _tensors(f"{name}: v", v)
    if len(given) != len(like):
        raise RuntimeError(f"{name}: v has {len(given)} tensors, but {what} {len(like)}")
    for each, model in zip(given, like):
        if each.array.shape != model.array.shape:
            raise RuntimeError(
                f"{name}: v has invalid size: should be {tuple(model.shape)}, as {what}, but got "
                f"{tuple(each.shape)}"
            )
    return given


def _kept(create_graph: bool, values: Any) -> Any:
    if create_graph:
        return values
    if isinstance(values, tuple):
        return tuple(_kept(create_graph, each) for each in values)
    return unrecorded(values)


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(*inputs), vᵀ J): v of the outputs' shapes, the product of the inputs'.

    >>> import minigen
    >>> vjp(lambda x: x**2, minigen.tensor([1.0, 2.0]), minigen.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    run = _Run("vjp", func, inputs, strict)
    v = _vector("vjp", v, run.outputs, "the output of the function")
    found = run.filled(pull(run.outputs, run.started.starts, v, create_graph))
    return _kept(create_graph, run.output), _kept(create_graph, _alike(found, inputs))


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(*inputs), J v): v of the inputs' shapes, the product of the outputs'.  By forward mode.

    >>> import minigen
    >>> jvp(lambda x: x**2, minigen.tensor([1.0, 2.0]), minigen.tensor([1.0, 10.0]))
    (tensor([1., 4.]), tensor([ 2., 40.]))
    """
    given = _tensors("jvp: the inputs", inputs)
    v = _vector("jvp", v, given, "the input to the function")

    def checked(*args: Any) -> Any:
        output = func(*args)
        _tensors("jvp: the outputs of the function", output)
        return output

    output, product = forward.jvp(checked, given, v, strict=strict)
    return _kept(create_graph, output), _kept(create_graph, product)


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: for an output and an input a tensor of shape (*output shape, *input shape).

    For tuples, J[i][j] is that of output i and input j.

    >>> import minigen
    >>> jacobian(lambda x: x**2, minigen.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(f"jacobian: strategy is reverse-mode or forward-mode, got {strategy!r}")
    if strict and vectorize:
        raise RuntimeError("jacobian: strict=True and vectorize=True are not offered together")
    if strategy == "forward-mode":
        return _by_columns(func, inputs, create_graph, vectorize)
    run = _Run("jacobian", func, inputs, strict)
    found = []
    for each in run.outputs:
        if strict:
            run.filled(pull([each], run.started.starts, [ones_like(each)], create_graph=False))
        parts = rows(each, run.started.starts, run.started.leaves, create_graph)
        if strict and create_graph:
            _check_dependent(run, parts)
        found.append(_alike(parts, inputs))
    return _kept(create_graph, _alike(found, run.output))


def _check_dependent(run: _Run, parts: Sequence) -> None:
    for i, part in enumerate(parts):
        if not requires_grad(part):
            raise RuntimeError(
                f"{run.name}: the jacobian with respect to input {i} is independent of the inputs "
                "(strict mode with create_graph=True)"
            )


def _by_columns(func: Callable, inputs: Any, create_graph: bool, vectorize: bool) -> Any:
    if not vectorize:
        raise NotImplementedError("jacobian: forward-mode is only offered with vectorize=True")
    if create_graph:
        raise NotImplementedError("jacobian: create_graph=True is only offered with reverse-mode")
    given = _tensors("jacobian: the inputs", inputs)
    argnums = tuple(range(len(given))) if isinstance(inputs, tuple) else 0
    return _kept(False, jacfwd(func, argnums)(*given))


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The second derivatives of a function that returns one number: the Jacobian of its gradient.

    For a tuple of inputs, H[i][j] is of shape (*input i, *input j).

    >>> import minigen
    >>> hessian(lambda x: x.prod(), minigen.tensor([2.0, 3.0, 5.0]))
    tensor([[0., 5., 3.],
            [5., 0., 2.],
            [3., 2., 0.]])
    """
    _tensors("hessian: the inputs", inputs)

    def gradient(*args: Any) -> Any:
        return _gradient("hessian", func, args if isinstance(inputs, tuple) else args[0], strict)[1]

    return jacobian(gradient, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def _gradient(name: str, func: Callable, inputs: Any, strict: bool) -> tuple:
    """(output, gradient), of which the latter can be differentiated."""
    run = _Run(name, func, inputs, strict)
    found = run.filled(
        pull([run.single()], run.started.starts, [ones_like(run.single())], create_graph=True)
    )
    if strict:
        _check_dependent(run, found)
    return run.output, _alike(found, inputs)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(*inputs), H v), the Hessian times a vector, without the Hessian.  By forward mode.

    >>> import minigen
    >>> x, v = minigen.tensor([2.0, 3.0, 5.0]), minigen.tensor([1.0, 0.0, 0.0])
    >>> hvp(lambda x: x.prod(), x, v)
    (tensor(30.), tensor([0., 5., 3.]))
    """
    given = _tensors("hvp: the inputs", inputs)
    v = _vector("hvp", v, given, "the input to the function")
    value = None

    def gradient(*args: Any) -> Any:
        nonlocal value
        output, slope = _gradient("hvp", func, args, strict)
        return slope, output

    _, product, value = forward.jvp(gradient, given, v, strict=strict, has_aux=True)
    return _kept(create_graph, value), _kept(create_graph, _alike(product, inputs))


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(*inputs), vᵀ H), as `hvp` (H is symmetric), by reverse mode twice.

    >>> import minigen
    >>> x, v = minigen.tensor([2.0, 3.0, 5.0]), minigen.tensor([1.0, 0.0, 0.0])
    >>> vhp(lambda x: x.prod(), x, v)
    (tensor(30.), tensor([0., 5., 3.]))
    """
    given = _tensors("vhp: the inputs", inputs)
    v = _vector("vhp", v, given, "the input to the function")
    output: Any = None

    def gradient(*args: Any) -> Any:
        nonlocal output
        output, slope = _gradient("vhp", func, args, strict)
        return slope

    run = _Run("vhp", gradient, given, False)
    product = run.filled(pull(run.outputs, run.started.starts, v, create_graph))
    return _kept(create_graph, output), _kept(create_graph, _alike(product, inputs))
