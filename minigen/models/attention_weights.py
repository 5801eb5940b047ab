"""What a model looks at: the weights of all its attention layers, while it runs.

Fast attention never has its weights in memory: `softmax(Q K^T / sqrt(d)) V` is computed tile by
tile, and only the result remains.  They are got by a trick instead.  With the identity matrix in
place of V the result *is* the weights; so a kernel is swapped in for a moment that asks the formula
twice, once with the identity.  The models know nothing of it, and lose nothing by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigen import nn
from minigen.dispatch import kernels

Weights = dict[str, list[NDArray[np.floating]]]


@contextmanager
def watch_attention(model: nn.Module) -> Iterator[Weights]:
    """Inside, the weights of each attention are kept, by the name of its module in the model: one
    array (N, h, T, S) for each time it is called, rows that sum to one.

    Any attention that goes through `F.scaled_dot_product_attention` is seen.

    >>> import minigen
    >>> from minigen.models import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocabulary=10, context=8, layers=2, heads=2, width=16)).eval()
    >>> with watch_attention(model) as weights:
    ...     logits = model(minigen.tensor([[1, 2, 3]]))
    >>> {name: [array.shape for array in arrays] for name, arrays in weights.items()}
    {'h.0.attn': [(1, 2, 3, 3)], 'h.1.attn': [(1, 2, 3, 3)]}
    """
    seen: Weights = {}
    inside: list[str] = [""]  # the modules whose forward is running, the innermost last
    formula = kernels.get("attention", "numpy")

    def watched(q: Any, k: Any, v: Any, *options: Any, **named: Any) -> Any:
        identity = np.eye(k.shape[-2], dtype=k.dtype, like=k)
        weights, _ = formula(q, k, identity, *options, **named)
        seen.setdefault(inside[-1], []).append(getattr(weights, "get", lambda: weights)())
        return formula(q, k, v, *options, **named)

    with ExitStack() as stack:
        for name, module in model.named_modules():
            stack.enter_context(module.register_forward_pre_hook(_entering(inside, name)))
            stack.enter_context(module.register_forward_hook(_leaving(inside)))
        stack.enter_context(kernels.use(attention=watched))
        yield seen


def _entering(inside: list[str], name: str) -> Any:
    def hook(module: nn.Module, args: tuple) -> None:
        inside.append(name)

    return hook


def _leaving(inside: list[str]) -> Any:
    def hook(module: nn.Module, args: tuple, output: Any) -> None:
        inside.pop()

    return hook
