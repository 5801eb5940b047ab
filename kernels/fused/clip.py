"""Clipping gradients by the norm of all of them, by its formula in float64 and by NumPy.

    clip_norm(grads, max_norm) -> (norm, factor)

    norm = √Σ g²  over the elements of all arrays      factor = min(1, max_norm / (norm + 10⁻⁶))

and g <- factor g in place, for every array (Pascanu et al. 2013, algorithm 1). The arrays come as a
list, or one alone: one dtype a call, any shapes and strides. norm and factor are 0-d arrays beside
them, so that on a GPU nobody has to wait for a number. NaN anywhere makes all of it NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ladder import Expected
from .optimizers import Array, Arrays, as_lists

SMALLEST = 1e-6  # PyTorch's: keeps a norm of 0 from dividing


def norm_and_factor(grads: Arrays, *_: Any) -> Expected:
    """Two numbers in the dtype of the arrays."""
    dtype = as_lists(grads)[0][0].dtype
    return ((), dtype), ((), dtype)


def factor_of(norm: Array, max_norm: float) -> Array:
    """What the arrays are to be multiplied by; NaN for a norm that is NaN.

    >>> factor_of(np.array([4.0, 0.0, np.nan]), 1.0)
    array([0.24999994, 1.        ,        nan])
    """
    return np.minimum(max_norm / (norm + SMALLEST), 1.0)


def clip_norm_reference(grads: Arrays, max_norm: float) -> tuple[Array, Array]:
    """norm and factor in float64; the arrays are scaled in place and rounded to their dtype."""
    (grads,) = as_lists(grads)
    norm = np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in grads))
    factor = factor_of(norm, max_norm)
    for g in grads:
        g[...] = factor * g.astype(np.float64)
    return np.asarray(norm), np.asarray(factor)


def clip_norm(grads: Arrays, max_norm: float) -> tuple[Array, Array]:
    """norm and factor, the arrays scaled in place: a product with itself of each, one root of all.

    Arrays on the CPU are left alone where the factor is 1.

    >>> g = np.array([3.0, 4.0])
    >>> clip_norm(g, 1.0)[0], g
    (array(5.), array([0.59999988, 0.79999984]))
    """
    (grads,) = as_lists(grads)
    flat = [g.reshape(-1) for g in grads]
    squares = [np.dot(f, f) for f in flat]
    if isinstance(flat[0], np.ndarray):
        total = np.stack(squares).sum(keepdims=True)  # NumPy would make a scalar of it
    else:  # CuPy would send the GPU a table of where they are
        total = sum(squares).reshape(1)
    norm = np.sqrt(total).reshape(())
    factor = factor_of(norm.reshape(1), max_norm).reshape(())
    if not isinstance(factor, np.ndarray) or factor != 1:  # a GPU is not asked
        for g in grads:
            g *= factor
    return norm, factor
