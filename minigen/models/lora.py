"""Fine-tuning with few parameters: E. Hu et al., "LoRA: Low-Rank Adaptation of Large Language
Models", 2021 (arXiv:2106.09685).

What fine-tuning changes of a matrix is of low rank, or might as well be. So the matrix W0 stays as
it was trained, and only a product of two narrow ones is learned beside it (equation 3):

    h = W0 x + ΔW x = W0 x + (α/r) B A x,    A: (r, in), B: (out, r), r far below both

A begins at random and B as zero: the model begins as what it was. In the end ΔW can be added to W0
("merged"), and the layer is then as fast as it ever was; or taken away again, for another task.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import minigen
from minigen import Tensor, nn
from minigen.nn import functional as F


class LoRALinear(nn.Module):
    """A Linear and its low-rank change.  weight (out, in) and bias are the Linear's own, and are
    not trained; lora_A (r, in) and lora_B (out, r) are.

    >>> layer = LoRALinear(nn.Linear(6, 4), rank=2)
    >>> [name for name, p in layer.named_parameters() if p.requires_grad]
    ['lora_A', 'lora_B']
    """

    def __init__(self, linear: nn.Linear, rank: int = 8, alpha: float = 16.0) -> None:
        """alpha: α; the change counts α / r times, so that another rank needs no other rate.

        Raises ValueError for a rank below 1 or above the matrix's own.
        """
        super().__init__()
        out_features, in_features = linear.weight.shape
        if not 1 <= rank <= min(out_features, in_features):
            raise ValueError(
                f"LoRALinear: the rank must be from 1 to {min(out_features, in_features)}, that of "
                f"a matrix {out_features} x {in_features}, got {rank}"
            )
        self.rank, self.scale, self.merged = rank, alpha / rank, False
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)
        kind: Any = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        self.lora_A = nn.Parameter(minigen.empty(rank, in_features, **kind))
        self.lora_B = nn.Parameter(minigen.zeros(out_features, rank, **kind))
        nn.init.normal_(self.lora_A, std=1 / math.sqrt(in_features))  # A x has the size of x
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                parameter.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight, self.bias)  # (..., in) -> (..., out)
        if self.merged:
            return y
        narrow = F.linear(x, self.lora_A)  # (..., in) -> (..., r)
        return y + self.scale * F.linear(narrow, self.lora_B)  # (..., r) -> (..., out)

    def change(self) -> Tensor:
        """ΔW = (α/r) B A, (out, in)."""
        return self.scale * (self.lora_B @ self.lora_A)

    def merge(self) -> None:
        """Add the change to the matrix; nothing if it is there already."""
        if not self.merged:
            with minigen.no_grad():
                self.weight += self.change()
            self.merged = True

    def unmerge(self) -> None:
        """Take the change away again, which leaves the matrix as it was but for rounding."""
        if self.merged:
            with minigen.no_grad():
                self.weight -= self.change()
            self.merged = False

    def extra_repr(self) -> str:
        return f"rank={self.rank}, scale={self.scale:g}, merged={self.merged}"


def add_lora(
    model: nn.Module, targets: Sequence[str], rank: int = 8, alpha: float = 16.0
) -> list[nn.Parameter]:
    """Freeze a model, and put a `LoRALinear` in the place of each Linear that has one of these
    names. Returns what is to be trained: all A and B.

    Raises ValueError if no Linear has such a name.

    >>> from minigen.models.transformer import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocabulary=10, context=8, layers=2, width=16))
    >>> learned = add_lora(model, ["c_attn"], rank=2)
    >>> sum(p.numel() for p in learned), sum(p.numel() for p in model.parameters())
    (256, 6768)
    """
    model.requires_grad_(False)
    found = [
        (parent, name, layer)
        for parent in list(model.modules())
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Linear) and name in targets
    ]
    if not found:
        raise ValueError(f"add_lora: the model has no Linear named {' or '.join(targets)}")
    learned: list[nn.Parameter] = []
    for parent, name, layer in found:
        adapted = LoRALinear(layer, rank, alpha)
        setattr(parent, name, adapted)
        learned += [adapted.lora_A, adapted.lora_B]
    return learned


def lora_layers(model: nn.Module) -> Iterator[LoRALinear]:
    """All of them in a model."""
    return (layer for layer in model.modules() if isinstance(layer, LoRALinear))


def merge_lora(model: nn.Module) -> None:
    """Add all changes to their matrices, and put plain Linear layers back: a model like the one
    that was adapted, with new weights, which can be saved and loaded as that could.

    >>> from minigen.models.transformer import GPT, GPTConfig
    >>> model = GPT(GPTConfig(vocabulary=10, context=8, layers=2, width=16))
    >>> names = list(model.state_dict())
    >>> _ = add_lora(model, ["c_attn", "c_fc"], rank=2)
    >>> merge_lora(model)
    >>> list(model.state_dict()) == names
    True
    """
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, LoRALinear):
                layer.merge()
                out_features, in_features = layer.weight.shape
                plain = nn.Linear(in_features, out_features, bias=layer.bias is not None)
                plain.weight = layer.weight
                plain.register_parameter("bias", layer.bias)
                setattr(parent, name, plain)
    model.requires_grad_(True)
