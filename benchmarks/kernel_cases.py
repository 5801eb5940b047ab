"""What the kernels are timed on: sizes that training meets, with the same call in torch beside it.

A case makes its arguments from a random generator in a given dtype; `torch` turns the same arrays
into a call of torch, where it has one.  `work` is the number of multiplications and additions that
the definition asks for, which a rate is reckoned with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    operation: str
    label: str
    make: Callable[[Callable[..., Any]], Arrays]  # draw(*shape) -> arguments
    torch: Callable[..., Callable[[], Any]] | None = None
    work: float = 0.0


def _matmul(m: int, k: int, n: int, layout: str = "NN", batch: int = 0) -> Case:
    """A B as `a @ b` (NN), `x @ weight.T` (NT) or `x.T @ g` (TN)."""
    lead = (batch,) if batch else ()

    def make(draw: Callable[..., Any]) -> Arrays:
        a = draw(*lead, k, m).swapaxes(-1, -2) if layout == "TN" else draw(*lead, m, k)
        b = draw(*lead, n, k).swapaxes(-1, -2) if layout == "NT" else draw(*lead, k, n)
        return a, b

    note = {"NN": "", "NT": ", x @ w.T", "TN": ", x.T @ g"}[layout]
    label = f"{f'{batch} x ' if batch else ''}{m}x{k}x{n}{note}"
    return Case("matmul", label, make, _torch_matmul, 2.0 * max(1, batch) * m * k * n)


def _torch_matmul(a: Any, b: Any) -> Callable[[], Any]:
    import torch

    return lambda: torch.matmul(a, b)


def _attention(shape: tuple[int, ...], causal: bool, backward: bool = False) -> Case:
    b, h, t, d = shape

    def make(draw: Callable[..., Any]) -> Arrays:
        from minigen import kernels

        q, k, v = (draw(*shape) for _ in range(3))
        if not backward:
            return q, k, v, None, causal
        out, logsumexp = kernels.get("attention", "numpy")(q, k, v, None, causal)
        return draw(*shape), q, k, v, out, logsumexp, None, causal

    label = f"({b}, {h}, {t}, {d}){', causal' if causal else ''}"
    work = (10.0 if backward else 4.0) * b * h * t * t * d / (2 if causal else 1)
    if backward:
        return Case("attention_backward", label, make, None, work)
    return Case("attention", label, make, _torch_attention, work)


def _torch_attention(q: Any, k: Any, v: Any, mask: None, causal: bool) -> Callable[[], Any]:
    import torch

    attend = torch.nn.functional.scaled_dot_product_attention
    return lambda: attend(q, k, v, is_causal=causal)


def _rows(draw: Callable[..., Any], rows: int, features: int) -> Arrays:
    return draw(rows, features), draw(features), draw(features), 1e-5


def _torch_layer_norm(x: Any, weight: Any, bias: Any, eps: float) -> Callable[[], Any]:
    import torch

    return lambda: torch.native_layer_norm(x, [x.shape[1]], weight, bias, eps)


def _torch_gelu(x: Any, approximate: str = "none") -> Callable[[], Any]:
    import torch

    return lambda: torch.nn.functional.gelu(x, approximate=approximate)


def _torch_cross_entropy(logits: Any, target: Any) -> Callable[[], Any]:
    import torch

    return lambda: torch.nn.functional.cross_entropy(logits, target, reduction="none")


def _torch_adam(p: Any, g: Any, *_: Any) -> Callable[[], Any]:
    import torch

    parameter = torch.nn.Parameter(p.clone())
    parameter.grad = g
    return torch.optim.Adam([parameter]).step


def _adam(draw: Callable[..., Any]) -> Arrays:
    p, g, m = (draw(1_000_000) for _ in range(3))
    return p, g, m, np.ones_like(p), 1e-6, 0.9, 0.999, 1e-8, 0.0, False, 9


def _targets(rows: int, classes: int) -> Any:
    return np.random.default_rng(1).integers(0, classes, rows)


CASES = [
    _matmul(256, 256, 256),
    _matmul(512, 512, 512),
    _matmul(1024, 1024, 1024),
    _matmul(64, 784, 400),
    _matmul(64, 784, 400, "NT"),
    _matmul(512, 512, 512, "NT"),
    _matmul(784, 64, 400, "TN"),
    _matmul(64, 128, 512),
    _matmul(1024, 128, 512),
    _matmul(1024, 512, 128),
    _matmul(64, 64, 64, batch=64),
    *(
        _attention(shape, causal, backward)
        for backward in (False, True)
        for causal in (False, True)
        for shape in ((8, 4, 64, 32), (8, 8, 128, 64), (4, 8, 256, 64), (2, 8, 1024, 64))
    ),
    Case("layer_norm", "(1024, 128)", lambda draw: _rows(draw, 1024, 128), _torch_layer_norm),
    Case("layer_norm", "(1024, 512)", lambda draw: _rows(draw, 1024, 512), _torch_layer_norm),
    Case("gelu", "(1024, 512)", lambda draw: (draw(1024, 512),), _torch_gelu),
    Case("gelu", "(1024, 512), tanh", lambda draw: (draw(1024, 512), "tanh"), _torch_gelu),
    Case(
        "cross_entropy",
        "(1024, 256)",
        lambda draw: (draw(1024, 256), _targets(1024, 256)),
        _torch_cross_entropy,
    ),
    Case("adam", "1,000,000 parameters", _adam, _torch_adam),
]
