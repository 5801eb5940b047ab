"""The functions that users call; what they do is in `minigen.testing.check`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigen.tensor import Tensor
from minigen.testing.check import Check
from minigen.testing.report import GradcheckError, GradcheckWarning, Report
from minigen.testing.subjects import GradientSubject, NumpySubject, subject_of
from minigen.testing.terms import TERMS, Terms

__all__ = ["assert_gradients", "check_gradients", "gradcheck", "gradgradcheck"]

Function = Callable[..., Any] | tuple[Callable[..., Any], Callable[..., Any]]


def check_gradients(
    fn: Function,
    inputs: Any = (),
    *,
    order: int = 1,
    names: Sequence[str] | None = None,
    sizes: Mapping[str, float] | None = None,
    terms: Terms | str | None = None,
    grad_outputs: Any = None,
    seed: int = 0,
    rounds: int = 2,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    nondet_tol: float = 0.0,
) -> Report:
    """Check the gradients of `fn` at `inputs`, and say what is wrong with them in a `Report`.

    fn:      a function of tensors; a Module, whose parameters are checked too; an autograd
             Function; or a pair of NumPy functions `(forward, backward)`, where
             `backward(cotangent, *inputs)` returns a gradient for each floating-point input (or
             `forward` returns `(output, cache)` and `backward` takes `(cotangent, cache)`).
    inputs:  what fn is called with.  Checked are tensors that require grad and NumPy arrays of
             floats.  Use float64: float32 is checked too, but less sharply, as a note says.
    order:   2 checks the gradient of the gradient as well (not for NumPy pairs).
    names:   of the inputs; otherwise read off the signature.
    sizes:   numbers a factor may be explained with, `{"batch": 8, "d_k": 64}`; the extents of all
             arrays are known anyway.
    terms:   named terms of the gradient, see `register_terms`.
    grad_outputs: for order 2, the cotangents at which the second derivative is taken; random ones
             otherwise.
    seed:    of the cotangents and directions; rounds: how many pairs of them are tried.
    eps, rtol, atol: the step of the differences, relative to the inputs, and what may differ;
             chosen by the dtype otherwise.
    nondet_tol: how much two runs may differ.

    Raises ValueError if there is nothing to check, TypeError for something that cannot be checked.

    >>> import numpy as np
    >>> def forward(x, w):
    ...     return x @ w
    >>> def backward(g, x, w):
    ...     return g @ w.T, g.T @ x
    >>> rng = np.random.default_rng(0)
    >>> x, w = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))
    >>> print(check_gradients((forward, backward), [x, w]))
    forward: wrong gradients
    gradient of w: shape (2, 4), but w has shape (4, 2): it is the right gradient, transposed.
    """
    inputs = inputs if isinstance(inputs, tuple | list) else (inputs,)
    if isinstance(terms, str) and terms not in TERMS:
        raise ValueError(f"terms: no {terms!r} is registered; there are {', '.join(TERMS)}")
    subject = subject_of(fn, inputs, names)
    report = Report(subject.title)
    options: dict[str, Any] = {
        "seed": seed, "rounds": rounds, "eps": eps, "atol": atol, "rtol": rtol,
        "nondet_tol": nondet_tol, "sizes": sizes, "terms": terms,
    }  # fmt: skip
    Check(subject, report, **options).run()
    if order > 1 and report:
        if isinstance(subject, NumpySubject):
            raise TypeError(
                "gradcheck: a gradient written in NumPy has no gradient of its own; order=2 needs "
                "a function of tensors"
            )
        cotangents = _cotangents(subject.outputs(subject.start), grad_outputs, seed)
        second = GradientSubject(subject, cotangents)
        report.title = f"{subject.title}, second order"
        Check(second, report, **options).run()
        report.title = report.title if not report else subject.title
        report.notes = list(dict.fromkeys(report.notes))
    return report


def _cotangents(outputs: Sequence, given: Any, seed: int) -> list[np.ndarray]:
    if given is not None:
        listed = given if isinstance(given, tuple | list) else (given,)
        return [np.array(g.array if isinstance(g, Tensor) else g) for g in listed]
    rng = np.random.default_rng([seed, 1])
    return [np.asarray(rng.standard_normal(o.shape)).astype(o.dtype) for o in outputs]


def gradcheck(fn: Function, inputs: Any, *, raise_exception: bool = True, **options: Any) -> bool:
    """True if the gradients of `fn` at `inputs` agree with numerical ones, as in PyTorch.

    Otherwise raises GradcheckError, whose message names the argument and the mistake, or returns
    False if raise_exception is False.  What was left out, or checked less sharply, is said in a
    GradcheckWarning.  `check_gradients` explains the arguments and options.

    >>> import minigen
    >>> x = minigen.randn(3, 4, dtype=minigen.float64, requires_grad=True)
    >>> gradcheck(minigen.nn.functional.softmax, (x, -1))
    True
    """
    report = check_gradients(fn, inputs, **options)
    if not report:
        if raise_exception:
            raise GradcheckError(str(report))
        return False
    for note in report.notes:
        warnings.warn(f"{report.title}: {note}", GradcheckWarning, stacklevel=2)
    return True


def gradgradcheck(
    fn: Function, inputs: Any, grad_outputs: Any = None, *, raise_exception: bool = True,
    **options: Any,
) -> bool:  # fmt: skip
    """`gradcheck` of first and second derivatives: gradients made with create_graph=True.

    >>> import minigen
    >>> x = minigen.randn(3, 4, dtype=minigen.float64, requires_grad=True)
    >>> gradgradcheck(minigen.tanh, (x,))
    True
    """
    return gradcheck(
        fn, inputs, raise_exception=raise_exception, order=2, grad_outputs=grad_outputs, **options
    )


def assert_gradients(fn: Function, *inputs: Any, order: int | None = None, **options: Any) -> None:
    """For a user's own tests: assert that the gradients of `fn` at these inputs are right.

    To the second order, but for NumPy pairs, to the first.  AssertionError says what is wrong;
    options are those of `check_gradients`.

    >>> import numpy as np
    >>> import minigen
    >>> assert_gradients(minigen.sigmoid, np.linspace(-2, 2, 5))
    >>> assert_gradients((np.sin, lambda g, x: g * np.cos(x)), np.linspace(-2, 2, 5))
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    order = order or (1 if isinstance(fn, tuple) else 2)
    report = check_gradients(fn, inputs, order=order, **options)
    assert report, str(report)
    for note in report.notes:
        warnings.warn(f"{report.title}: {note}", GradcheckWarning, stacklevel=2)
