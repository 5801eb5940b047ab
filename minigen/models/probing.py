"""Probing: what can be read off a model's states by a straight line. G. Alain and Y. Bengio,
"Understanding intermediate layers using linear classifier probes", 2016 (arXiv:1610.01644).

A linear classifier is trained on features that a frozen model computes. What it gets right beyond
the same probe on an untrained model, and on a plain description of the input, the model has learned
to lay open.

Shapes: M examples of C features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

import minigen
from minigen import Tensor, optim
from minigen.nn import functional as F


@dataclass(frozen=True)
class LinearProbe:
    """softmax(W (x - mean) / scale + b).  weight: (K, C); bias: (K,); mean, scale: (C,)."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(
        cls, features: ArrayLike, labels: ArrayLike, *, decay: float = 1e-3, iterations: int = 60
    ) -> LinearProbe:
        """Logistic regression with the penalty decay ||W||^2 / 2, by L-BFGS, in float64.

        features: (M, C), each standardised by its mean and deviation.  labels: int (M,) from 0.
        Raises ValueError unless there is a label for each of some examples, and two classes.

        >>> probe = LinearProbe.fit([[0.0], [1.0], [3.0], [4.0]], [0, 0, 1, 1])
        >>> probe.predict([[0.9], [3.1]])
        array([0, 1])
        """
        x, y = np.asarray(features, np.float64), np.asarray(labels)
        if x.ndim != 2 or y.shape != x.shape[:1] or len(x) == 0:
            raise ValueError(
                f"LinearProbe.fit: expects features (M, C) and labels (M,), got {x.shape} and "
                f"{y.shape}"
            )
        if y.dtype.kind != "i" or y.min() < 0 or y.max() < 1:
            raise ValueError("LinearProbe.fit: labels must be whole numbers from 0, of two or more")
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale[scale == 0] = 1.0  # what never changes says nothing, and must not divide by zero
        inputs, targets = minigen.from_numpy((x - mean) / scale), minigen.from_numpy(y)
        shape = (int(y.max()) + 1, x.shape[1])
        weight = minigen.zeros(*shape, dtype=minigen.float64, requires_grad=True)
        bias = minigen.zeros(shape[0], dtype=minigen.float64, requires_grad=True)
        search = optim.LBFGS(
            [weight, bias],
            max_iter=iterations,
            line_search_fn="strong_wolfe",
            tolerance_grad=1e-8,
            tolerance_change=1e-14,
        )

        def loss() -> Tensor:
            search.zero_grad()
            value = F.cross_entropy(F.linear(inputs, weight, bias), targets)
            value = value + decay / 2 * (weight * weight).sum()
            value.backward()
            return value

        search.step(loss)
        return cls(weight.detach().numpy(), bias.detach().numpy(), mean, scale)

    def predict(self, features: ArrayLike) -> NDArray[np.int64]:
        """The likeliest class of each example: (M, C) -> (M,)."""
        x = (np.asarray(features, np.float64) - self.mean) / self.scale
        return (x @ self.weight.T + self.bias).argmax(axis=1)

    def accuracy(self, features: ArrayLike, labels: ArrayLike) -> float:
        """The share of examples that it gets right."""
        return float((self.predict(features) == np.asarray(labels)).mean())
